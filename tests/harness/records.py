"""Call detail records: the line that cdr_custom writes, and the fields of AMI's Cdr event."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DEFAULT_MAPPING = ",".join(
    f"${{CSV_QUOTE(${{CDR({column})}})}}"
    for column in (
        *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp"),
        *("lastdata", "start,u", "answer,u", "end,u", "duration", "billsec", "disposition"),
        *("amaflags", "uniqueid", "linkedid", "sequence", "userfield"),
        *("hangupcause", "peeraccount"),
    )
)
_COLUMN = re.compile(r"\$\{CDR\((\w+)")


@dataclass(slots=True)
class CallRecord:
    """One CDR; times are epoch seconds, 0 when the moment never came. ``tells_cause`` is whether
    the dialplan asked for a handler that writes down why the channel was hung up."""

    uniqueid: str
    linkedid: str
    sequence: int
    start: float
    channel: str
    src: str = ""
    clid: str = ""
    dst: str = ""
    dcontext: str = ""
    accountcode: str = ""
    dstchannel: str = ""
    lastapp: str = ""
    lastdata: str = ""
    answer: float = 0.0
    end: float = 0.0
    disposition: str = "NO ANSWER"
    amaflags: str = "DOCUMENTATION"
    userfield: str = ""
    hangupcause: str = ""
    peeraccount: str = ""
    tells_cause: bool = False

    @property
    def duration(self) -> float:
        return max(0.0, self.end - self.start)

    @property
    def billsec(self) -> float:
        return max(0.0, self.end - self.answer) if self.answer else 0.0

    def read(self, name: str, option: str = "") -> str:
        """``CDR(name,option)``: ``u`` and ``f`` give raw and fractional times."""
        if name in {"start", "answer", "end"}:
            moment: float = getattr(self, name)
            if not moment:
                return ""
            if option:
                return f"{moment:.6f}"
            return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}"
        if name in {"duration", "billsec"}:
            seconds: float = getattr(self, name)
            return f"{seconds:.6f}" if option else str(int(seconds))
        value = getattr(self, name, None)
        if value is None:
            raise KeyError(name)
        return str(value)

    def manager_headers(self, mappings: dict[str, str]) -> list[tuple[str, str]]:
        """The headers of the Cdr event, with the extra ones of cdr_manager's mappings."""
        return [
            ("AccountCode", self.accountcode),
            ("Source", self.src),
            ("Destination", self.dst),
            ("DestinationContext", self.dcontext),
            ("CallerID", self.clid),
            ("Channel", self.channel),
            ("DestinationChannel", self.dstchannel),
            ("LastApplication", self.lastapp),
            ("LastData", self.lastdata),
            ("StartTime", self.read("start")),
            ("AnswerTime", self.read("answer")),
            ("EndTime", self.read("end")),
            ("Duration", self.read("duration")),
            ("BillableSeconds", self.read("billsec")),
            ("Disposition", self.disposition),
            ("AMAFlags", self.amaflags),
            ("UniqueID", self.uniqueid),
            ("UserField", self.userfield),
            *((header, self.read(name)) for name, header in mappings.items()),
        ]


def columns(mapping: str) -> list[str]:
    """The names of the columns of a cdr_custom mapping, in order."""
    return _COLUMN.findall(mapping)


def append_line(path: Path, line: str) -> None:
    """Append one line as cdr_custom does, in one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(line.encode() + b"\n")


def read_section(file: Path, section: str) -> dict[str, str]:
    """One section of an Asterisk configuration file, as a mapping."""
    found: dict[str, str] = {}
    inside = False
    for raw in file.read_text("utf-8").splitlines():
        line = raw.partition(";")[0].strip()
        if line.startswith("["):
            inside = line == f"[{section}]"
        elif inside and "=" in line:
            name, _, value = line.partition("=")
            found[name.strip()] = value.lstrip("> ").strip()
    return found
