"""Counts in place of call records: every call once, and nothing that leads back to one."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from callguard.recording.store.folder import FolderStore
from callguard.retention.purging.purge import purge
from callguard.retention.purging.statistics import SMALLEST, CallFacts, Cell, Count, grouped
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import call_records, call_statistics, tenant_retention, tenants
from callguard.storage.types import to_micros
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.retention.rows import patient

DAY = date(2026, 3, 10)


def call(
    campaign: str = "", *, billed: int = 60, day: date = DAY, said: str = "x", of: object = ""
) -> CallFacts:
    cell = Cell("acme", day, "outbound", "marketing", campaign, said)
    return CallFacts(cell, billed, str(of))


def calls_of(people: int, campaign: str = "") -> list[CallFacts]:
    return [call(campaign, of=one) for one in range(people)]


CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from(["", "spring", "autumn", "ring +49 30 1234567"]),
        billed=st.integers(0, 7_200),
        day=st.sampled_from([DAY, DAY + timedelta(days=1)]),
        said=st.sampled_from(["ANSWERED", "BUSY"]),
        of=st.integers(0, 8),
    ),
    max_size=40,
)


@given(CALLS)
def test_every_call_is_counted_once_and_no_group_is_small(calls: list[CallFacts]) -> None:
    found = grouped(calls)
    by_day = Counter[date]()
    for cell, count in found.items():
        by_day[cell.day] += count.calls
        assert count.calls > 0
        assert count.billed_s % 60 == 0
        assert "+49" not in cell.campaign
        if count.calls < SMALLEST:  # of which nothing is said
            assert cell == Cell("acme", cell.day)
            assert count.billed_s == 0
        if cell != Cell("acme", cell.day):
            like = [one for one in calls if one.cell.day == cell.day]
            like = [one for one in like if one.cell.disposition == cell.disposition]
            assert len({one.subject for one in like}) >= SMALLEST
    assert by_day == Counter(one.cell.day for one in calls)


def test_a_small_group_is_merged_into_a_larger_one() -> None:
    lone = call("one a day", billed=47)
    calls = [*calls_of(SMALLEST, "spring"), lone, *calls_of(SMALLEST)]
    found = grouped(calls)
    assert {cell.campaign: count.calls for cell, count in found.items()} == {
        "spring": SMALLEST,
        "": SMALLEST + 1,
    }


def test_a_lone_call_leaves_only_that_there_was_one() -> None:
    [(cell, count)] = grouped([call("one a day", billed=47)]).items()
    assert (cell, count.calls, count.billed_s) == (Cell("acme", DAY), 1, 0)


@pytest.mark.parametrize("of", ["+493087654321", ""], ids=["known", "unknown"])
def test_one_person_called_often_is_no_group(of: str) -> None:
    calls = [call("dunning of case 17", billed=60 * n, of=of) for n in range(3 * SMALLEST)]
    assert grouped(calls) == {Cell("acme", DAY): Count(3 * SMALLEST, 0)}
    both = grouped([*calls, *calls_of(SMALLEST - 1, "dunning of case 17")])
    assert [cell.campaign for cell in both] == ["dunning of case 17"]


@pytest.mark.parametrize(
    ("campaign", "kept"),
    [
        ("autumn 2026", True),
        ("wave 3, 1000 leads", True),
        ("+493012345", False),
        ("call back 030 / 12 34 56", False),
        ("x" * 129, False),
        ("jan@example.org", False),
    ],
)
def test_a_campaign_named_after_a_number_is_not_named(campaign: str, kept: bool) -> None:
    [cell] = grouped(calls_of(SMALLEST, campaign))
    assert cell.campaign == (campaign if kept else "")


NUMBER, AGENT = "+493087654321", "rebecca.maier"


def put_calls(database: Database, count: int, expires: datetime) -> list[datetime]:
    """Calls with everything that identifies them; when they were."""
    chance, starts, rows = random.Random(7), [], []
    for n in range(count):
        at = datetime(2026, 3, 10, 11, tzinfo=UTC)
        at += timedelta(microseconds=chance.randrange(10**10))
        starts.append(at)
        rows.append(
            {
                "pbx": "east",
                "uniqueid": f"1773133{n}.77",
                "linkedid": f"1773133{n}.77",
                "sequence": n,
                "call_id": f"0195{n:04d}-aaaa",
                "tenant_id": "acme",
                "caller": "+442079460000",
                "called": f"{NUMBER}{n:02d}",
                "subject": f"{NUMBER}{n:02d}",
                "channel": f"PJSIP/{AGENT}-{n}",
                "peer_channel": "PJSIP/carrier",
                "agent": AGENT,
                "started_at": at,
                "ended_at": at + timedelta(seconds=7_000 + n),
                "duration_s": 7_000 + n,
                "billed_s": 6_900 + n,
                "disposition": "ANSWERED",
                "userfield": f"note on {NUMBER}",
                "source": "file",
                "direction": "outbound",
                "purpose": "marketing",
                "campaign": ["spring", f"ring {NUMBER}", "rare one"][0 if n < 8 else n % 3],
                "expires_at": expires,
            }
        )
    with database.writing() as connection:
        connection.execute(insert(call_records), rows)
    return starts


def wants_statistics(database: Database, tenant: str, *, zone: str = "UTC") -> None:
    with database.writing() as connection:
        connection.execute(
            insert(tenant_retention).values(
                tenant_id=tenant, data_class="call_record", span="12mo", anonymise=True
            )
        )
        connection.execute(
            update(tenants).where(tenants.c.id == tenant).values(settings={"time_zone": zone})
        )


def statistics(database: Database) -> list[tuple[object, ...]]:
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(call_statistics))]


def in_files(folder: Path) -> bytes:
    """The database, its log and its index."""
    return b"".join(file.read_bytes() for file in folder.glob("callguard.db*"))


async def test_nothing_that_is_left_leads_back_to_a_call(
    database: Database, journal: Journal, clock: HandClock, tenant: str, tmp_path: Path
) -> None:
    starts = put_calls(database, 12, clock.now())
    database.checkpoint()
    wants_statistics(database, tenant)
    needles = [NUMBER.encode(), AGENT.encode(), b"rare one", b"1773133", b"-aaaa", b"PJSIP/"]
    needles += [to_micros(at).to_bytes(8, "big")[1:] for at in starts]
    before = in_files(tmp_path)
    assert all(needle in before for needle in needles)
    store = FolderStore(tmp_path / "objects")
    done = await purge(patient(journal), store, ledger_of(database), clock, actor="test")
    assert (done.counts["call_record"], done.tally.anonymised) == (12, 12)
    assert database.tidy()
    after = in_files(tmp_path)
    assert [needle for needle in needles if needle in after] == []
    rows = statistics(database)
    assert sum(int(str(row[-2])) for row in rows) == 12
    for *_, calls, billed in rows:
        assert int(str(calls)) >= SMALLEST or billed == 0
        assert int(str(billed)) % 60 == 0
        assert billed not in range(6_900, 6_912)  # of one call alone


async def test_only_those_are_counted_whose_tenant_wants_it(
    database: Database, journal: Journal, clock: HandClock, tenant: str, tmp_path: Path
) -> None:
    put_calls(database, 6, clock.now())
    add_tenant(database, clock, "other")
    wants_statistics(database, "other")
    store = FolderStore(tmp_path / "objects")
    done = await purge(patient(journal), store, ledger_of(database), clock, actor="test")
    assert (done.counts["call_record"], done.tally.anonymised, statistics(database)) == (6, 0, [])


async def test_a_day_is_one_of_the_tenant_and_two_purges_add_up(
    database: Database, journal: Journal, clock: HandClock, tenant: str, tmp_path: Path
) -> None:
    wants_statistics(database, tenant, zone="Pacific/Kiritimati")  # 14 hours ahead
    store = FolderStore(tmp_path / "objects")
    for _ in range(2):
        put_calls(database, 8, clock.now())
        await purge(patient(journal), store, ledger_of(database), clock, actor="test")
    [row] = statistics(database)
    assert row[:7] == (
        *("acme", date(2026, 3, 11), "outbound", "marketing", "spring", "ANSWERED"),
        16,
    )
