"""A whole callguard beside a simulated Asterisk, on virtual time: the service as it is composed,
with real storage, real sealing and the real dialplan; only the PBX and the clock are the test's."""

import asyncio
import hashlib
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from callguard.cdr.keeper import POLL_S
from callguard.config import Settings
from callguard.consent.prompts import MANIFEST, RATE, Prompt
from callguard.consent.texts import shipped_texts
from callguard.recording import age
from callguard.recording.keys import MasterKey, generate_tenant_identity
from callguard.recording.payload import open_stream
from callguard.recording.store.folder import FolderStore
from callguard.service import Service
from callguard.storage.database import Database
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings
from tests.harness.playbook import SPOOL, Outcome, Pbx
from tests.harness.virtual import current_clock
from tests.schema import upgrade

PROMPTS = "/var/lib/callguard/prompts"
"""The prompts as the simulated Asterisk sees them."""

NOTICE = f"{PROMPTS}/en/notice-1"
NOTICE_S = 3
WAV_HEADER = 44
PARTY = "+442079460123"
DID = "+442079460999"


@dataclass(slots=True)
class House:
    """The service, its PBX, and the key of the tenant ``acme``."""

    service: Service
    pbx: Pbx
    folder: Path
    identity: age.Identity

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """All rows of a table, oldest first."""
        with self.service.database.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(select(table))]

    def spooled(self) -> list[str]:
        """What lies in the spool, but for the lease."""
        return sorted(p.name for p in self.pbx.spool.iterdir() if p.name != "alive")

    def one(self, table: Table) -> dict[str, Any]:
        """The only row of a table."""
        (row,) = self.rows(table)
        return row

    def audio(self, recording: dict[str, Any]) -> bytes:
        """The samples of a sealed recording, opened with the tenant's outside key."""
        payload = FolderStore(self.service.settings.object_folder).read(recording["payload"])
        file_key = age.unwrap(age.parse_header(recording["header"]), [self.identity])
        return b"".join(open_stream([payload], file_key))[WAV_HEADER:]

    async def settled(self) -> None:
        """Returns when every recording is sealed and every call record read from the file."""
        while self.service.vault.recorder.in_progress():
            await asyncio.sleep(0.1)
        await asyncio.sleep(2 * POLL_S)

    async def whole_call(self, number: str = PARTY, *, seconds: float = 4) -> Outcome:
        """An allowed outbound call: notice heard, talk, the party hangs up."""
        call = self.pbx.outbound(number, tenant="acme", purpose="service")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=seconds)
        await call.hangs_up("party")
        return await call.ended()


def speak_prompts(
    folder: Path, seconds: int = NOTICE_S, languages: tuple[str, ...] = ("en", "he", "nl")
) -> None:
    """Prompts of the right shape without a voice: the tests need their lengths only. In few
    languages, because most tests need but one, and each file takes its time."""
    silence = io.BytesIO()
    with wave.open(silence, "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(bytes(2 * RATE * seconds))
    data, samples = silence.getvalue(), RATE * seconds
    digest = hashlib.sha256(data).hexdigest()
    made = [
        Prompt(t.name, t.language, t.version, t.text, digest, samples, t.digits)
        for t in shipped_texts()
        if t.language in languages
    ]
    for language in languages:
        (folder / language).mkdir(parents=True, exist_ok=True)
    for prompt in made:
        (folder / f"{prompt.file}.wav").write_bytes(data)
    (folder / MANIFEST).write_text(json.dumps([asdict(p) for p in made]))


def furnish(folder: Path, **tenant: object) -> tuple[Settings, age.Identity]:
    """What ``callguard init`` and ``tenant add`` would make, quickly."""
    (folder / "manager.secret").write_text("secret\n")
    master = MasterKey.create(folder / "master.key")
    speak_prompts(folder / "prompts")
    settings = Settings.model_validate(
        {
            "data": folder,
            "asterisk": [
                {
                    "secret_file": folder / "manager.secret",
                    "spool": SPOOL,
                    "prompts": PROMPTS,
                    "cdr_file": folder / "cdr-custom" / "callguard.csv",
                    "lease_file": True,
                }
            ],
            "agi": {"port": 0},
            "web": {"port": 0},
            "spool": {"folder": folder / "spool", "reserve_bytes": 0},
            "limits": {"watchdog_s": 0},
        }
    )
    (folder / "spool").mkdir(mode=0o700, exist_ok=True)
    (folder / "cdr-custom").mkdir(exist_ok=True)
    database = Database(settings.database_url)
    upgrade(database)
    outside = age.generate_identity("pq")
    new = generate_tenant_identity(master, "acme", 1)
    with database.writing() as connection:
        add(
            connection,
            NewTenant(
                "acme",
                "Acme",
                TenantSettings.model_validate({"purpose": "service", "late_s": 0, **tenant}),
                OwnKey("pq", new.recipient, new.wrapped),
                recipients=[str(outside.recipient)],
                numbers=[DID],
                endpoints=["PJSIP/agent1"],
            ),
            at=current_clock().now(),
            actor="test",
        )
    database.close()
    return settings, outside


@asynccontextmanager
async def serving(settings: Settings, pbx: Pbx) -> AsyncIterator[Service]:
    """The service on these settings, up and with a lease; stopped in order at the end."""
    service = Service(settings, current_clock(), connect=pbx.network.ami_connect)
    pbx.network.serve_agi = service.agi.serve_connection
    ready = asyncio.Event()
    running = asyncio.create_task(service.run(ready=lambda _: ready.set()))
    await asyncio.wait([running, asyncio.create_task(ready.wait())], return_when="FIRST_COMPLETED")
    if running.done():
        await running
    try:
        while any(service.lease.age(name) is None for name in service.pbxs):
            await asyncio.sleep(0.1)
        yield service
    finally:
        service.stop()
        await running


def simulated_pbx(folder: Path) -> Pbx:
    """The PBX of a furnished house; ``serving`` connects it."""
    return Pbx(_nobody, folder=folder, folders={PROMPTS: folder / "prompts"})


@asynccontextmanager
async def house(folder: Path, **tenant: object) -> AsyncIterator[House]:
    """A furnished, serving house. ``tenant`` are settings of the tenant ``acme``."""
    settings, identity = furnish(folder, **tenant)
    pbx = simulated_pbx(folder)
    async with pbx, serving(settings, pbx) as service:
        yield House(service, pbx, folder, identity)


async def _nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raise AssertionError("the service does not serve yet")
