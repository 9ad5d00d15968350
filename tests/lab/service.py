"""callguard as an operator runs it, beside a laboratory Asterisk: settings, commands, a process."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection

from callguard.contacts.contact import Contact
from callguard.contacts.store import change
from callguard.recording import age
from callguard.storage.database import Database
from callguard.storage.schema import recordings
from callguard.tenants.store import NewTenant, add
from callguard.tenants.tenant import TenantSettings
from tests.lab.asterisk import Asterisk

TENANT = "tenant-a"

_SETTINGS = """\
data = "{data}"
home_region = "US"
prompts = "{prompts}"

[[asterisk]]
name = "lab"
host = "127.0.0.1"
port = {ami}
secret_file = "{secret}"
spool = "{asterisk_spool}"
prompts = "{asterisk_prompts}"
cdr_file = "{cdr}"
lease_file = true
call_back = "PJSIP/{{digits}}@carrier"
trunks = ["PJSIP/carrier*"]

[agi]
port = {agi}

[web]
port = {web}

[spool]
folder = "{spool}"
reserve_bytes = 1048576

[objects]
reserve_bytes = 1048576

[limits]
watchdog_s = {watchdog}
"""

_PACKS = """
[policy]
packs = "{packs}"
"""


class CommandFailed(RuntimeError):  # noqa: N818 - says what happened
    """A callguard command ended with another status than 0; its own words."""


class Callguard:
    """One callguard: `furnish()` it once, then `start()`, and end it one way or another."""

    def __init__(
        self,
        folder: Path,
        pbx: Asterisk,
        *,
        watchdog_s: float = 2.0,
        ami_port: int | None = None,
        within: Sequence[str] = (),
        packs: Path | None = None,
    ) -> None:
        """`within`: a command that runs the service, in surroundings of its own; `packs`: the
        operator's own folder of rules."""
        self.folder = folder
        self.pbx = pbx
        self.data = folder / "data"
        self.config = folder / "callguard.toml"
        self.log = folder / "callguard.log"
        self.url = ""
        self._within = tuple(within)
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "manager.secret"
        secret.write_text(pbx.ami.secret)
        pbx.spool.chmod(0o700)
        self.config.write_text(
            _SETTINGS.format(
                data=self.data,
                prompts=pbx.prompts,
                ami=ami_port or pbx.ami.port,
                secret=secret,
                asterisk_spool=pbx.inside(pbx.spool),
                asterisk_prompts=pbx.inside(pbx.prompts),
                cdr=pbx.cdr_file,
                agi=pbx.sites.agi,
                web=_free_port(),
                spool=pbx.spool,
                watchdog=watchdog_s,
            )
            + (_PACKS.format(packs=packs) if packs is not None else "")
        )

    def furnish(self, *tenant_options: str) -> Self:
        """Initialise it, and add the tenant of the laboratory's dialplan, whose calls are neither
        to sell nor to collect."""
        self.run("init")
        purpose = ("--purpose", "service")
        self.run("tenant", "add", TENANT, "--name", "Tenant A", *purpose, *tenant_options)
        return self

    def add_tenant(self, tenant: str, **settings: object) -> None:
        """Add a tenant with settings that no command knows; somebody else holds its key."""
        chosen = TenantSettings.model_validate({"home_region": "US", **settings})
        recipient = str(age.generate_identity("x25519").recipient)
        new = NewTenant(tenant, tenant, chosen, None, [recipient])
        self.write(lambda connection: add(connection, new, at=_now(), actor="laboratory"))

    def know(self, tenant: str, number: str, step: Callable[[Contact], Contact]) -> None:
        """Change what a tenant knows of whom it calls."""
        self.write(lambda connection: change(connection, tenant, f"+{number}", step, at=_now()))

    def write(self, work: Callable[[Connection], object]) -> None:
        """Change its database, as another of its processes may."""
        database = self.database()
        try:
            with database.writing() as connection:
                work(connection)
        finally:
            database.close()

    def run(self, *arguments: str) -> Any:
        """Run a command; what it answers in JSON. Raises CommandFailed."""
        done = subprocess.run(
            [*_COMMAND, *arguments, "--config", str(self.config), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(done.stderr.strip() or f"exit {done.returncode}")
        return json.loads(done.stdout)

    def start(self, timeout: float = 20.0, *, leased: bool = True) -> Self:
        """Run the service until it says that it serves and, if `leased`, Asterisk has its lease."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._within, *_COMMAND, "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        atexit.register(self.kill)
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if ready else ""
        if "http" not in line:
            raise CommandFailed(f"callguard does not serve:\n{self.log.read_text()[-2000:]}")
        self.url = line.split()[-1]
        while leased and not self._leased():
            if time.monotonic() > deadline:
                raise TimeoutError("Asterisk has no lease")
            time.sleep(0.05)
        return self

    def _leased(self) -> bool:
        answer = self.pbx.cli("dialplan show globals")
        for line in answer.splitlines():
            name, _, value = line.strip().partition("=")
            if name == "CALLGUARD_ALIVE":
                return abs(time.time() - float(value or 0)) < 2
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> int:
        """End it in order; its exit status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(20)
        self.kill()
        return status

    def kill(self) -> None:
        """End it as `kill -9` does, if it has not ended yet."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        atexit.unregister(self.kill)

    def freeze(self) -> None:
        """Make it stand still, as SIGSTOP does."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait_until_gone(self, timeout: float = 10.0) -> None:
        """Wait until somebody, such as the watchdog, has ended it."""
        assert self._process is not None
        self._process.wait(timeout)

    def get(self, path: str) -> tuple[int, str]:
        """A page: its status and text."""
        try:
            where = self.url.rstrip("/") + path
            with urllib.request.urlopen(where, timeout=10) as answer:  # noqa: S310 - our own page
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def act(self, call_id: str, action: str) -> dict[str, Any]:
        """Do something over the API to the recording of a call; what it answers."""
        token = (self.data / "api.token").read_text().strip()
        asked = urllib.request.Request(  # noqa: S310 - our own page
            f"{self.url.rstrip('/')}/api/v1/calls/{call_id}/recording",
            json.dumps({"action": action}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            return dict(json.loads(error.read()))

    def database(self) -> Database:
        """Its database, to look into; close it."""
        return Database(f"sqlite:///{self.data / 'callguard.db'}")

    def wait_until_sealed(self, timeout: float = 15.0) -> None:
        """Wait until no recording is in progress and the spool holds no audio."""
        deadline = time.monotonic() + timeout
        while True:
            states = self._states()
            if "recording" not in states and not self.spooled():
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not sealed: {states}, spool {self.spooled()}")
            time.sleep(0.1)

    def _states(self) -> list[str]:
        database = self.database()
        try:
            with database.reading() as connection:
                return [row.state for row in connection.execute(recordings.select())]
        finally:
            database.close()

    def spooled(self) -> Sequence[str]:
        """What lies in the spool, but for the lease."""
        return sorted(p.name for p in self.pbx.spool.iterdir() if p.name != "alive")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.kill()


def _now() -> datetime:
    return datetime.now(UTC)


def _free_port() -> int:
    """A port that is free now, so that the page has one address over all restarts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_COMMAND = (sys.executable, "-m", "callguard")
