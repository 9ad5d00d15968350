"""What an export is asked to be, and how it fails. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from callguard.recording.age import Recipient

Format = Literal["csv", "jsonl", "parquet"]

FORMATS: Final[tuple[Format, ...]] = get_args(Format)


class ExportError(RuntimeError):
    """An export that cannot be made; one line that says why."""


@dataclass(frozen=True, slots=True)
class Form:
    """``masked`` is without anybody's number. ``as_is`` leaves cells of CSV that a spreadsheet
    would take for a formula. With ``recipients`` it is an age file for them."""

    format: Format
    masked: bool = False
    as_is: bool = False
    recipients: tuple[Recipient, ...] = ()

    @property
    def media_type(self) -> str:
        """RFC 4180 and 7111 for CSV; jsonlines.org; as registered with IANA for Parquet."""
        return "application/octet-stream" if self.recipients else _MEDIA[self.format]

    @property
    def ending(self) -> str:
        """What a file's name ends in."""
        return f"{self.format}.age" if self.recipients else self.format


_MEDIA: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}


def read_format(text: str) -> Format:
    """The format of that name. Raises ExportError."""
    for known in FORMATS:
        if text == known:
            return known
    raise ExportError(f"{text[:40]!r} is no format: {', '.join(FORMATS)}")
