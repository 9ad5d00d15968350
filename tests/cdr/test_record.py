"""One call record: any line and any event is a record or a RecordError, never anything else."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callguard.cdr.record import COLUMNS, RecordError, from_event, from_line
from tests.cdr.lines import CALL_ID, OTHER_CALL_ID, at, event, line, older_line


def test_a_line_is_read_whole() -> None:
    record = from_line(line())
    assert record.uniqueid == "1795176000.1"
    assert (record.sequence, record.linkedid, record.call_id) == (1, "1795176000.1", CALL_ID)
    assert (record.caller, record.called) == ("+442079460000", "+442079460001")
    assert (record.channel, record.peer_channel) == (
        "PJSIP/agent1-00000001",
        "PJSIP/carrier-00000002",
    )
    assert (record.started_at, record.answered_at, record.ended_at) == (at(0), at(2), at(12.5))
    assert (record.duration_s, record.billed_s) == (12, 10)
    assert (record.disposition, record.userfield, record.source) == ("ANSWERED", CALL_ID, "file")


def test_an_event_is_read_whole() -> None:
    record = from_event(dict(event().headers))
    assert (record.uniqueid, record.sequence, record.call_id) == ("1795176000.1", 1, CALL_ID)
    assert record.started_at == datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert record.answered_at == datetime(2026, 11, 20, 12, 0, 2, tzinfo=UTC)
    assert record.source == "ami"


def test_of_two_call_ids_the_calling_channels_counts() -> None:
    both = f"{CALL_ID};{OTHER_CALL_ID}"
    assert from_line(line(1, userfield=both)).call_id == CALL_ID
    assert from_line(line(1, userfield=f"x;{CALL_ID}")).call_id is None


def test_a_line_from_before_the_last_columns_is_read_too() -> None:
    record = from_line(older_line(3))
    assert (record.sequence, record.cause, record.peer_account) == (3, None, "")
    with pytest.raises(RecordError):
        from_line(older_line(3) + ',"16"')


def test_both_sources_say_why_it_was_hung_up_and_whose_lines_they_were() -> None:
    told = {"AccountCode": "acme", "PeerAccount": "other", "HangupCause": "17"}
    for record in (
        from_line(line(accountcode="acme", peeraccount="other", hangupcause="17")),
        from_event(dict(event(1, **told).headers)),
    ):
        assert (record.cause, record.account_code, record.peer_account) == (17, "acme", "other")


@pytest.mark.parametrize("cause", ["", "0", "128", "-16", "16.0", "busy", "\u0661\u0666", "9" * 99])
def test_a_cause_that_is_none_is_left_out_of_the_record(cause: str) -> None:
    assert from_line(line(hangupcause=cause)).cause is None


@pytest.mark.parametrize("sequence", ["", " "])
def test_an_event_or_a_line_needs_its_sequence(sequence: str) -> None:
    with pytest.raises(RecordError):
        from_event(dict(event(1, Sequence=sequence).headers))
    with pytest.raises(RecordError):
        from_line(line(1, sequence=sequence))


def test_headers_of_an_event_are_found_in_any_case() -> None:
    headers = {name.upper(): value for name, value in event().headers}
    assert from_event(headers) == from_event(dict(event().headers))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0")))
@example('say "no", she said')
@example("שלום, עולם")
@example(',",""')
def test_any_text_in_a_field_comes_back(text: str) -> None:
    record = from_line(line(channel=text, dstchannel=text, userfield=text))
    assert (record.channel, record.peer_channel, record.userfield) == (text, text, text)


@pytest.mark.parametrize("answer", ["", "0.000000", " "])
def test_a_call_nobody_answered_has_no_answer(answer: str) -> None:
    assert from_line(line(answer=answer, disposition="NO ANSWER")).answered_at is None
    assert from_event(dict(event(AnswerTime="").headers)).answered_at is None


def test_fractions_of_a_second_are_kept_to_the_microsecond() -> None:
    record = from_line(line(start="1795176000.123457"))
    assert record.started_at == datetime(2026, 11, 20, 12, 0, tzinfo=UTC) + timedelta(
        microseconds=123_457
    )


def test_durations_with_a_fraction_are_whole_seconds() -> None:
    record = from_line(line(duration="12.900000", billsec="0.100000"))
    assert (record.duration_s, record.billed_s) == (12, 0)


@pytest.mark.parametrize("userfield", ["", "emergency", CALL_ID.upper(), f"{CALL_ID} ", "x" * 500])
def test_only_a_call_id_joins_a_record_to_a_verdict(userfield: str) -> None:
    record = from_line(line(userfield=userfield))
    assert record.call_id is None
    assert record.userfield == userfield


def test_a_record_without_a_linked_id_is_linked_to_itself() -> None:
    assert from_line(line(linkedid="")).linkedid == "1795176000.1"


def test_numbers_as_long_as_anybody_may_dial_are_cut() -> None:
    record = from_line(line(src="9" * 500, dst="8" * 500, disposition="X" * 500))
    assert (len(record.caller), len(record.called), len(record.disposition)) == (80, 80, 16)


FAULTS = {
    "empty": "",
    "one column": '"x"',
    "a column less": line().rpartition(",")[0],
    "a column more": line() + ',""',
    "half a line": line()[:100],
    "the other half": line()[100:],
    "an open quote": line()[:-1],
    "text after a quote": line() + "x",
    "without quotes": line().replace('"', ""),
    "a field without quotes": line().replace('"12"', "12"),
    "a word without quotes": line().replace('"ANSWERED"', "ANSWERED"),
    "spaces around quotes": line().replace(",", ", "),
    "a carriage return at the end": line() + "\r\n" + line(2),
    "two lines": line() + "\n" + line(2),
    "a field of megabytes": line(lastdata="x" * 1_000_000),
    "no unique id": line(uniqueid=""),
    "a unique id too long": line(uniqueid="1" * 151),
    "a linked id too long": line(linkedid="1" * 151),
    "no sequence": line().replace('"1","017f', '"","017f'),
    "a word for a sequence": line().replace('"1","017f', '"one","017f'),
    "an endless sequence": line().replace('"1","017f', '"inf","017f'),
    "no start": line(start=""),
    "no end": line(end="0.000000"),
    "a word for a start": line(start="yesterday"),
    "a start that is none": line(start="nan"),
    "an endless start": line(start="inf"),
    "an end after all": line(end="1e300"),
    "an end too late to have a purge": line(end="253402300000"),
    "a start before telephones": line(start="0001-01-01 00:00:00"),
    "a date that is none": line(start="2026-13-01 00:00:00"),
    "a time with a zone": line(start="2026-11-20 12:00:00+02:00"),
    "a word for a duration": line(duration="long"),
    "no duration": line(duration=""),
    "an endless duration": line(duration="inf"),
    "a duration that is none": line(duration="nan"),
    "a duration too large": line(duration="1e30"),
    "seconds billed without number": line(billsec="-inf"),
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_record_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(RecordError) as caught:
        from_line(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


SECRET = "+442079460123"
LEAKS = {
    "every column": ",".join([f'"{SECRET}"'] * len(COLUMNS)),
    "one column too many": line() + f',"{SECRET}"',
    "a line torn off": f'sip:{SECRET}@carrier,"x"',
    "a number for a start": line(start=SECRET * 2),
    "a number for an end": line(end=f"{SECRET}x"),
    "a number for an answer": line(answer=f"sip:{SECRET}"),
    "a number for a duration": line(duration=f"sip:{SECRET}"),
    "a duration too large": line(duration="442079460123999"),
    "a number for what was billed": line(billsec=f"sip:{SECRET}"),
    "a number for a sequence": line().replace('"1","017f', f'"{SECRET}x","017f'),
    "a number for an id": line(uniqueid=SECRET * 20),
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_the_reason_of_a_refusal_quotes_nothing_of_the_record(text: str) -> None:
    """It goes to the log, where no telephone number may be."""
    with pytest.raises(RecordError) as caught:
        from_line(text)
    assert "2079460123" not in str(caught.value)


@given(st.text(), st.text())
def test_nobody_makes_a_record_up_by_a_line_break_in_a_field(before: str, after: str) -> None:
    """The parts of a torn line are no records, whatever a caller put into the field."""
    forged = ",".join(["x"] * 8 + ["", "1", "1", "1", "1", "1", "A", "", "1.9", "1.9", "9", ""])
    quoted = line(9)
    for inside in (f"{before}\n{forged}\n{after}", f"\n{quoted}\n", f'"\n{quoted}\n"'):
        parts = line(userfield=inside.replace("\r", "")).split("\n")
        for part in parts if len(parts) > 1 else []:
            with pytest.raises(RecordError):
                from_line(part)


@given(st.text())
def test_any_text_is_a_record_or_refused(text: str) -> None:
    with suppress(RecordError):
        from_line(text)


@given(st.lists(st.text(max_size=30), min_size=len(COLUMNS), max_size=len(COLUMNS)))
def test_any_columns_are_a_record_or_refused(fields: list[str]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="").writerow(fields)
    with suppress(RecordError):
        from_line(out.getvalue())


NUMBERS = st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=12))


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_any_numbers_are_a_record_or_refused(
    start: str, end: str, duration: str, sequence: str
) -> None:
    headers = {"StartTime": start, "EndTime": end, "Duration": duration, "Sequence": sequence}
    try:
        record = from_event(dict(event().headers) | headers)
    except RecordError:
        return
    assert 1970 <= record.started_at.year < 3000
    assert abs(record.duration_s) < 2**31
    assert record.sequence is not None
    assert abs(record.sequence) < 2**31


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=5))
def test_an_event_without_its_headers_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(RecordError):
        from_event(headers)
