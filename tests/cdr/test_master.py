"""``Master.csv``: what a line says with each of Asterisk's settings, in whatever zone."""

from contextlib import suppress
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.cdr.master import from_master
from callguard.cdr.record import RecordError, from_event
from tests.cdr.lines import CALL_ID, at, event, master, newer_master

PARIS = ZoneInfo("Europe/Paris")
REAL = (
    '"tenant-a","agent1","12025550101","from-agents","""Agent"" <agent1>","PJSIP/agent1-00000000",'
    '"PJSIP/carrier-00000001","Dial","PJSIP/12025550101@carrier,30","2026-11-22 14:43:37",,'
    '"2026-11-22 14:43:38",1,0,"NO ANSWER","DOCUMENTATION"'
)
"""As Asterisk 22.10 wrote it; what follows depends on ``cdr.conf``."""


def test_a_line_with_all_columns_is_read_whole() -> None:
    record = from_master(f'{REAL},"1795358617.0","x,""q"" y","tenant-b","1795358616.9",7', UTC)
    assert (record.uniqueid, record.linkedid, record.sequence) == (
        "1795358617.0",
        "1795358616.9",
        7,
    )
    assert (record.userfield, record.account_code, record.peer_account) == (
        'x,"q" y',
        "tenant-a",
        "tenant-b",
    )
    assert (record.caller, record.called) == ("agent1", "12025550101")
    assert (record.started_at, record.answered_at) == (
        datetime(2026, 11, 22, 14, 43, 37, tzinfo=UTC),
        None,
    )
    assert (record.duration_s, record.billed_s, record.disposition) == (1, 0, "NO ANSWER")


def test_a_line_without_the_newer_columns_has_no_sequence() -> None:
    record = from_master(master(4), UTC)
    assert (record.sequence, record.linkedid) == (None, "1795176000.4")
    assert record.call_id == CALL_ID
    assert (record.started_at, record.ended_at) == (at(-0.25), at(11.75))


def test_a_line_without_loguserfield_has_no_call_id() -> None:
    record = from_master(f'{REAL},"pbx-1-1795358617.0"', UTC)
    assert (record.uniqueid, record.userfield, record.call_id) == ("pbx-1-1795358617.0", "", None)
    newer = from_master(f'{REAL},"1795358617.0","tenant-b","1795358616.9",7', UTC)
    assert (newer.uniqueid, newer.userfield, newer.sequence) == ("1795358617.0", "", 7)


FAULTS = {
    "nothing": "",
    "words": "rubbish",
    "no unique id": REAL,
    "a call id for a unique id": f'{REAL},"{CALL_ID}"',
    "the newer columns alone": f'{REAL},"tenant-b","1795358616.9",7',
    "a column too many": f'{REAL},"1795358617.0","x","y","z","1",7',
    "three texts": f'{REAL},"1795358617.0","x","y"',
    "a sequence alone": f"{REAL},7",
    "a torn line": REAL[:90],
    "numbers in quotes": master().replace(",12,10,", ',"12","10",'),
    "a time that is none": master(start="yesterday"),
    "a byte of nothing in a time": master(start="2026-11-20\x0012:00:00"),
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(RecordError) as caught:
        from_master(text, UTC)
    assert "2079460000" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_record_or_refused(text: str) -> None:
    for line in (text, f"{REAL},{text}", master(clid=text)):
        with suppress(RecordError):
            from_master(line, PARIS)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_nobody_makes_a_column_up_by_a_text(text: str, newer: bool) -> None:
    made = newer_master if newer else master
    record = from_master(made(3, clid=text, dst="x", userfield=text), UTC)
    assert (record.uniqueid, record.called, record.userfield) == ("1795176000.3", "x", text)


ZONES = {
    "winter": ("2026-11-20 13:00:00", "1795176000.1", datetime(2026, 11, 20, 12, 0, tzinfo=UTC)),
    "summer": ("2026-07-01 14:00:00", "1782907200.1", datetime(2026, 7, 1, 12, 0, tzinfo=UTC)),
    "twice, the first": (
        "2026-10-25 02:30:00",
        "1792888200.1",
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    ),
    "twice, the second": (
        "2026-10-25 02:30:00",
        "1792891800.1",
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    ),
}


@pytest.mark.parametrize(("shown", "uniqueid", "meant"), ZONES.values(), ids=ZONES.keys())
def test_local_times_are_told_apart_by_the_unique_id(
    shown: str, uniqueid: str, meant: datetime
) -> None:
    times = {"start": shown, "end": shown, "answer": shown, "duration": "0", "billsec": "0"}
    record = from_master(master(uniqueid=uniqueid, **times), PARIS)
    assert (record.started_at, record.answered_at, record.ended_at) == (meant, meant, meant)
    heads = {"StartTime": shown, "EndTime": shown, "AnswerTime": shown, "Duration": "0"}
    told = from_event(dict(event(UniqueID=uniqueid, **heads).headers), PARIS)
    assert (told.started_at, told.answered_at, told.ended_at) == (meant, meant, meant)


def test_a_call_through_the_hour_that_comes_twice_ends_after_it_began() -> None:
    """It began at 02:50 summer time and ended at 02:10 winter time, twenty minutes later."""
    times = {"start": "2026-10-25 02:50:00", "answer": "", "end": "2026-10-25 02:10:00"}
    record = from_master(master(uniqueid="1792889400.1", duration="1200", **times), PARIS)
    assert (record.ended_at - record.started_at).total_seconds() == 1200
