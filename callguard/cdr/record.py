"""One call detail record, from either of its two sources. Pure."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
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
    "hangupcause",
    "peeraccount",
)
"""The columns of asterisk-conf/cdr_custom_callguard.conf, in order."""

FEWEST = COLUMNS.index("hangupcause")
"""How many a line must have: those after it came later, and files from before are read too."""

MAX_ID = 150
"""Longest unique id; Asterisk's own bound is 149."""

MAX_WHOLE = (1 << 31) - 1
MOST_CAUSE = 127
"""ITU-T Q.850: a cause has seven bits."""


class RecordError(ValueError):
    """A record that cannot be read; one line that says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What billing, disputes and regulators need of one leg.

    ``uniqueid`` and ``sequence`` name it within its Asterisk; ``sequence`` is None where the file
    has none. ``call_id`` joins it to the verdict where the gate was asked. ``cause`` is why the
    calling channel was hung up (ITU-T Q.850), ``account_code`` and ``peer_account`` the account
    codes of both channels.
    """

    uniqueid: str
    sequence: int | None
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
    account_code: str = ""
    peer_account: str = ""
    cause: int | None = None


def from_line(line: str) -> CallRecord:
    """Reads one line of the file that Asterisk writes. Raises RecordError.

    Every field is quoted. So a line break inside a field, at which the file is cut, makes two bad
    lines and never a record that somebody made up: what comes after it has its quotes doubled.
    """
    try:
        rows = list(csv.reader(io.StringIO(line), strict=True, quoting=csv.QUOTE_NONNUMERIC))
    except (csv.Error, ValueError) as error:
        raise RecordError("no CSV of quoted fields") from error
    if len(rows) != 1 or len(rows[0]) not in (FEWEST, len(COLUMNS)):
        found = len(rows[0]) if rows else 0
        raise RecordError(f"{found} columns in place of {len(COLUMNS)}")
    fields = dict(zip(COLUMNS, rows[0], strict=False))
    if not all(isinstance(field, str) for field in rows[0]):
        raise RecordError("a field without quotes")
    if not fields["sequence"]:
        raise RecordError("no sequence")
    return build(fields, "file")


_EVENT_NAMES = {
    "accountcode": "AccountCode",
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
    "hangupcause": "HangupCause",
    "peeraccount": "PeerAccount",
}


def from_event(get: Mapping[str, str], zone: tzinfo = UTC) -> CallRecord:
    """Reads an AMI ``Cdr`` event, given its headers; its times are those of the clock on the wall
    of that Asterisk, which hangs in ``zone``. Raises RecordError."""
    lower = {name.lower(): value for name, value in get.items()}
    fields = {k: lower.get(name.lower(), "") for k, name in _EVENT_NAMES.items()}
    if not fields["sequence"]:
        raise RecordError("no sequence: cdr_manager.conf does not map it")
    return build(fields, "ami", zone)


def build(fields: Mapping[str, str], source: Source, zone: tzinfo = UTC) -> CallRecord:
    """The record of these columns, by name; a record without ``sequence`` is one of a file that
    has none. Raises RecordError."""
    uniqueid, sequence = fields["uniqueid"], fields["sequence"]
    if not 0 < len(uniqueid) <= MAX_ID or len(fields["linkedid"]) > MAX_ID:
        raise RecordError("no unique id, or one that is too long")
    duration = _whole("duration", fields["duration"])
    started = _time("start", fields["start"], zone, _made(uniqueid))
    if started is None:
        raise RecordError("no start or no end")
    ended = _time("end", fields["end"], zone, started + timedelta(seconds=duration - 1))
    if ended is None:
        raise RecordError("no start or no end")
    userfield = fields["userfield"]
    return CallRecord(
        uniqueid=uniqueid,
        sequence=_whole("sequence", sequence) if sequence else None,
        linkedid=fields["linkedid"] or uniqueid,
        call_id=_call_id(userfield),
        caller=fields["src"][:80],
        called=fields["dst"][:80],
        channel=fields["channel"],
        peer_channel=fields["dstchannel"],
        started_at=started,
        answered_at=_time("answer", fields["answer"], zone, started),
        ended_at=ended,
        duration_s=duration,
        billed_s=_whole("billsec", fields["billsec"]),
        disposition=fields["disposition"][:16],
        userfield=userfield,
        source=source,
        account_code=fields["accountcode"][:80],
        peer_account=fields.get("peeraccount", "")[:80],
        cause=_cause(fields.get("hangupcause", "")),
    )


def _call_id(userfield: str) -> str | None:
    """Where both channels have one, Asterisk joins them with a semicolon, the calling one first."""
    first = userfield.partition(";")[0]
    return first if is_call_id(first) else None


def _whole(name: str, text: str) -> int:
    try:
        number = int(float(text))
    except (ValueError, OverflowError) as error:
        raise RecordError(f"{name} is no number") from error
    if abs(number) > MAX_WHOLE:
        raise RecordError(f"{name} is too large")
    return number


def _cause(text: str) -> int | None:
    """A record is worth more than its cause: one that is none is left out."""
    cause = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
    return cause if 0 < cause <= MOST_CAUSE else None


def _made(uniqueid: str) -> datetime | None:
    """When the channel was made, to the second: a unique id is ``[name-]seconds.count``."""
    seconds = uniqueid.rpartition("-")[2].partition(".")[0]
    if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 10:
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def _time(name: str, text: str, zone: tzinfo, earliest: datetime | None) -> datetime | None:
    """Epoch seconds with a fraction, or Asterisk's ``YYYY-MM-DD HH:MM:SS`` in ``zone``. Of a time
    that the clock shows twice, when summer ends, it is the first that is not before
    ``earliest``."""
    text = text.strip()
    if not text or text.startswith("0.0"):
        return None
    try:
        if text[4:5] == "-":
            shown = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
            moment = shown.astimezone(UTC)
            if earliest is not None and moment < earliest:
                moment = max(moment, shown.replace(fold=1).astimezone(UTC))
        else:
            moment = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RecordError(f"{name} is no time") from error
    if not 1970 <= moment.year < 3000:  # beyond, the date of its purge could not be told
        raise RecordError(f"{name} is no time of a call")
    return moment
