"""A tenant with places, recordings that are sealed, and a courier among them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Table, delete, event, insert, select, update

from callguard.contacts import store as contacts
from callguard.recording.delivery import store as places
from callguard.recording.delivery.courier import Courier
from callguard.recording.delivery.giver import Giver
from callguard.recording.delivery.parcel import DeliveryError, Parcel, Receipt
from callguard.recording.delivery.places import Place, read_place
from callguard.recording.recipients import digest_of
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit, calls, deliveries, recordings
from callguard.tenants.directory import TenantDirectory
from tests.clock import HandClock

URL = "http://127.0.0.1:1/in"
SUBJECT = "+442079460000"
CALL = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def header(of: str) -> bytes:
    """A header that nobody opens, as short as it may be."""
    return b"age-encryption.org/v1\n-> of-" + of.encode() + b"\n\n--- " + b"A" * 43 + b"\n"


def swift(database: Database) -> Database:
    """Spares it the waiting for the disk, where no power is cut."""

    def off(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(database.engine, "connect", off)
    return database


@dataclass
class Far:
    """The tenant's place: what it holds, and what goes wrong there."""

    holds: dict[str, bytes] = field(default_factory=dict)
    tries: int = 0
    fault: BaseException | None = None
    confirms: bool = True
    during: Callable[[], None] | None = None

    async def carry(self, parcel: Parcel) -> Receipt:
        self.tries += 1
        data = b"".join([piece async for piece in parcel.pieces()])
        if self.during is not None:
            self.during()
        if self.fault is not None:
            raise self.fault
        self.holds[parcel.name] = data
        return Receipt(self.confirms, "thanks\n\x1b[31m" + "x" * 999)


@dataclass
class Deliveries:
    """Everything that a courier stands on; ``restart`` is what the next process would have."""

    clock: HandClock
    database: Database
    journal: Journal
    store: FolderStore
    ledger: ErasureLedger
    folder: Path
    far: dict[str, Far] = field(default_factory=dict)
    tenants: TenantDirectory = field(default_factory=TenantDirectory)

    def __post_init__(self) -> None:
        with self.database.reading() as connection:
            self.tenants.refresh(connection)
        self.call()
        self.restart()

    def restart(self) -> None:
        giver = Giver(self.clock, self.journal, self.store, self.ledger)
        self.courier = Courier(
            self.clock,
            self.database,
            self.journal,
            self.store,
            self.tenants,
            giver,
            carrier_to=lambda place: self.far[place.name],
            jitter=lambda: 0.0,
        )

    def place(self, name: str = "theirs", *, keep: bool = True, tenant: str = "acme") -> Far:
        values = {"url": URL, "auth": "none"}
        place = read_place(tenant, name, "https", values, keep=keep, at=self.clock.now())
        self.add(place)
        return self.far.setdefault(name, Far())

    def add(self, place: Place) -> None:
        with self.database.writing() as connection:
            places.add(connection, place, actor="test")

    def sealed(self, name: str = "r1", tenant: str = "acme", payload: bytes = b"sealed" * 9) -> str:
        """A sealed recording with its payload."""
        self.clock.advance(1)
        now = self.clock.now()
        self.store.put(name, [payload])
        values: dict[str, Any] = {"id": name, "tenant_id": tenant, "call_id": CALL, "pbx": "east"}
        values |= {"channel_uniqueid": "1.1", "state": "sealed", "spool_name": f"{name}.sln"}
        values |= {"encoding": "pcm-8000-1", "header": header(name)}
        values |= {"keyed_for": digest_of(["age1pq1unused", "age1pq1theirs"])}
        values |= {"payload": name, "plain_bytes": 9, "sealed_bytes": len(payload)}
        values |= {"payload_sha256": hashlib.sha256(payload).hexdigest(), "started_at": now}
        values |= {"ended_at": now, "sealed_at": now, "expires_at": now + timedelta(days=365)}
        with self.database.writing() as connection:
            connection.execute(insert(recordings).values(values))
        return name

    def restrict(self, subject: str = SUBJECT, *, since: datetime | None) -> None:
        """Restricts processing, or no longer."""
        with self.database.writing() as connection:
            step = partial(replace, restricted_since=since)
            contacts.change(connection, "acme", subject, step, at=self.clock.now())

    def call(self, subject: str = SUBJECT, call: str = CALL) -> None:
        """The call that was recorded."""
        values = {"id": call, "tenant_id": "acme", "pbx": "east", "uniqueid": "1", "caller": "1"}
        values |= {"direction": "outbound", "called": "2", "verdict": "allow", "subject": subject}
        lists: dict[str, object] = {"reasons": [], "obligations": [], "findings": []}
        with self.database.writing() as connection:
            connection.execute(delete(calls).where(calls.c.id == call))
            connection.execute(insert(calls).values(**values, **lists, decided_at=self.clock.now()))

    async def deliver(self, looks: int = 1) -> None:
        for _ in range(looks):
            await self.courier.look()
            await self.courier.idle()

    def change(self, table: Table, **values: object) -> None:
        with self.database.writing() as connection:
            connection.execute(update(table).values(**values))

    def rows(self, table: Table) -> list[Row[Any]]:
        with self.database.reading() as connection:
            return list(connection.execute(select(table)))

    def delivery(self, place: str = "theirs", recording: str = "r1") -> Row[Any]:
        (found,) = [
            row
            for row in self.rows(deliveries)
            if (row.place, row.recording_id) == (place, recording)
        ]
        return found

    def recording(self, name: str = "r1") -> Row[Any]:
        (found,) = [row for row in self.rows(recordings) if row.id == name]
        return found

    def alarms(self) -> tuple[str, ...]:
        return self.courier.alarms

    def actions(self) -> list[str]:
        return [row.action for row in self.rows(audit)]


def broken(reason: str = "it is down") -> DeliveryError:
    return DeliveryError(reason)
