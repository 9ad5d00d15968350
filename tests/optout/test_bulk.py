"""Long lists beside a running service: the service's own writes go on, each transaction is small,
and what the audit log has of it can be checked."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from callguard.audit.log import first_broken
from callguard.optout import bulk
from callguard.optout.bulk import Tally, Terms, enter, note, rows_digest, subject_key
from callguard.optout.events import OptOutEvent, add
from callguard.optout.lines import Entry, Fault
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit, opt_outs

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TERMS = Terms(
    {None: "GB", "acme": "GB"},
    "acme",
    by_column=False,
    purposes=frozenset(),
    channels=frozenset(),
    file="list.csv",
    digest="0" * 64,
    actor="test",
)
AUDITED = select(audit).where(audit.c.action.like("optout.%")).order_by(audit.c.seq)


def some(count: int, start: int = 0) -> list[Entry]:
    return [Entry(n, f"+4420{n:08d}") for n in range(start, start + count)]


def run(database: Database, records: Iterable[Entry | Fault], *, dry: bool = False) -> Tally:
    tally = Tally()
    enter(database, records, TERMS, tally, lambda: NOON, dry=dry)
    return tally


def entered(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(opt_outs)).scalar_one()


@pytest.mark.parametrize(
    ("since", "stands"),
    [
        ("2026-11-18", False),
        ("2026-11-19", True),  # at any hour of that day, wherever it was
        ("2026-11-20", True),
        ("2026-11-19T23:59", False),
        ("2026-11-20 00:30", True),  # by a clock that may be far in the west
        ("20261120T0030", True),
        ("2026-11-20T11:59Z", False),
        ("2026-11-20T12:01Z", True),
    ],
)
def test_a_wish_that_may_be_later_than_a_re_consent_stands(
    database: Database, tenant: str, since: str, stands: bool
) -> None:
    said = {"subject": "+442078000000", "tenant": "acme", "way": "cli", "actor": "test"}
    lift = {"reason": "asked", "evidence": "letter"}
    lifted = NOON - timedelta(seconds=30)
    with database.writing() as connection:
        add(connection, OptOutEvent(**said, standing=False, at=lifted, **lift))  # type: ignore[arg-type]
    tally = Tally()
    record = Entry(1, "+442078000000", since=since)
    enter(database, [record], TERMS, tally, lambda: NOON + timedelta(days=3))
    assert (tally.new, tally.lifted) == ((1, 0) if stands else (0, 1))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("marketing,", ["marketing"]),
        ("; Survey ;marketing", ["marketing", "survey"]),
        (" , ", []),
        ("", []),
    ],
)
def test_no_stray_sign_between_purposes_loses_a_wish(
    database: Database, tenant: str, written: str, meant: list[str]
) -> None:
    tally = run(database, [Entry(1, "+442078000001", purposes=written)])
    with database.reading() as connection:
        (row,) = connection.execute(select(opt_outs)).all()
    assert (tally.new, row.purposes) == (1, meant)


async def test_the_service_goes_on_writing(
    database: Database, tenant: str, journal: Journal
) -> None:
    """No write waits so long that a call would be refused for it."""
    importing = asyncio.create_task(asyncio.to_thread(run, database, some(5_000, 78_000_000)))
    slowest, written = 0.0, 0
    while not importing.done():
        began = time.monotonic()
        await journal.write(lambda c: c.execute(select(func.count()).select_from(audit)).scalar())
        slowest, written = max(slowest, time.monotonic() - began), written + 1
    assert (await importing).new == 5_000
    assert written > 5
    assert slowest < 1.5


def test_each_transaction_is_in_the_audit_log_with_the_digest_of_its_rows(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 100)
    tally = run(database, some(250, 79_000_000))
    with database.writing() as connection:
        note(connection, TERMS, tally, NOON)
    with database.reading() as connection:
        assert first_broken(connection) is None
        *parts, whole = connection.execute(AUDITED).all()
        rows = connection.execute(select(opt_outs).order_by(opt_outs.c.seq)).mappings().all()
    covered = 0
    for part in parts:
        first, last = map(int, part.target.removeprefix("optout:").split("-"))
        told = json.loads(part.details)
        mine = [row for row in rows if first <= row["seq"] <= last]
        assert (len(mine), told["rows"], told["file"]) == (told["rows"], len(mine), TERMS.digest)
        assert told["sha256"] == rows_digest(dict(row) for row in mine)
        changed = [{**row, "subject": "+1"} for row in mine]
        assert told["sha256"] != rows_digest(changed)
        covered += len(mine)
    assert covered == 250
    assert json.loads(whole.details)["new"] == 250


def test_what_another_entered_meanwhile_is_not_entered_again(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the plan and the transaction."""
    meant, plan = [True], bulk._plan

    def overtaken(*given: object) -> object:
        planned = plan(*given)  # type: ignore[arg-type]  # as it was called
        if meant:
            meant.clear()
            run(database, some(7, 77_000_000))
        return planned

    monkeypatch.setattr(bulk, "_plan", overtaken)
    tally = run(database, some(10, 77_000_000))
    assert (tally.new, tally.there) == (3, 7)
    assert entered(database) == 10


@pytest.mark.parametrize("times", [1, 3])
def test_a_database_that_is_locked_for_a_while_is_waited_for(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    waits: list[float] = []
    insert = bulk._insert
    monkeypatch.setattr("callguard.optout.bulk.time.sleep", waits.append)

    def locked(*given: object) -> None:
        if len([wait for wait in waits if wait >= 0.05]) < times:
            reason = sqlite3.OperationalError("database is locked")
            reason.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise OperationalError("BEGIN IMMEDIATE", {}, reason)
        insert(*given)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(bulk, "_insert", locked)
    assert run(database, some(5)).new == 5
    assert entered(database) == 5


def test_what_failed_otherwise_is_not_tried_again_and_what_went_before_is_kept(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 10)
    monkeypatch.setattr(bulk, "FEWEST", 10)
    insert, tries = bulk._insert, []

    def full(*given: object) -> None:
        tries.append(given)
        if len(tries) == 3:
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("disk is full"))
        insert(*given)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(bulk, "_insert", full)
    tally = Tally()
    with pytest.raises(OperationalError, match="disk is full"):
        enter(database, some(40, 79_000_000), TERMS, tally, lambda: NOON)
    assert (tally.new, entered(database), len(tries)) == (20, 20, 3)
    monkeypatch.undo()
    again = run(database, some(40, 79_000_000))
    assert (again.new, again.there, entered(database)) == (20, 20, 40)


def test_transactions_shrink_where_they_hold_others_up(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 200)
    monkeypatch.setattr(bulk, "HOLD_S", 0.0)
    run(database, some(400, 79_000_000))
    with database.reading() as connection:
        told = [json.loads(row.details) for row in connection.execute(AUDITED)]
    assert [one["rows"] for one in told] == [200, 100, 50, 50]


def test_a_subject_is_a_number_or_an_address() -> None:
    assert subject_key("020 7946 0000", "GB") == "+442079460000"
    assert subject_key("Ann@Example.org", "GB") == "ann@example.org"
    assert subject_key("Ann", "GB") == ""
