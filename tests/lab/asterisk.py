"""A private, real Asterisk: its own folders, ports and mount namespace, shared program files.

The programs come from the folder that `scripts/prepare` makes. Each instance sees that folder as
its root, with its own folder mounted at `/instance`; nothing of the host's Asterisk, if there is
one, is touched.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self

from tests.lab import config
from tests.lab.ports import PortRange

_HOME = PurePosixPath("/instance")
MEMORY = Path("/dev/shm")
"""A tmpfs that every instance sees under its own name."""

# $0: the shared root folder, $1: this instance's folder. The last word replaces the shell, so
# that the process we started is Asterisk itself.
_ENTER = r"""
set -e
mount --make-rprivate /
mount --rbind /dev "$0/dev"
mount --rbind /proc "$0/proc"
mount -t tmpfs none "$0/tmp"
mount --bind "$1" "$0/instance"
mount --bind "$1/etc/hosts" "$0/etc/hosts"
exec /usr/sbin/chroot "$0" /usr/sbin/asterisk -f -C /instance/etc/asterisk.conf
"""


class LaboratoryMissingError(RuntimeError):
    """There is no Asterisk folder; `scripts/prepare` makes it or says why it cannot."""


class AsteriskError(RuntimeError):
    """Asterisk did not come up, or died; the message ends with its own last words."""


def root_folder() -> Path:
    """The folder with Asterisk's programs, made by `scripts/prepare`."""
    cache = Path(os.environ.get("CALLGUARD_CACHE") or config.CHECKOUT / ".cache")
    root = cache / "asterisk-root"
    if not (root / "usr/sbin/asterisk").exists():
        raise LaboratoryMissingError(f"no Asterisk in {root}: run scripts/prepare")
    return root


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where and as whom to log in to AMI."""

    host: str
    port: int
    username: str
    secret: str = field(repr=False)


class Asterisk:
    """One instance. Made with `Asterisk(folder)`, run with `start()`, ended with `close()`.

    `files` replaces or adds configuration files by name; `spool` is where recordings grow, if not
    in its own folder; `within` is a command that runs it, in surroundings of its own. Paths come in
    pairs: on the host (`spool`) and as Asterisk must be told (`inside(path)`).
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: Mapping[str, str] | None = None,
        sites: config.Sites | None = None,
        rtp_ports: int = 100,
        spool: Path | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self.folder = folder.resolve()
        self._within = tuple(within)
        self._ports = PortRange(100 + rtp_ports)
        self.sites = sites or self._allot(rtp_ports)
        self._process: subprocess.Popen[bytes] | None = None
        self.boot_seconds = 0.0
        self.etc = self.folder / "etc"
        self.log = self.folder / "log"
        self.spool = spool or self.folder / "spool" / "callguard"
        self.prompts = self.folder / "prompts"
        self.cdr_file = self.log / "cdr-custom" / "callguard.csv"
        self.master_csv = self.log / "cdr-csv" / "Master.csv"
        self.ami = Credentials("127.0.0.1", self.sites.ami, "callguard", secrets.token_hex(24))
        self.observer = Credentials("127.0.0.1", self.sites.ami, "observer", secrets.token_hex(24))
        self._lay_out(files or {})

    def _allot(self, rtp_ports: int) -> config.Sites:
        take = self._ports.take
        sip, agent, carrier, ami, agi = take(), take(), take(), take(), take()
        parties = take(config.PARTIES)
        rtp = self._ports.end - rtp_ports
        return config.Sites(sip, agent, carrier, ami, agi, rtp, self._ports.end - 1, parties)

    def _lay_out(self, files: Mapping[str, str]) -> None:
        for name in ("etc", "lib", "db", "cache", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for folder in (self.spool, self.prompts, self.cdr_file.parent, self.master_csv.parent):
            folder.mkdir(parents=True, exist_ok=True)
        hostname = socket.gethostname()
        texts = {
            "asterisk.conf": config.asterisk_conf(str(_HOME)),
            # Without these names Asterisk asks the resolver for them at every call.
            "hosts": f"127.0.0.1 localhost {hostname} A.ROOT-SERVERS.NET\n",
            "manager.conf": config.manager_conf(
                self.sites, port=self.ami.port, observer_secret=self.observer.secret
            ),
            "pjsip.conf": config.pjsip_conf(self.sites),
            "extensions.conf": config.operator_dialplan(self.sites),
            **config.common(self.sites),
        }
        for source in config.ASTERISK_CONF.glob("*.conf"):
            texts[source.name] = source.read_text().replace("CHANGE-ME", self.ami.secret)
        for name, text in {**texts, **files}.items():
            (self.etc / name).write_text(text)

    def inside(self, path: Path) -> PurePosixPath:
        """How this instance calls a host path below its own folder, or on a memory disk."""
        if path.is_relative_to(MEMORY):
            return PurePosixPath(path)
        return _HOME / path.resolve().relative_to(self.folder)

    def outside(self, path: str) -> Path:
        """The host's name for a path that Asterisk reported."""
        return self.folder / PurePosixPath(path).relative_to(_HOME)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id on the host.

        Raises AsteriskError when it does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise AsteriskError("Asterisk does not run")
        return self._process.pid

    def start(self, timeout: float = 20.0) -> Self:
        """Run it and wait until it is fully booted (seconds in `boot_seconds`)."""
        if self.running:
            return self
        begun = time.monotonic()
        (self.folder / "run" / "asterisk.ctl").unlink(missing_ok=True)
        unshare = ["unshare", "--mount"]
        if os.getuid() != 0:
            unshare += ["--user", "--map-root-user"]
        with (self.folder / "console").open("ab") as console:
            self._process = subprocess.Popen(
                [*self._within, *unshare, "sh", "-c", _ENTER, str(root_folder()), str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        atexit.register(self.kill)
        while not self._booted():
            if self._process.poll() is not None or time.monotonic() - begun > timeout:
                self.kill()
                raise AsteriskError(f"Asterisk did not boot:\n{self.last_words()}")
            time.sleep(0.02)
        self.boot_seconds = time.monotonic() - begun
        return self

    def _booted(self) -> bool:
        with contextlib.suppress(OSError):
            # The last commands of its command line are made after that.
            return "fully booted" in self.cli("core waitfullybooted") and (
                "Asterisk 22" in self.cli("core show version")
            )
        return False

    def cli(self, command: str, timeout: float = 10.0) -> str:
        """What Asterisk's command line answers, over its control socket.

        Raises OSError when Asterisk does not answer.
        """
        # Through a descriptor, since a socket's path may not exceed 107 bytes.
        folder = os.open(self.folder / "run", os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(timeout)
                control.connect(f"/proc/self/fd/{folder}/asterisk.ctl")
                control.recv(4096)  # host name, process id, version
                control.sendall(f"cli quit after {command}\0".encode())
                answer = b"".join(iter(lambda: control.recv(65536), b""))
        finally:
            os.close(folder)
        return answer.replace(b"\0", b"").decode(errors="replace")

    def channels(self) -> int:
        """How many channels are up."""
        for line in self.cli("core show channels count").splitlines():
            if "active channel" in line:
                return int(line.split()[0])
        raise AsteriskError("no channel count")

    def last_words(self, lines: int = 30) -> str:
        """The end of its log and console."""
        logs = (self.log / "full", self.folder / "console")
        texts = [path.read_text(errors="replace") for path in logs if path.exists()]
        return "\n".join("\n".join(text.splitlines()[-lines:]) for text in texts)

    def stop(self, timeout: float = 10.0) -> None:
        """Hang up everything and end in order."""
        if self._process is None or self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            self.cli("core stop now")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        atexit.unregister(self.kill)

    def restart(self) -> Self:
        """Stop it, keep its folders, run it again."""
        self.stop()
        return self.start()

    def close(self, *, keep: bool = True) -> None:
        """Kill it and give the ports back; `keep=False` removes its folder too."""
        self.kill()
        self._ports.release()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()
