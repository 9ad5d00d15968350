"""Pages of call records on their way into a file, and the count of what went."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from callguard.cdr.columns import VERSION, Told, masked
from callguard.cdr.export.contract import Form
from callguard.cdr.export.csv_lines import csv_pieces
from callguard.cdr.export.json_lines import json_pieces
from callguard.cdr.export.parquet import parquet_pieces
from callguard.cdr.reading import Page
from callguard.recording import age
from callguard.recording.payload import seal_stream


@dataclass(slots=True)
class Tally:
    """What went into the file so far: ``rows`` of it, ``scanned`` ones that were looked at for
    them, ``size`` in bytes as they leave, sealed or not; ``masked`` are the rows without numbers
    because they are only stored."""

    rows: int = 0
    scanned: int = 0
    size: int = 0
    masked: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        return str(self._digest.hexdigest())

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._digest.update(piece)

    def as_json(self) -> dict[str, object]:
        """The manifest: what the file is to be."""
        return {
            "rows": self.rows,
            "bytes": self.size,
            "sha256": self.sha256,
            "columns": VERSION,
            "only_stored": self.masked,
        }


def exported(
    pages: Iterable[Page],
    form: Form,
    tally: Tally,
    told: Callable[[Tally], None] = lambda _: None,
) -> Iterator[bytes]:
    """The file in pieces, none of them empty; ``told`` is called for each page of records. Raises
    ExportError, RecipientsError, and what reading raises: then it is not whole."""
    pieces = _encoded(_counted(pages, form, tally, told), form)
    if form.recipients:
        pieces = _sealed(pieces, form.recipients)
    for piece in pieces:
        if piece:
            tally.add(piece)
            yield piece


def _counted(
    pages: Iterable[Page], form: Form, tally: Tally, told: Callable[[Tally], None]
) -> Iterator[Sequence[Told]]:
    for page in pages:
        tally.rows += len(page.records)
        tally.scanned += page.scanned
        tally.masked += page.masked
        yield list(map(masked, page.records)) if form.masked else page.records
        told(tally)


def _encoded(pages: Iterator[Sequence[Told]], form: Form) -> Iterator[bytes]:
    match form.format:
        case "csv":
            return csv_pieces(pages, as_is=form.as_is)
        case "jsonl":
            return json_pieces(pages)
        case "parquet":
            return parquet_pieces(pages)


def _sealed(pieces: Iterator[bytes], recipients: Sequence[age.Recipient]) -> Iterator[bytes]:
    file_key = age.new_file_key()
    yield age.build_header(file_key, recipients)
    yield from seal_stream(pieces, file_key, age.new_nonce())
