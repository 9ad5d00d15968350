"""Records of a file without sequences, matched with what AMI said of the same calls.

Such a line is recognised by its channels, how long it lasted and how it ended. Two records may be
alike in all of that (``ForkCDR``), so they are counted: lines and events make as many rows as there
are of whichever is more. A row of a line that no event spoke of yet has a sequence below zero.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from callguard.cdr.record import CallRecord

_QUARTER_S = 900
"""Time zones differ by whole quarters of an hour (IANA, since 1972), so what the clock shows past
the quarter is the same in all: a file in UTC and events in another zone are matched unasked."""

Likeness = tuple[object, ...]


class Twins:
    """The rows of some channels, and which of them a line or an event is about."""

    def __init__(self, rows: Iterable[Row[Any]], *, again: bool) -> None:
        """``again`` is whether the lines may have been read before: each then counts only beyond
        those that are there."""
        self._events: dict[Likeness, list[Row[Any]]] = defaultdict(list)
        self._lines: dict[Likeness, list[Row[Any]]] = defaultdict(list)
        self._seen: Counter[Likeness] = Counter()
        self._lowest: dict[str, int] = {}
        for row in sorted(rows, key=lambda row: abs(row.sequence)):
            likeness = _of_row(row)
            if row.source == "ami":
                self._events[likeness].append(row)
                continue
            self._seen[likeness] += again
            if row.sequence < 0:
                self._lines[likeness].append(row)
                self._lowest[row.uniqueid] = min(row.sequence, self._lowest.get(row.uniqueid, 0))

    def of_line(self, record: CallRecord) -> Row[Any] | int | None:
        """The row that an event made of this line; else the sequence that it gets; None where it
        was read before."""
        likeness = _of_record(record)
        if self._seen[likeness] > 0:
            self._seen[likeness] -= 1
            return None
        if self._events[likeness]:
            return self._events[likeness].pop(0)
        lowest = self._lowest.get(record.uniqueid, 0) - 1
        self._lowest[record.uniqueid] = lowest
        return lowest

    def of_event(self, record: CallRecord) -> Row[Any] | None:
        """The row that a line without sequence made of this event; None where there is none."""
        lines = self._lines.get(_of_record(record))
        return lines.pop(0) if lines else None


def _of_record(record: CallRecord) -> Likeness:
    return _likeness(record, record.uniqueid)


def _of_row(row: Row[Any]) -> Likeness:
    return _likeness(row, row.uniqueid)


def _likeness(one: Any, uniqueid: str) -> Likeness:
    return (
        uniqueid,
        one.channel,
        one.peer_channel,
        _past_quarter(one.started_at),
        _past_quarter(one.answered_at),
        one.duration_s,
        one.billed_s,
        one.disposition,
    )


def _past_quarter(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp()) % _QUARTER_S
