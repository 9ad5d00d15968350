"""A tenant with records of every class, and what carries its end out."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select

from callguard.ids import uuid7
from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.recording import age, payload
from callguard.recording.erasure import Write
from callguard.recording.formats import FORMATS
from callguard.recording.keys import MasterKey, generate_tenant_identity
from callguard.recording.store.folder import FolderStore
from callguard.retention.at_end import AtEnd
from callguard.retention.purging.purge import Surroundings, purge
from callguard.retention.termination.asking import Termination, Wanted, ask, latest
from callguard.retention.termination.sources import TABLES
from callguard.retention.termination.surroundings import Places
from callguard.retention.termination.termination import Terminations
from callguard.storage.database import Database
from callguard.storage.schema import (
    attempts,
    call_records,
    calls,
    campaign_days,
    consents,
    contacts,
    deliveries,
    opt_out_claims,
    opt_outs,
    purges,
    recording_events,
    recordings,
    scrubs,
    tenant_keys,
    tenant_places,
    tenant_retention,
    tenants,
)
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.stamp import touch
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings
from tests.clock import HandClock
from tests.databases import ledger_of

NEW_YORK, LONDON = "+12125550143", "+442079460143"
"""Of whose calls a law wants records for years; and none."""

YEARS = Span(months=60)


def floor(data_class: str, *minimum: str) -> RetentionLimit:
    """Five years, for what is about people in the United States."""
    return RetentionLimit(
        f"us.{data_class}",
        "floor",
        data_class,
        YEARS,
        "Records are kept for five years",
        f"16 CFR 310.5 ({data_class})",
        date(2024, 10, 15),
        regions=frozenset({"US"}),
        whose="subject",
        minimum=minimum,
    )


LAW = (floor("call_record", "called", "caller", "started_at"), floor("opt_out", "at", "subject"))
AUDIO = bytes(range(256)) * 300
MASTER = MasterKey(bytes(32))


@dataclass
class Life:
    """``acme``: two calls, one to New York and one to London, with all that belongs to them."""

    database: Database
    write: Write
    clock: HandClock
    folder: Path
    law: tuple[RetentionLimit, ...] = LAW
    tenant: str = "acme"
    store: FolderStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = FolderStore(self.folder / "objects")

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def places(self) -> Places:
        return Places(self.folder / "exports", self.folder / "scrubs")

    def rooms(self, **more: Any) -> Terminations:
        """What carries terminations out, as a process has it."""
        return Terminations(
            self.database,
            more.pop("write", self.write),
            self.store,
            ledger_of(self.database),
            MASTER,
            TenantDirectory(self.law, self.clock),
            self.places,
            **more,
        )

    def live(self, tenant: str = "acme") -> "Life":
        """Adds the tenant with its records."""
        own = generate_tenant_identity(MASTER, tenant, 1, "x25519")
        new = NewTenant(
            tenant,
            "Łąka Żółta",
            TenantSettings(home_region="GB"),
            OwnKey("x25519", own.recipient, own.wrapped),
            numbers=("+442079460999",) if tenant == "acme" else (),
            endpoints=(f"PJSIP/{tenant}1",),
        )
        with self.database.writing() as connection:
            add(connection, new, at=self.now, actor="test")
            for subject in (NEW_YORK, LONDON):
                self._call(connection, tenant, subject)
            self._around(connection, tenant)
        (self.places.scrubs / f"list-{tenant}").mkdir(parents=True)
        (self.places.scrubs / f"list-{tenant}" / "in.csv").write_text(LONDON)
        return self

    def _call(self, connection: Connection, tenant: str, subject: str) -> None:
        call, at = str(uuid7(self.now)), self.now
        whose = {"tenant_id": tenant, "subject": subject}
        year = {"expires_at": Span(months=12).after(at)}
        place = {"pbx": "east", "uniqueid": call, "caller": "100", "called": subject}
        lists: dict[str, object] = {"reasons": [], "obligations": [], "findings": []}
        said = {"direction": "outbound", "purpose": "marketing", "verdict": "allow"}
        values = {"id": call, **whose, **year, **place, **lists, **said, "decided_at": at}
        connection.execute(insert(calls).values(values))
        kept = {"expires_at": YEARS.after(at)} if subject == NEW_YORK else year
        ends = {"duration_s": 9, "billed_s": 7, "disposition": "ANSWERED", "userfield": call}
        named = {"linkedid": call, "channel": "PJSIP/a-1", "peer_channel": "PJSIP/b-1"}
        times = {"started_at": at, "ended_at": at, "source": "file", "sequence": 1}
        of = {"direction": "outbound", "purpose": "marketing", "call_id": call}
        values = {**whose, **kept, **place, **ends, **named, **times, **of}
        connection.execute(insert(call_records).values(values))
        values = {**whose, **year, "call_id": call, "at": at, "purpose": "marketing"}
        connection.execute(insert(attempts).values(**values, channel="voice"))
        values = {**whose, **year, "id": str(uuid7(at)), "call_id": call, "at": at}
        connection.execute(insert(consents).values(**values, purpose="recording", state="granted"))
        known = {"known": {}, "updated_at": at, "id": str(uuid7(at))}
        origin = "synced" if subject == LONDON else "manual"
        connection.execute(insert(contacts).values(**whose, **known, origin=origin))
        wish = {"standing": True, "purposes": [], "channels": [], "way": "call", "actor": "test"}
        connection.execute(insert(opt_outs).values(**whose, **wish, at=at))
        recording = self._recording(connection, tenant, call)
        event = {"recording_id": recording, "call_id": call, "kind": "begun", "by": "callguard"}
        values = {"id": str(uuid7(at)), "tenant_id": tenant, **event, "at": at, **year}
        connection.execute(insert(recording_events).values(values))
        sent = {"place": "theirs", "state": "confirmed", "attempts": 1, "begun_at": at}
        values = {"recording_id": recording, "tenant_id": tenant, **sent, **year}
        connection.execute(insert(deliveries).values(values))

    def _recording(self, connection: Connection, tenant: str, call: str, **changed: Any) -> str:
        name, at = str(uuid7(self.now)), self.now
        plain = FORMATS["pcm-8000-1"].wav.header() + AUDIO
        key = age.new_file_key()
        sealed = b"".join(payload.seal_stream([plain], key, age.new_nonce()))
        self.store.put(name, [sealed])
        chosen = select(tenant_keys.c.recipient).where(tenant_keys.c.tenant_id == tenant)
        recipients = [age.parse_recipient(one) for one in connection.execute(chosen).scalars()]
        values = {
            "id": name,
            "tenant_id": tenant,
            "call_id": call,
            "pbx": "east",
            "channel_uniqueid": call,
            "state": "sealed",
            "spool_name": f"{name}.sln",
            "encoding": "pcm-8000-1",
            "header": age.build_header(key, recipients),
            "payload": name,
            "plain_bytes": len(plain),
            "sealed_bytes": len(sealed),
            "payload_sha256": hashlib.sha256(sealed).hexdigest(),
            "started_at": at,
            "ended_at": at,
            "expires_at": Span(months=12).after(at),
        }
        connection.execute(insert(recordings).values({**values, **changed}))
        return name

    def _around(self, connection: Connection, tenant: str) -> None:
        at = self.now
        job = {"id": f"list-{tenant}", "tenant_id": tenant, "state": "done", "asked": {}}
        until = {"actor": "test", "at": at, "expires_at": at + timedelta(days=7)}
        connection.execute(insert(scrubs).values(**job, **until))
        claim = {"subject": LONDON, "state": "settled", "pbx": "east", "language": "en"}
        values = {"id": f"claim-{tenant}", "tenant_id": tenant, "call_id": "c", **claim, "at": at}
        connection.execute(insert(opt_out_claims).values(values))
        settings = {"url": "https://example.org/in"}
        values = {"tenant_id": tenant, "name": "theirs", "kind": "https", "settings": settings}
        connection.execute(insert(tenant_places).values(**values, keep=True, added_at=at))
        day = {"campaign": "spring", "day": at.date(), "answered": 2, "abandoned": 0}
        connection.execute(insert(campaign_days).values(tenant_id=tenant, **day))

    def chooses(self, data_class: str, choice: AtEnd) -> "Life":
        """What the tenant wants of a class at the end."""
        values = {"tenant_id": self.tenant, "data_class": data_class}
        with self.database.writing() as connection:
            connection.execute(insert(tenant_retention).values(**values, at_end=choice.as_json()))
            touch(connection, self.tenant, self.now)
        return self

    def ends(self, at: datetime | None = None, **wanted: Any) -> Termination:
        """The end is asked for."""
        asked = Wanted(wanted.pop("tenant", self.tenant), at or self.now, **wanted)
        with self.database.writing() as connection:
            return ask(connection, asked, at=self.now, actor="test")

    async def advance(self, **more: Any) -> list[str]:
        """What the service does each minute; nothing may hold it up."""
        rooms = self.rooms(**more)
        done = await rooms.advance(self.now, again=True)
        assert rooms.faults == {}
        return done

    async def purge(self) -> None:
        """What the service does each night."""
        ledger, around = ledger_of(self.database), Surroundings(exports=self.places.exports)
        await purge(self.write, self.store, ledger, self.clock, actor="test", around=around)

    async def night(self, days: int = 1) -> list[str]:
        """So many days later: what the service does, before and after its purge."""
        self.clock.advance(days=days)
        await self.advance()
        await self.purge()
        return await self.advance()

    def now_is(self) -> Termination:
        """The termination as it stands."""
        with self.database.reading() as connection:
            found = latest(connection, self.tenant)
        assert found is not None
        return found

    def left(self, tenant: str = "acme") -> dict[str, int]:
        """How many rows of each class there are that nobody is kept from."""
        found = {}
        with self.database.reading() as connection:
            for name, table in TABLES.items():
                query = select(func.count()).select_from(table).where(table.c.tenant_id == tenant)
                if "expires_at" in table.c:
                    fresh = table.c.expires_at.is_(None) | (table.c.expires_at > self.now)
                    query = query.where(fresh)
                if name == "opt_out":
                    query = query.where(table.c.subject != "")
                found[name] = connection.execute(query).scalar_one()
        return found

    def rows(self, query: Any) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(query))

    def certificate(self) -> Any:
        """The final one."""
        return self.now_is().certificate

    def taken(self) -> dict[str, int]:
        """What all certificates together say is gone."""
        total: dict[str, int] = {}
        for (said,) in self.rows(select(purges.c.certificate)):
            for name, count in said.get("counts", {}).items():
                total[name] = total.get(name, 0) + count
        return total

    def bytes_of(self) -> bytes:
        """All that lies in the database's files and in the folders, tidied."""
        assert self.database.tidy()
        path = Path(str(self.database.url.database))
        found = [path.read_bytes()]
        for folder in (self.places.exports, self.places.scrubs, self.folder / "objects"):
            found += [one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()]
        return b"".join(found)

    def name(self) -> tuple[str, Any]:
        """What is left of the tenant itself."""
        query = select(tenants.c.name, tenants.c.settings).where(tenants.c.id == self.tenant)
        return tuple(self.rows(query)[0])


def lines(data: bytes) -> list[Any]:
    """JSON Lines as values."""
    return [json.loads(line) for line in data.splitlines()]


__all__ = ["AUDIO", "LAW", "LONDON", "MASTER", "NEW_YORK", "YEARS", "Life", "floor", "lines"]
