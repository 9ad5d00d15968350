"""Lists of numbers, and what is kept of some of them: what ``decide`` says of each, beside what a
scrub makes of it."""

import asyncio
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, insert

from callguard.clock import StillClock, SystemClock
from callguard.contacts.contact import Contact
from callguard.gate.decide import decide
from callguard.gate.knowledge import Knowledge
from callguard.gate.policy import Policy
from callguard.gate.request import Request
from callguard.gate.scrub_basis import ruling_of
from callguard.gate.scrubbing import ScrubJudge
from callguard.optout.events import OptOutEvent
from callguard.optout.image import OptOutImage
from callguard.optout.registry.shelf import Shelf
from callguard.optout.scrub.contract import NO_NUMBER, Outcome, Ruling, Summary
from callguard.optout.scrub.output import paths_of
from callguard.optout.scrub.splitting import Asked, split
from callguard.policy.facts import Attempt, Channel
from callguard.policy.packs import parse_pack, shipped_packs
from callguard.storage.attempts import LocalAttempts
from callguard.storage.database import Database
from callguard.storage.grouped import GroupedReads
from callguard.storage.schema import attempts, contacts
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings
from tests.schema import upgrade

AT = datetime(2026, 3, 10, 17, 0, tzinfo=UTC)
"""A Tuesday: noon in New York, five o'clock in London."""


@dataclass(slots=True)
class Office:
    """Everything that a scrub draws on."""

    folder: Path
    database: Database
    known: Knowledge
    request: Request
    connection: Connection
    live: bool = False

    def wish(self, sequence: int, subject: str, **event: object) -> None:
        values = {"tenant": "acme", "standing": True, "way": "cli", "actor": "t", "at": AT, **event}
        self.known.opt_outs.apply(sequence, OptOutEvent(subject=subject, **values))  # type: ignore[arg-type] # as the caller has them

    def contact(self, subject: str, contact: Contact) -> None:
        values = {"tenant_id": "acme", "subject": subject, "known": contact.stored()}
        with self.database.writing() as connection:
            connection.execute(insert(contacts).values(**values, updated_at=AT))

    def attempt(self, subject: str, attempt: Attempt, call_id: str) -> None:
        with self.database.writing() as connection:
            connection.execute(
                insert(attempts).values(
                    subject=subject,
                    at=attempt.at,
                    call_id=call_id,
                    tenant_id=attempt.tenant,
                    purpose=attempt.purpose,
                    channel=attempt.channel,
                    campaign=attempt.campaign,
                    debt=attempt.debt,
                    answered_at=attempt.answered_at,
                )
            )

    def judge(self) -> ScrubJudge:
        with self.database.reading() as connection:
            self.known.tenants.refresh(connection)
        tenant = self.known.tenants.get("acme")
        assert tenant is not None
        assert isinstance(self.known.registries, Shelf)
        snapshots = self.known.registries.snapshots()
        return ScrubJudge(
            self.known, self.connection, self.request, tenant, AT, snapshots, live=self.live
        )

    def decided(self, text: str) -> Ruling:
        """What ``decide`` says of one number."""
        request = replace(self.request, number=text)
        known = replace(self.known, clock=StillClock(self.known.clock, AT))
        decision = asyncio.run(decide(known, request, count=False, at=None if self.live else AT))
        if not decision.call.subject:
            return NO_NUMBER
        return ruling_of(decision.verdict)

    def scrubbed(self, data: bytes, *, block: int = 97, **asked: object) -> "Scrubbed":
        """The three files that a list is split into, in small blocks."""
        out = self.folder / "out.csv"
        judge = self.judge()
        try:
            how = Asked(**asked)  # type: ignore[arg-type] # as the caller has them
            summary = split(io.BytesIO(data), out, judge, asked=how, block=block)
        finally:
            judge.close()
        files = [path.read_bytes() for path in paths_of(out)]
        return Scrubbed(summary, files)


@dataclass(slots=True)
class Scrubbed:
    summary: Summary
    files: Sequence[bytes]


@contextmanager
def office(
    folder: Path,
    *,
    home: str = "US",
    here: str | None = None,
    shown: str = "+12025550101",
    packs: Sequence[str] = (),
    shipped: bool = True,
    channel: Channel = "voice",
    purpose: str = "marketing",
    settings: Mapping[str, object] | None = None,
) -> Iterator[Office]:
    """An office with the tenant ``acme``, registries in the folder ``registries``."""
    database = Database(f"sqlite:///{folder / 'callguard.db'}")
    upgrade(database)
    own = OwnKey("pq", "age1pq1unused", b"unused")
    chosen = TenantSettings.model_validate({"home_region": home, **(settings or {})})
    with database.writing() as connection:
        add(connection, NewTenant("acme", "Acme", chosen, own), at=AT, actor="test")
    rules = [rule for pack in shipped_packs() for rule in pack.rules]
    if not shipped:
        rules = [rule for rule in rules if rule.id.startswith("base.")]
    rules += [rule for text in packs for rule in parse_pack("t", text).rules]
    tenants = TenantDirectory()
    clock = SystemClock()
    with database.reading() as connection:
        tenants.refresh(connection)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        reads = GroupedReads(database, inline=connection)
        known = Knowledge(
            clock=clock,
            tenants=tenants,
            opt_outs=OptOutImage(),
            policy=Policy(rules),
            attempts=LocalAttempts(reads, clock),
            reads=reads,
            home_region=here or home,
            registries=Shelf(folder / "registries"),
        )
        request = Request(
            direction="outbound",
            pbx="",
            uniqueid="",
            channel="",
            number="",
            caller=shown,
            tenant="acme",
            purpose=purpose,
            campaign="",
            agent="",
            account_code="",
            contact_channel=channel,
        )
        yield Office(folder, database, known, request, connection)
    database.close()


OUTCOMES = tuple(Outcome)
