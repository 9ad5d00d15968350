"""Lines of a file of call records, as records. Pure.

A line that is none is bad, but for two things that Asterisk does. After a disk was full or the
power went, it goes on in the middle of a line: what comes after the tear is a record. And of a
``Dial`` that failed, it closes the record before the cause is known: the record after it has that.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from callguard.cdr.record import CallRecord, RecordError

Layout = Callable[[str], CallRecord]
"""Reads one line. Raises RecordError."""

_LONGEST = 8_192
_MOST_QUOTES = 120
"""Those of two records, and some in their texts."""


def read_lines(lines: Iterable[str], layout: Layout) -> tuple[list[CallRecord], list[str]]:
    """The records of the lines, and for each line that is none, why."""
    records, faults = [], []
    for line in lines:
        try:
            records.append(layout(line))
        except RecordError as error:
            faults.append(str(error))
            after = after_tear(line, layout)
            records += [] if after is None else [after]
    return with_causes(records), faults


def after_tear(line: str, layout: Layout) -> CallRecord | None:
    """The whole record at the end of a line that begins with a torn one.

    Nobody makes one up by what is in a field: the quotes in it are doubled, and with them it is
    never as many columns.
    """
    if len(line) > _LONGEST or not 2 * 16 < line.count('"') <= _MOST_QUOTES:
        return None
    at = line.find('"', 1)
    while at > 0:
        try:
            return layout(line[at:])
        except RecordError:
            at = line.find('"', at + 1)
    return None


def with_causes(records: Sequence[CallRecord]) -> list[CallRecord]:
    """The same, where one record alone of a channel that ended so is without its cause."""
    told = {
        (record.uniqueid, record.disposition): record.cause
        for record in records
        if record.cause is not None and not record.peer_channel
    }
    without = Counter(
        (record.uniqueid, record.disposition) for record in records if record.cause is None
    )
    found = []
    for record in records:
        key = (record.uniqueid, record.disposition)
        takes = record.cause is None and record.answered_at is None and without[key] == 1
        found.append(replace(record, cause=told[key]) if takes and key in told else record)
    return found
