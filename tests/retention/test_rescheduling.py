"""Rows that are there get the date of what the tenant now chose, and nothing comes back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from callguard.audit.log import first_broken
from callguard.consent.evidence import used
from callguard.consent.given import About, record, withdraw
from callguard.consent.ledger import Consent, enter_remembered
from callguard.consent.modes import Mode
from callguard.consent.notice import Played
from callguard.consent.states import ConsentState
from callguard.ids import uuid7
from callguard.policy.packs import limits_of, shipped_packs
from callguard.policy.span import Span
from callguard.recording.erasure import Write
from callguard.recording.store.folder import FolderStore
from callguard.retention import rescheduling
from callguard.retention.dating import AFFECTED, BOOKS
from callguard.retention.holds.placing import NewHold, add, release
from callguard.retention.purging.purge import Surroundings, purge
from callguard.retention.rescheduling import Tally, reschedule
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import (
    audit,
    call_records,
    calls,
    consents,
    erasures,
    leases,
    recordings,
)
from callguard.tenants.keeping import Concern, concerning, keeping_evidence
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.retention.rows import EVERY, put

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, YEAR = timedelta(days=1), timedelta(days=365)
ACME = Tenant("acme", "Acme", TenantSettings(), (), {})
SUBJECT = "+447700900123"


def keeping(**spans: str) -> Tenant:
    return replace(ACME, retention={name: Span.parse(text) for name, text in spans.items()})


def dates(database: Database, data_class: str) -> list[datetime | None]:
    table = EVERY[data_class]
    with database.reading() as connection:
        asked = select(table.c.expires_at).order_by(*table.primary_key.columns)
        return list(connection.execute(asked).scalars())


async def run(
    journal: Journal, tenant: Tenant, *classes: str, at: datetime = NOON, **more: Any
) -> dict[str, Tally]:
    clock = HandClock(at)
    found = await reschedule(
        journal.write, tenant, classes or None, clock, actor="t", counted=lambda at: at, **more
    )
    return dict(found)


def put_at(database: Database, data_class: str, number: int, at: datetime) -> str:
    """A row of the instant, kept for a year as things are."""
    name = put(database, data_class, number, at + YEAR, at=at)
    if data_class == "recording":
        with database.writing() as connection:
            connection.execute(
                update(recordings).where(recordings.c.id == name).values(ended_at=at)
            )
    return name


@pytest.mark.parametrize("data_class", ["call_record", "verdict", "attempt"])
async def test_rows_are_moved_both_ways_and_twice_is_once(
    database: Database, journal: Journal, tenant: str, data_class: str
) -> None:
    for number in range(3):
        put_at(database, data_class, number, NOON - number * DAY)
    shorter = keeping(**{data_class: "2d"})
    assert await run(journal, shorter, data_class) == {data_class: Tally(3, 3, 0, 1)}
    two = 2 * DAY
    assert sorted(filter(None, dates(database, data_class))) == [NOON, NOON + DAY, NOON + two]
    # What was due at once is hidden, and stays so.
    longer = keeping(**{data_class: "10d"})
    assert await run(journal, longer, data_class) == {data_class: Tally(2, 0, 2, 0)}
    assert await run(journal, longer, data_class) == {data_class: Tally(2, 0, 0, 0)}


async def test_a_count_changes_nothing(database: Database, journal: Journal, tenant: str) -> None:
    put_at(database, "call_record", 1, NOON)
    found = await run(journal, keeping(call_record="1d"), "call_record", dry=True)
    assert found == {"call_record": Tally(1, 1, 0, 0)}
    assert dates(database, "call_record") == [NOON + YEAR]
    with database.reading() as connection:
        assert "retention.reschedule" not in set(
            connection.execute(select(audit.c.action)).scalars()
        )


async def test_many_rows_go_in_batches_and_a_run_that_was_cut_off_is_taken_up(
    database: Database, journal: Journal, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescheduling, "ROWS", 4)
    for number in range(11):
        put_at(database, "attempt", number, NOON + number * timedelta(seconds=1))
    seen = 0

    class CutError(Exception):
        pass

    async def cut(work: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise CutError
        return await journal.write(work)

    write: Write = cut
    tenant_ = keeping(attempt="5d")
    with pytest.raises(CutError):
        await reschedule(
            write, tenant_, ["attempt"], HandClock(NOON), actor="t", counted=lambda at: at
        )
    assert sum(at == NOON + YEAR for at in dates(database, "attempt")) < 11
    found = await run(journal, tenant_, "attempt")
    assert found["attempt"].rows == 11
    assert 0 < found["attempt"].sooner < 11
    ends = [NOON + 5 * DAY + number * timedelta(seconds=1) for number in range(11)]
    assert dates(database, "attempt") == ends


async def test_no_rule_loses_an_attempt_that_it_still_counts(
    database: Database, journal: Journal, tenant: str
) -> None:
    put_at(database, "attempt", 1, NOON)
    await reschedule(
        journal.write,
        keeping(attempt="0d"),
        ["attempt"],
        HandClock(NOON),
        actor="t",
        counted=lambda at: at + 30 * DAY,
    )
    assert dates(database, "attempt") == [NOON + 30 * DAY]
    put_at(database, "attempt", 2, NOON)
    await reschedule(journal.write, keeping(attempt="0d"), ["attempt"], HandClock(NOON), actor="t")
    assert dates(database, "attempt") == [NOON + 30 * DAY, NOON + YEAR]


async def test_what_is_in_progress_or_being_erased_is_left_alone(
    database: Database, journal: Journal, tenant: str
) -> None:
    names = [put_at(database, "recording", number, NOON) for number in (1, 2, 3)]
    put_at(database, "verdict", 1, NOON)
    with database.writing() as connection:
        one, two = (recordings.c.id == name for name in names[:2])
        connection.execute(update(recordings).where(one).values(state="erasing"))
        connection.execute(update(recordings).where(two).values(ended_at=None, expires_at=None))
        connection.execute(update(calls).values(id="c"))
    found = await run(journal, keeping(recording="5d"), "recording")
    assert found["recording"] == Tally(1, 1, 0, 0)
    assert dates(database, "recording") == [NOON + YEAR, None, NOON + 5 * DAY]


async def test_a_row_of_which_too_little_is_known_is_never_shortened(
    database: Database, journal: Journal, tenant: str
) -> None:
    put_at(database, "recording", 1, NOON)  # its call's verdict is gone
    assert (await run(journal, keeping(recording="5d"), "recording"))["recording"].sooner == 0
    assert (await run(journal, keeping(recording="2y"), "recording"))["recording"].later == 1


@pytest.mark.parametrize("kept", ["call_record", "consent+recording"])
async def test_what_only_a_law_keeps_of_an_erased_call_gets_no_later_date(
    database: Database, journal: Journal, tenant: str, kept: str
) -> None:
    for number, call in enumerate(("erased", "other"), 1):
        for data_class in ("call_record", "recording"):
            put_at(database, data_class, number, NOON)
            table = EVERY[data_class]
            new = table.c.call_id.is_distinct_from("erased")
            with database.writing() as connection:
                connection.execute(update(table).where(new).values(call_id=call))
    part = {"data_class": "call_part", "object_id": f"erased/{kept}", "at": NOON}
    with database.writing() as connection:
        connection.execute(insert(erasures).values(**part))
    longer = keeping(call_record="3y", recording="3y")
    found = await run(journal, longer, "call_record", "recording")
    assert [found[name].later for name in ("call_record", "recording")] == [1, 1]
    for name in ("call_record", "recording"):
        assert dates(database, name) == [NOON + YEAR, datetime(2029, 11, 20, 12, tzinfo=UTC)]


async def test_a_held_row_gets_its_date_and_goes_when_it_is_released(
    database: Database, journal: Journal, tenant: str, tmp_path: Path
) -> None:
    put_at(database, "call_record", 1, NOON - 40 * DAY)
    with database.writing() as connection:
        hold = add(connection, NewHold("claims", "ann", NOON + DAY, tenant="acme"), NOON).id
    found = await run(journal, keeping(call_record="30d"), "call_record")
    assert found["call_record"] == Tally(1, 1, 0, 1)
    taken = []
    for released in (False, True):
        with database.writing() as connection:
            if released:
                release(connection, [hold], NOON, "ann", {})
            connection.execute(delete(leases))
        store, around = FolderStore(tmp_path / "o"), Surroundings(exports=tmp_path / "e")
        ledger, clock = ledger_of(database), HandClock(NOON)
        certificate = await purge(journal.write, store, ledger, clock, actor="test", around=around)
        taken.append(certificate.counts["call_record"])
    assert taken == [0, 1]


async def test_where_nothing_is_to_go_sooner_it_only_lengthens(
    database: Database, journal: Journal, tenant: str
) -> None:
    put_at(database, "call_record", 1, NOON)
    put_at(database, "verdict", 1, NOON)
    mixed = keeping(call_record="1d", verdict="2y")
    await run(journal, mixed, "call_record", "verdict", shorten=False)
    assert dates(database, "call_record") == [NOON + YEAR]
    assert dates(database, "verdict") == [datetime(2028, 11, 20, 12, tzinfo=UTC)]


async def test_floors_are_heeded_record_by_record(
    database: Database, journal: Journal, tenant: str
) -> None:
    for number in (1, 2):
        put_at(database, "call_record", number, NOON)
    with database.writing() as connection:
        for number, (subject, purpose) in enumerate(
            (("+12125550123", "marketing"), (SUBJECT, "marketing")), 1
        ):
            connection.execute(
                update(call_records)
                .where(call_records.c.id == number)
                .values(subject=subject, purpose=purpose, direction="outbound")
            )
    law = concerning(limits_of(shipped_packs()), "GB", operator=False)
    await run(journal, replace(keeping(call_record="30d"), limits=law), "call_record")
    assert dates(database, "call_record") == [
        datetime(2031, 11, 20, 12, tzinfo=UTC),
        NOON + 30 * DAY,
    ]


async def test_an_end_of_the_contract_gives_everything_a_date(
    database: Database, journal: Journal, tenant: str
) -> None:
    for data_class in ("call_record", "verdict", "attempt", "contact"):
        put_at(database, data_class, 1, NOON)
    with database.writing() as connection:
        connection.execute(update(EVERY["contact"]).values(expires_at=None))
    over = replace(ACME, ended_at=NOON + 10 * DAY)
    await run(journal, over)
    for data_class in ("call_record", "verdict", "attempt", "contact"):
        assert dates(database, data_class) == [NOON + 40 * DAY]
    await run(journal, ACME)  # it goes on after all
    assert dates(database, "call_record") == [NOON + YEAR]
    assert dates(database, "contact") == [None]


async def test_it_is_in_the_audit_log_before_and_after(
    database: Database, journal: Journal, tenant: str
) -> None:
    put_at(database, "call_record", 1, NOON)
    await run(journal, keeping(call_record="1d"), "call_record")
    with database.reading() as connection:
        actions = list(connection.execute(select(audit.c.action)).scalars())
        assert first_broken(connection) is None
    assert actions[-2:] == ["retention.reschedule", "retention.rescheduled"]


@pytest.mark.parametrize("name", BOOKS)
async def test_a_table_without_rows_and_one_with_a_row_can_be_gone_through(
    database: Database, journal: Journal, tenant: str, name: str
) -> None:
    classes = [one for one, books in AFFECTED.items() if name in books]
    assert classes
    assert (await run(journal, ACME))[name] == Tally()
    put(database, name, 1, NOON + DAY, at=NOON)
    assert (await run(journal, ACME))[name].rows <= 1


GERMAN = "+4915123456789"


def german() -> Tenant:
    law = limits_of(shipped_packs())
    return replace(ACME, limits=concerning(law, "GB", operator=False))


def ends(database: Database) -> dict[str, datetime | None]:
    with database.reading() as connection:
        rows = connection.execute(select(consents.c.id, consents.c.expires_at))
        return {row.id: row.expires_at for row in rows}


def remembered(database: Database, tenant: Tenant) -> tuple[str, str]:
    """The rows of a yes in a call that is good for further ones: the call's and the consent's."""
    call = str(uuid7(NOON))
    keep = keeping_evidence(tenant, Concern(GERMAN))
    entry = Consent(
        id=str(uuid7(NOON)),
        tenant="acme",
        call_id=call,
        subject=GERMAN,
        state=ConsentState.GRANTED,
        mode=Mode.ASK,
        rules=(),
        pbx="east",
        channel_uniqueid="1.1",
        prompt=None,
        language="de",
        asked=1,
        played=Played(8_000, "1", False),
        answer="1",
        proof=None,
        at=NOON,
        expires_at=keep(NOON),
    )
    with database.writing() as connection:
        enter_remembered(connection, entry, 365, keep)
        given = connection.execute(
            select(consents.c.id).where(consents.c.call_id.is_(None))
        ).scalar_one()
    return entry.id, given


async def test_the_proof_of_a_consent_stays_five_years_from_each_use(
    database: Database, journal: Journal, tenant: str
) -> None:
    owner = german()
    said, given = remembered(database, owner)
    before = ends(database)
    assert before[said] == before[given] is not None
    keep = keeping_evidence(owner, Concern(GERMAN, "marketing", "outbound"))
    for at in (NOON + 400 * DAY, NOON + 400 * DAY, NOON + 300 * DAY):
        with database.writing() as connection:
            used(connection, "acme", f"consent:{given}", at, keep)
    after = ends(database)
    assert after[said] == after[given]
    last = after[given]
    assert last is not None
    assert last >= datetime(2032, 12, 25, 12, tzinfo=UTC)
    with database.writing() as connection:
        assert used(connection, "acme", f"consent:{given}", last, keep) == 0
        assert used(connection, "other", f"consent:{given}", NOON + 500 * DAY, keep) == 0
        assert used(connection, "acme", "a form in the cellar", NOON, keep) == 0


async def test_rescheduling_looks_at_the_uses_and_at_what_was_said(
    database: Database, journal: Journal, tenant: str
) -> None:
    owner = german()
    said, given = remembered(database, owner)
    with database.writing() as connection:
        row = connection.execute(select(consents).where(consents.c.id == said)).one()._asdict()
        row |= {"id": str(uuid7(NOON)), "proof": f"consent:{given}", "at": NOON + 370 * DAY}
        connection.execute(insert(consents).values(row | {"call_id": str(uuid7(NOON))}))
        connection.execute(
            update(consents)
            .where(consents.c.id.in_([said, given]))
            .values(expires_at=NOON + 1000 * DAY)
        )
    await run(journal, owner, "consent")
    found = ends(database)
    assert found[said] == found[given]
    keep = keeping_evidence(owner, Concern(GERMAN))
    assert found[given] == keep(NOON + 370 * DAY) != keep(NOON + 365 * DAY)


async def test_a_consent_that_is_withdrawn_dates_what_was_said_too(
    database: Database, journal: Journal, tenant: str
) -> None:
    said, given = remembered(database, ACME)
    with database.writing() as connection:
        about, at = About("acme", GERMAN, "recording"), NOON + 10 * DAY
        keep = keeping_evidence(ACME, Concern(GERMAN))
        withdraw(connection, about, reason="r", at=at, actor="t", keep=keep)
    found = ends(database)
    assert found[said] == found[given] == keep(at)
    counted = await run(journal, ACME, "consent")
    assert (counted["consent"].sooner, counted["consent"].later) == (0, 0)


async def test_a_consent_that_stands_has_no_date_until_it_is_over(
    database: Database, journal: Journal, tenant: str
) -> None:
    with database.writing() as connection:
        record(
            connection,
            About("acme", SUBJECT, "marketing"),
            proof="form 7",
            granted_at=NOON,
            at=NOON,
            actor="t",
            keep=keeping_evidence(ACME),
        )
    await run(journal, keeping(consent="1d"), "consent", at=NOON + YEAR)
    assert list(ends(database).values()) == [None]
    await run(journal, replace(ACME, ended_at=NOON + YEAR), "consent", at=NOON + YEAR)
    assert list(ends(database).values()) == [NOON + YEAR + 30 * DAY]
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(consents)).scalar_one() == 1
