"""One call detail record, from either of its two sources. Pure."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from callguard.ids import is_call_id

Source = Literal["ami", "file"]

COLUMNS = (
    "accountcode",
    "src",
    "dst",
    "dcontext",
    "clid",
    "channel",
    "dstchannel",
    "lastapp",
    "lastdata",
    "start",
    "answer",
    "end",
    "duration",
    "billsec",
    "disposition",
    "amaflags",
    "uniqueid",
    "linkedid",
    "sequence",
    "userfield",
)
"""The columns of asterisk-conf/cdr_custom_callguard.conf, in order."""


MAX_ID = 150
"""Longest unique id; Asterisk's own bound is 149."""

MAX_WHOLE = (1 << 31) - 1


class RecordError(ValueError):
    """A record that cannot be read; one line that says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What billing, disputes and regulators need of one leg.

    ``uniqueid`` and ``sequence`` name it within its Asterisk; ``call_id`` joins it to the
    verdict where the gate was asked.
    """

    uniqueid: str
    sequence: int
    linkedid: str
    call_id: str | None
    caller: str
    called: str
    channel: str
    peer_channel: str
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    duration_s: int
    billed_s: int
    disposition: str
    userfield: str
    source: Source


def from_line(line: str) -> CallRecord:
    """Reads one line of the file that Asterisk writes. Raises RecordError.

    Every field is quoted. So a line break inside a field, at which the file is cut, makes two bad
    lines and never a record that somebody made up: what comes after it has its quotes doubled.
    """
    try:
        rows = list(csv.reader(io.StringIO(line), strict=True, quoting=csv.QUOTE_NONNUMERIC))
    except (csv.Error, ValueError) as error:
        raise RecordError("no CSV of quoted fields") from error
    if len(rows) != 1 or len(rows[0]) != len(COLUMNS):
        found = len(rows[0]) if rows else 0
        raise RecordError(f"{found} columns in place of {len(COLUMNS)}")
    fields = dict(zip(COLUMNS, rows[0], strict=True))
    if not all(isinstance(field, str) for field in rows[0]):
        raise RecordError("a field without quotes")
    return _build(fields, "file")


_EVENT_NAMES = {
    "src": "Source",
    "dst": "Destination",
    "channel": "Channel",
    "dstchannel": "DestinationChannel",
    "start": "StartTime",
    "answer": "AnswerTime",
    "end": "EndTime",
    "duration": "Duration",
    "billsec": "BillableSeconds",
    "disposition": "Disposition",
    "uniqueid": "UniqueID",
    "linkedid": "LinkedID",
    "sequence": "Sequence",
    "userfield": "UserField",
}


def from_event(get: Mapping[str, str]) -> CallRecord:
    """Reads an AMI ``Cdr`` event, given its headers. Raises RecordError."""
    lower = {name.lower(): value for name, value in get.items()}
    return _build({k: lower.get(name.lower(), "") for k, name in _EVENT_NAMES.items()}, "ami")


def _build(fields: Mapping[str, str], source: Source) -> CallRecord:
    if not 0 < len(fields["uniqueid"]) <= MAX_ID or len(fields["linkedid"]) > MAX_ID:
        raise RecordError("no unique id, or one that is too long")
    started, ended = _time("start", fields["start"]), _time("end", fields["end"])
    if started is None or ended is None:
        raise RecordError("no start or no end")
    userfield = fields["userfield"]
    return CallRecord(
        uniqueid=fields["uniqueid"],
        sequence=_whole("sequence", fields["sequence"]),
        linkedid=fields["linkedid"] or fields["uniqueid"],
        call_id=userfield if is_call_id(userfield) else None,
        caller=fields["src"][:80],
        called=fields["dst"][:80],
        channel=fields["channel"],
        peer_channel=fields["dstchannel"],
        started_at=started,
        answered_at=_time("answer", fields["answer"]),
        ended_at=ended,
        duration_s=_whole("duration", fields["duration"]),
        billed_s=_whole("billsec", fields["billsec"]),
        disposition=fields["disposition"][:16],
        userfield=userfield,
        source=source,
    )


def _whole(name: str, text: str) -> int:
    try:
        number = int(float(text))
    except (ValueError, OverflowError) as error:
        raise RecordError(f"{name} is no number") from error
    if abs(number) > MAX_WHOLE:
        raise RecordError(f"{name} is too large")
    return number


def _time(name: str, text: str) -> datetime | None:
    """Epoch seconds with a fraction, or Asterisk's ``YYYY-MM-DD HH:MM:SS`` in UTC."""
    text = text.strip()
    if not text or text.startswith("0.0"):
        return None
    try:
        if text[4:5] == "-":
            moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        else:
            moment = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RecordError(f"{name} is no time") from error
    if not 1970 <= moment.year < 3000:  # beyond, the date of its purge could not be told
        raise RecordError(f"{name} is no time of a call")
    return moment
