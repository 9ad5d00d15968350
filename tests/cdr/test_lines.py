"""Lines as records: what Asterisk leaves after a full disk, and causes that are told later."""

from datetime import UTC
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.cdr.lines import after_tear, read_lines
from callguard.cdr.master import from_master
from callguard.cdr.record import from_line
from tests.cdr.lines import CALL_ID, line, master, newer_master, older_line

PLAIN = partial(from_master, zone=UTC)


@pytest.mark.parametrize("cut", [1, 20, 60, 100, 150, 200, 250])
def test_the_record_after_a_torn_one_is_read(cut: int) -> None:
    for made in (line, older_line):
        records, faults = read_lines([line(1)[:cut] + made(2), line(3)], from_line)
        assert ([record.sequence for record in records], len(faults)) == ([2, 3], 1)
    for made in (master, newer_master):
        records, faults = read_lines([master(1)[:cut] + made(2)], PLAIN)
        assert ([record.uniqueid for record in records], len(faults)) == (["1795176000.2"], 1)


FORGED = ",".join(["x"] * 8 + ["", "1", "1", "1", "1", "1", "A", "", "1.9", "1.9", "9", ""])


@settings(max_examples=25)
@given(st.text(), st.text(), st.sampled_from(["userfield", "clid", "src", "accountcode"]))
def test_nobody_makes_a_record_up_behind_a_tear(before: str, after: str, field: str) -> None:
    for forged in (FORGED, line(9), older_line(9), master(9)):
        for inside in (f"{before}\n{forged}\n{after}", f'"\n{forged}\n"', f'{before}"{forged}'):
            text = line(1, **{field: inside.replace("\r", "")})
            for part in text.split("\n") if "\n" in text else []:
                for layout in (from_line, PLAIN):
                    record = after_tear(part, layout)
                    assert record is None or record.uniqueid == "1795176000.1"


def test_a_dial_that_failed_takes_the_cause_of_what_came_after_it() -> None:
    failed = {"answer": "", "disposition": "BUSY", "uniqueid": "1795176000.7"}
    dialled = line(1, **failed)
    ended = line(2, **failed, dstchannel="", hangupcause="17")
    records, _ = read_lines([dialled, ended], from_line)
    assert [record.cause for record in records] == [17, 17]
    again = line(3, **failed)
    records, _ = read_lines([dialled, again, ended], from_line)
    assert [record.cause for record in records] == [None, None, 17], "nobody knows whose it is"
    records, _ = read_lines([line(1), line(2, dstchannel="", hangupcause="16")], from_line)
    assert [record.cause for record in records] == [None, 16], "another channel"


@pytest.mark.parametrize("text", ["", "x", '"' * 5_000, "x" * 100_000, f'"{CALL_ID}"' * 30])
def test_what_is_no_record_is_one_fault(text: str) -> None:
    records, faults = read_lines([text], from_line)
    assert (records, len(faults)) == ([], 1)
