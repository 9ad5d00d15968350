"""One text of a list, read in batches: what all formats share."""

from collections.abc import Callable, Generator
from contextlib import closing
from datetime import date

import numpy as np

from callguard.optout.registry.contract import SHOWN, BadLine, Batch, RegistryError, Tally
from callguard.optout.registry.sources.digits import Bytes
from callguard.optout.registry.sources.layout import Layout
from callguard.optout.registry.sources.lines import (
    BLOCK,
    MAX_LINE,
    LineError,
    Places,
    ahead,
    count_lines,
    lines_of,
    texts,
    whole_lines,
)
from callguard.optout.registry.sources.opening import ListFile, Member, Reading
from callguard.optout.registry.sources.suspicion import Mixture, looks_like, masked

HEAD = 64 << 10
"""Bytes looked at before anything is taken."""

HEAD_LINES = 1_000
"""The first lines, half of which at least must hold a number."""

_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_NOTHING = b" \t\r\x1a"
_ASCII = 128


class TextSource:
    """One text (see ``contract.Source``). ``finished`` is told when it was read to the end, and
    may refuse it even then; ``block`` is about how many bytes of it make a batch."""

    def __init__(
        self,
        file: ListFile,
        member: Member,
        layout: Layout,
        list_date: date | None = None,
        finished: Callable[["TextSource"], None] | None = None,
        block: int = BLOCK,
    ) -> None:
        self.name = member.name
        self.size = member.size
        self.list_date = list_date
        self.covers = layout.covers()
        self.tally = Tally()
        self._file = file
        self._member = member
        self._layout = layout
        self._finished = finished
        self._block = block
        self._from = 0
        self._numbers = 0

    def resume(self, offset: int, tally: Tally) -> None:
        """Begins behind a batch that was had before: at its offset, with the tally of then. What
        lies before it is read past."""
        self._from = offset
        self.tally = tally

    def digest(self) -> str:
        """SHA-256 of the file as it lies there. It is read for that where it was not read to the
        end; its file must still be open then."""
        return self._file.digest()

    def batches(self) -> Generator[Batch, None, None]:
        """See ``contract.Source``; once only."""
        with self._member.opened() as text:
            first = _filled(text, HEAD)
            at = self._begin(first)
            if self._from <= at:
                self.tally.lines += first.count(b"\n", 0, at)
            mixture = Mixture(self._layout.format, [bad.text for bad in self.tally.bad])
            rest = _Joined(first[at:], text)
            with closing(ahead(whole_lines(rest.read, self._block))) as blocks:
                for piece in blocks:
                    block = self._ended(piece)
                    past = min(max(self._from - at, 0), len(block))
                    if past:
                        self._pass(block[:past])
                    at += len(piece)
                    if past < len(block):
                        batch = self._batch(block[past:], at, mixture)
                        if len(batch.numbers):
                            yield batch
        self._end(at, mixture)

    def _begin(self, first: bytes) -> int:
        """Where the lines begin, behind a mark of the encoding and a heading. Raises RegistryError
        where the first lines are no such list."""
        if not first:
            raise RegistryError(f"{self.name}: is empty")
        if first.startswith(_WIDE):
            raise RegistryError(f"{self.name}: is UTF-16 or UTF-32; a list is ASCII or UTF-8")
        mark = len(_BOM) if first.startswith(_BOM) else 0
        if b"\n" not in first[:HEAD] and len(first) > MAX_LINE:
            raise self._refusal(0, f"is longer than {MAX_LINE} bytes")
        head = first[mark : first.rfind(b"\n") + 1] or first[mark:] + b"\n"
        head = b"".join(line + b"\n" for line in head.split(b"\n", HEAD_LINES)[:-1])
        try:
            self._sound(np.frombuffer(head, np.uint8))
            heading = self._layout.begin(head)
        except LineError as error:
            raise self._refusal(error.line, error.what) from error
        self._check_head(head, heading)
        return min(mark + heading, len(first))

    def _check_head(self, head: bytes, heading: int) -> None:
        above = head.count(b"\n", 0, heading)
        body = np.frombuffer(head[heading:], np.uint8)
        try:
            parsed = self._layout.parse(body) if len(body) else None
        except LineError as error:
            raise self._refusal(above + error.line, error.what) from error
        if parsed is None or parsed.bad is None or len(parsed.bad) <= len(parsed.numbers):
            return
        wanted = self._layout.format
        other = looks_like(head, wanted)
        looks = f"; it looks like {other}" if other else ""
        told = f"{len(parsed.bad)} of the first {parsed.lines} lines hold no number"
        raise self._refusal(above + int(parsed.bad[0]), f"is none of {wanted}: {told}{looks}")

    def _ended(self, piece: bytes) -> Bytes:
        """A block of whole lines. Raises RegistryError for a last line that was cut off."""
        if piece.endswith(b"\n"):
            return np.frombuffer(piece, np.uint8)
        lines = self.tally.lines
        if len(piece) > MAX_LINE:
            raise self._refusal(lines, f"is longer than {MAX_LINE} bytes")
        if not piece.strip(_NOTHING):  # an end mark of DOS among them
            return np.frombuffer(b"\n", np.uint8)
        if not self._layout.whole(piece):
            raise self._refusal(lines, "has no line break and is cut off, or is no number")
        return np.frombuffer(piece + b"\n", np.uint8)

    def _pass(self, block: Bytes) -> None:
        if block[-1] != ord("\n"):
            raise RegistryError(f"{self.name}: is not the file that was begun with")
        try:
            self._layout.passes(block)
        except LineError as error:
            raise RegistryError(f"{self.name}: {error.what}") from error

    def _batch(self, block: Bytes, end: int, mixture: Mixture) -> Batch:
        before = self.tally.lines
        try:
            parsed = self._layout.parse(block)
            if parsed.bad is not None:
                self._sound(block)
        except LineError as error:
            raise self._refusal(before + error.line, error.what) from error
        if parsed.bad is not None and len(parsed.bad):
            self._count_bad(block, parsed.bad, mixture)
        self.tally.lines += parsed.lines
        self._numbers += len(parsed.numbers)
        return Batch(parsed.numbers, parsed.removed, end)

    def _count_bad(self, block: Bytes, bad: Places, mixture: Mixture) -> None:
        lines = lines_of(block)
        for line, text in texts(block, lines, bad):
            number = self.tally.lines + line + 1
            shown = masked(self._layout.shown(text))
            self.tally.bad_lines += 1
            if len(self.tally.bad) < SHOWN:
                self.tally.bad.append(BadLine(self.name, number, shown))
            other = mixture.add(number, shown)
            if other:
                raise self._mixed(number, other)

    def _end(self, at: int, mixture: Mixture) -> None:
        if at < self._from:
            raise RegistryError(f"{self.name}: is shorter than what was read of it before")
        mixed = mixture.at_end(self.tally.lines)
        if mixed:
            raise self._mixed(*mixed)
        if not self._numbers and not self._from and self._layout.format != "changes":
            raise RegistryError(f"{self.name}: holds no number")
        self.covers = self._layout.covers()
        self.digest()
        if self._finished is not None:
            self._finished(self)

    def _mixed(self, line: int, other: str) -> RegistryError:
        what = f"is of {other}, but the file of {self._layout.format}: it is mixed"
        return self._refusal(line - 1, what)

    def _sound(self, block: Bytes) -> None:
        """Raises LineError for what is no text."""
        noughts = np.flatnonzero(block == 0)
        if len(noughts):
            what = "holds NUL bytes; a list is ASCII or UTF-8"
            raise LineError(count_lines(block[: noughts[0]]), what)
        if block.max(initial=0) >= _ASCII:
            try:
                block.tobytes().decode("utf-8")
            except UnicodeDecodeError as error:
                what = "is neither ASCII nor UTF-8"
                raise LineError(count_lines(block[: error.start]), what) from error

    def _refusal(self, line: int, what: str) -> RegistryError:
        return RegistryError(f"{self.name}, line {line + 1}: {what}")


class _Joined:
    """What was read of a text already, and the rest of it."""

    def __init__(self, first: bytes, text: Reading) -> None:
        self._first = first
        self._text = text

    def read(self, size: int) -> bytes:
        if not self._first:
            return self._text.read(size)
        piece, self._first = self._first[:size], self._first[size:]
        return piece


def _filled(text: Reading, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := text.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
