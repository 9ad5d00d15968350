"""Call records as Asterisk tells of them: a line of its file, and the headers of its event."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from callguard.ami.wire import Message
from callguard.cdr.record import COLUMNS, FEWEST

CALL_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
OTHER_CALL_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
START = 1_795_176_000.25


def line(sequence: int = 1, /, **fields: str) -> str:
    """One line, its end not included; every field is quoted, as CSV_QUOTE does."""
    return _line(sequence, len(COLUMNS), fields)


def older_line(sequence: int = 1, /, **fields: str) -> str:
    """One of a file from before the last columns came."""
    return _line(sequence, FEWEST, fields)


def _line(sequence: int, columns: int, fields: Mapping[str, str]) -> str:
    values = dict.fromkeys(COLUMNS, "")
    values |= {
        "src": "+442079460000",
        "dst": "+442079460001",
        "clid": '"Ann" <+442079460000>',
        "channel": "PJSIP/agent1-00000001",
        "dstchannel": "PJSIP/carrier-00000002",
        "start": f"{START:.6f}",
        "answer": f"{START + 2:.6f}",
        "end": f"{START + 12.5:.6f}",
        "duration": "12",
        "billsec": "10",
        "disposition": "ANSWERED",
        "uniqueid": f"1795176000.{sequence}",
        "linkedid": "1795176000.1",
        "sequence": str(sequence),
        "userfield": CALL_ID,
        **fields,
    }
    return ",".join(_quoted(values[column]) for column in COLUMNS[:columns])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def newer_master(number: int = 1, /, **fields: str) -> str:
    """The same record as ``Master.csv`` has it, with all that it can be told to have."""
    return f'{master(number, **fields)},"acme","1795176000.1",{number}'


def master(number: int = 1, /, **fields: str) -> str:
    """The same with ``loguniqueid`` and ``loguserfield``, without ``newcdrcolumns``."""
    values = {
        "src": "+442079460000",
        "dst": "+442079460001",
        "clid": '"Ann" <+442079460000>',
        "channel": "PJSIP/agent1-00000001",
        "dstchannel": "PJSIP/carrier-00000002",
        "start": "2026-11-20 12:00:00",
        "answer": "2026-11-20 12:00:02",
        "end": "2026-11-20 12:00:12",
        "duration": "12",
        "billsec": "10",
        "disposition": "ANSWERED",
        "amaflags": "DOCUMENTATION",
        "uniqueid": f"1795176000.{number}",
        "userfield": CALL_ID,
        **fields,
    }
    texts = [_quoted(values.get(name, "")) for name in COLUMNS[:9]]
    times = [_quoted(values[n]) if values[n] else "" for n in ("start", "answer", "end")]
    numbers = [values["duration"], values["billsec"]]
    said = [_quoted(values[n]) for n in ("disposition", "amaflags", "uniqueid", "userfield")]
    return ",".join([*texts, *times, *numbers, *said])


def event(sequence: int = 1, /, **headers: str) -> Message:
    """The AMI event of the same record; times are whole seconds."""
    values = {
        "Event": "Cdr",
        "Source": "+442079460000",
        "Destination": "+442079460001",
        "Channel": "PJSIP/agent1-00000001",
        "DestinationChannel": "PJSIP/carrier-00000002",
        "StartTime": "2026-11-20 12:00:00",
        "AnswerTime": "2026-11-20 12:00:02",
        "EndTime": "2026-11-20 12:00:12",
        "Duration": "12",
        "BillableSeconds": "10",
        "Disposition": "ANSWERED",
        "UniqueID": f"1795176000.{sequence}",
        "LinkedID": "1795176000.1",
        "Sequence": str(sequence),
        "UserField": CALL_ID,
        **headers,
    }
    return Message(tuple(values.items()))


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write("".join(f"{text}\n" for text in lines))


def a_call(decided: datetime, tenant: str | None, **fields: object) -> dict[str, object]:
    """The verdict that ``CALL_ID`` names, as a row."""
    lists: dict[str, object] = {"reasons": [], "obligations": [], "findings": []}
    ends = {"pbx": "east", "uniqueid": "1", "subject": "", "caller": "", "called": ""}
    said = {"direction": "outbound", "verdict": "allow", "decided_at": decided}
    return {"id": CALL_ID, "tenant_id": tenant, **ends, **said, **lists, **fields}
