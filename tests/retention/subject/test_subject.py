"""Erasing a subject: everything of it, of that tenant alone, and it stays so."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, func, insert, select

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.recording.spool import Spool
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.erasures.ledger import ErasureLedger, LedgerError
from callguard.retention.subject.certificate import HOLD, Outcome
from callguard.retention.subject.erasing import Means, erase_subject, foresee
from callguard.retention.subject.rows import Trail
from callguard.storage.database import Database
from callguard.storage.schema import (
    attempts,
    audit,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    holds,
    opt_out_claims,
    opt_outs,
    purges,
    recording_events,
    recordings,
)
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of

T = TypeVar("T")
ANN, BOB = "+442079460001", "+442079460002"
TABLES = {
    "verdict": calls,
    "call_record": call_records,
    "consent": consents,
    "attempt": attempts,
    "recording": recordings,
    "recording_event": recording_events,
    "delivery": deliveries,
    "contact": contacts,
    "opt_out_claim": opt_out_claims,
    "opt_out": opt_outs,
}


class House:
    """A database with calls in it, and the means to erase."""

    def __init__(self, database: Database, clock: HandClock, folder: Path) -> None:
        self.database, self.clock = database, clock
        self.store = FolderStore(folder / "objects")
        self.ledger = ledger_of(database)
        self.limits: tuple[RetentionLimit, ...] = ()
        self._spool = Spool(folder / "spool", floor=0)

    @property
    def tenant(self) -> Tenant:
        directory = TenantDirectory(self.limits)
        with self.database.reading() as connection:
            directory.refresh(connection)
        found = directory.get("acme")
        assert found is not None
        return found

    def put(self, table: Any, **values: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(insert(table).values(**{"tenant_id": "acme", **values}))

    def call(self, name: str, subject: str, *, tenant: str = "acme") -> None:
        """One call with everything that can be known of it."""
        now = self.clock.now()
        whose, place = {"tenant_id": tenant}, {"pbx": "east"}
        says = {"subject": subject, "purpose": "marketing"}
        self.put(
            calls, id=name, uniqueid=name, direction="outbound", caller="100", called=subject,
            verdict="allow", reasons=[], obligations=[], findings=[], decided_at=now,
            **whose, **place, **says,
        )  # fmt: skip
        self.record(name, call_id=name, caller="100", called=subject, subject=subject, **whose)
        self.put(consents, id=f"{name}-yes", call_id=name, state="granted", at=now, **whose, **says)
        self.put(attempts, call_id=name, at=now, channel="voice", **whose, **says)
        self.put(
            recordings, id=f"{name}-r", call_id=name, channel_uniqueid=name, state="sealed",
            spool_name=f"{name}.sln", encoding="pcm-8000-1", header=b"header", started_at=now,
            payload=f"{name}-r", **whose, **place,
        )  # fmt: skip
        self.store.put(f"{name}-r", [b"sealed"])
        of = {"recording_id": f"{name}-r", **whose}
        self.put(
            recording_events, id=f"{name}-e", call_id=name, kind="paused", by="x", at=now, **of
        )
        self.put(deliveries, place="theirs", state="done", attempts=1, begun_at=now, **of)

    def record(self, name: str, **values: Any) -> None:
        now = self.clock.now()
        self.put(
            call_records,
            **{
                "pbx": "east", "uniqueid": f"u/{name}", "sequence": 1, "linkedid": name,
                "channel": "", "peer_channel": "", "started_at": now, "ended_at": now,
                "duration_s": 1, "billed_s": 1, "disposition": "ANSWERED", "userfield": "",
                "source": "file", "caller": "1", "called": "2", **values,
            },
        )  # fmt: skip

    def contact(self, subject: str, **values: Any) -> None:
        self.put(contacts, subject=subject, known={}, updated_at=self.clock.now(), **values)

    def left(self) -> dict[str, int]:
        with self.database.reading() as connection:
            found = {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in TABLES.items()
            }
        return {name: count for name, count in found.items() if count}

    async def erase(self, subject: str = ANN) -> Outcome:
        async def write(work: Callable[[Connection], T], /) -> T:
            with self.database.writing() as connection:
                return work(connection)

        async def read(query: Callable[[Connection], Trail]) -> Trail:
            with self.database.reading() as connection:
                return query(connection)

        means = Means(read, write, self.ledger, self._spool, self.store, self.clock)
        _, outcome = await erase_subject(means, self.tenant, subject, actor="t", reason="asked")
        return outcome


@pytest.fixture
def house(database: Database, clock: HandClock, tenant: str, tmp_path: Path) -> House:
    assert tenant == "acme"
    return House(database, clock, tmp_path)


ONE_CALL = dict.fromkeys(
    ("verdict", "call_record", "consent", "attempt", "recording", "recording_event", "delivery"), 1
)


async def test_everything_of_the_subject_goes_and_nothing_else(house: House) -> None:
    add_tenant(house.database, house.clock, "other")
    house.call("ann", ANN)
    house.call("bob", BOB)
    house.call("theirs", ANN, tenant="other")
    house.contact(ANN, id="contact-1")
    house.contact(BOB, id="contact-2")
    outcome = await house.erase()
    assert dict(+outcome.counts) == {**ONE_CALL, "contact": 1}
    assert house.left() == {**dict.fromkeys(ONE_CALL, 2), "contact": 1}
    assert sorted(house.store.names()) == ["bob-r", "theirs-r"]


async def test_rows_that_belong_to_no_call_go_too(house: House) -> None:
    now = house.clock.now()
    house.contact(ANN)
    house.put(consents, id="paper", subject=ANN, purpose="marketing", state="granted", at=now)
    house.record("national", caller="020 7946 0001")
    house.record("international", called="00442079460001")
    house.record("keyed", subject=ANN)
    house.record("another", caller="02079460002")
    house.record("tail", caller="+33179460001")
    house.record("address", caller="sip:+442079460001@carrier.example")
    house.record("transfer", peer_channel="Local/02079460001@transfer-00000017;1")
    house.record("routed", routed_to="PJSIP/020-7946-0001@trunk")
    house.record("longer", channel="Local/020794600012@transfer", called="00020794600019")
    outcome = await house.erase()
    assert dict(+outcome.counts) == {"call_record": 6, "consent": 1, "contact": 1}
    assert house.left() == {"call_record": 3}


async def test_legs_without_an_id_go_with_the_call_that_they_are_linked_to(house: House) -> None:
    house.call("ann", ANN)
    house.record("leg", linkedid="ann")
    await house.erase()
    assert house.left() == {}


async def test_the_wish_for_peace_stays_and_is_told(house: House) -> None:
    house.put(
        opt_outs, subject=ANN, standing=True, purposes=[], way="line", actor="x",
        at=house.clock.now(),
    )  # fmt: skip
    outcome = await house.erase()
    assert house.left() == {"opt_out": 1}
    assert [(k, n) for (k, _), n in outcome.kept.items() if n] == [("opt_out", 1)]


async def test_what_a_hold_covers_stays_whole(house: House) -> None:
    house.call("free", ANN)
    house.call("held", ANN)
    with house.database.writing() as connection:
        connection.execute(
            insert(holds).values(
                id="h", call_id="held", reason="court", author="x", at=house.clock.now()
            )
        )
    outcome = await house.erase()
    assert house.left() == ONE_CALL
    assert outcome.kept["recording", HOLD] == 1
    assert dict(+outcome.counts) == ONE_CALL


FLOOR = RetentionLimit(
    "xx.records", "floor", "call_record", Span(months=12), "t", "a statute", date(2000, 1, 1)
)


async def test_what_a_law_keeps_stays_until_the_law_lets_it_go(house: House) -> None:
    house.limits = (FLOOR,)
    house.call("ann", ANN)
    outcome = await house.erase()
    assert house.left() == {"call_record": 1}
    assert outcome.kept["call_record", "xx.records"] == 1
    assert outcome.counts["call_record"] == 0
    with house.database.reading() as connection:
        until = connection.execute(select(call_records.c.expires_at)).scalar_one()
    assert until == house.clock.now().replace(year=2027)
    house.clock.advance(days=366)
    await house.erase()
    assert house.left() == {}


async def test_a_recording_that_a_law_keeps_can_still_be_opened(house: House) -> None:
    house.limits = (replace(FLOOR, data_class="recording"),)
    house.call("ann", ANN)
    await house.erase()
    assert house.left() == {"recording": 1, "recording_event": 1, "delivery": 1}
    with house.database.reading() as connection:
        assert connection.execute(select(recordings.c.header)).scalar_one() == b"header"


async def test_somebody_elses_call_stays_theirs(house: House) -> None:
    house.call("bob", BOB)
    now = house.clock.now()
    house.put(
        consents, id="joined", call_id="bob", subject=ANN, purpose="marketing", state="granted",
        at=now,
    )  # fmt: skip
    outcome = await house.erase()
    assert house.left() == ONE_CALL
    assert outcome.kept["recording", "a recording of somebody else's call"] == 1


async def test_a_dry_run_tells_the_same_and_takes_nothing(house: House) -> None:
    house.limits = (FLOOR,)
    house.call("ann", ANN)
    before = house.left()
    with house.database.reading() as connection:
        foreseen = foresee(connection, house.tenant, ANN, house.clock.now())
        assert connection.execute(select(call_records.c.expires_at)).scalar_one() is None
    assert house.left() == before
    assert (await house.erase()).as_json() == foreseen.as_json()


async def test_the_certificate_and_the_log_name_no_number(house: House) -> None:
    house.call("ann", ANN)
    await house.erase()
    with house.database.reading() as connection:
        row = connection.execute(select(purges).where(purges.c.kind == "erase")).one()
        entry = connection.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one()
    assert row.finished_at == house.clock.now()
    assert row.certificate["counts"] == ONE_CALL
    assert entry.action == "subject.erase"
    for told in (str(row), str(entry), house.ledger.path.read_text()):
        assert "7946" not in told


async def test_a_second_time_takes_what_came_since(house: House) -> None:
    house.call("ann", ANN)
    await house.erase()
    lines = sum(1 for _ in house.ledger.lines())
    house.put(
        consents, id="late", call_id="ann", subject=ANN, purpose="marketing", state="granted",
        at=house.clock.now(),
    )  # fmt: skip
    await house.erase()
    assert house.left() == {}
    assert sum(1 for _ in house.ledger.lines()) == lines


async def test_nothing_goes_where_the_ledger_cannot_be_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise LedgerError("the disk is full")

    house.call("ann", ANN)
    monkeypatch.setattr(ErasureLedger, "enter", full)
    with pytest.raises(LedgerError):
        await house.erase()
    assert house.left() == ONE_CALL


async def test_it_is_forgotten_again_by_a_database_from_before(
    house: House, tmp_path: Path
) -> None:
    house.limits = (FLOOR,)
    house.call("part", ANN)
    house.limits = ()
    house.contact(ANN, id="contact-1")
    house.call("bob", BOB)
    house.clock.advance(seconds=1)
    for number in range(3):
        house.call(f"ann-{number}", ANN)
    house.put(consents, id="paper", subject=ANN, purpose="marketing", state="granted",
              at=house.clock.now())  # fmt: skip
    house.record("loose", caller="02079460001")
    house.record("x" * 140 + "é" * 5, caller="02079460001")
    copy = tmp_path / "before.db"
    with sqlite3.connect(house.database.url.database or "") as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    house.limits = (replace(FLOOR, span=Span(months=1), purposes=frozenset({"marketing"})),)
    await house.erase()
    old = Database(f"sqlite:///{copy}")
    forget_again(old, house.ledger, house.clock, actor="t")
    there, house.database = house.database, old
    after = house.left()
    house.database = there
    old.close()
    assert after.pop("recording") == 5  # their headers are gone; the purge takes the rows
    expected = house.left()
    assert expected.pop("recording") == 1
    assert after == expected


async def test_one_under_way_is_told_and_its_row_waits_for_who_writes_it(house: House) -> None:
    house.call("ann", ANN)
    with house.database.writing() as connection:
        connection.execute(recordings.update().values(state="recording", payload=None))
    outcome = await house.erase()
    assert outcome.under_way == 1
    assert house.left() == {"recording": 1}
