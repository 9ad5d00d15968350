"""What the parts of the registry hand to one another."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Format = Literal["us-dnc", "uk-tps", "e164", "csv", "changes"]
FORMATS: tuple[Format, ...] = ("us-dnc", "uk-tps", "e164", "csv", "changes")

GROUP = 10_000_000
"""Numbers of one group: those that differ in their last seven digits. In the North American plan
that is an area code."""

SHOWN = 100
"""Most bad lines that are shown."""


class RegistryError(ValueError):
    """A list or a snapshot that cannot be used; one line that says which, where and why. Nothing
    in use was changed."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no number. ``text`` is masked and cut, fit to be shown."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Numbers in the order of the list, each as the integer of its E.164 digits. ``removed``, as
    long, says which are taken off the list; None where none is. ``offset`` is how far into the
    source (bytes of the text, uncompressed) everything up to the end of this batch lies."""

    numbers: NDArray[np.int64]
    removed: NDArray[np.bool_] | None
    offset: int


@dataclass(slots=True)
class Tally:
    """What was read of one source so far. ``bad`` holds the first ``SHOWN``."""

    lines: int = 0
    bad_lines: int = 0
    bad: list[BadLine] = field(default_factory=list)


class Source(Protocol):
    """One file of a list, or one member of a zip archive, opened for reading in batches."""

    name: str
    """For people: the file, with the member of an archive."""

    size: int
    """Bytes of its text, uncompressed, as far as is known beforehand; for progress only."""

    covers: tuple[str, ...]
    """The prefixes (``+1201``) that this source is about, by its name or its first line; empty
    where it says nothing of that."""

    list_date: date | None
    """The date that its name bears."""

    tally: Tally

    def resume(self, offset: int, tally: Tally) -> None:
        """Begins behind a batch that was had before: at its offset, with the tally of then."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Reads to the end in bounded memory. Raises RegistryError for what is no such list, is
        mixed, cut off or damaged; a single bad line is only counted."""
        ...

    def digest(self) -> str:
        """SHA-256 of the file as it lies there, in hex, once it was read to the end."""
        ...


@dataclass(frozen=True, slots=True)
class Coverage:
    """The prefixes (``+44``, ``+1201``) that a snapshot can speak for; what begins with none of
    them is unknown, never clear."""

    prefixes: tuple[str, ...]

    def covers(self, e164: str) -> bool:
        return e164.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot says of itself; docs/formats.md has it as JSON. ``counts`` are the numbers
    by covered prefix; ``digest`` names the snapshot: the SHA-256 of the manifest's own bytes."""

    registry: str
    list_date: date
    imported_at: str
    count: int
    counts: dict[str, int]
    coverage: Coverage
    sources: tuple[dict[str, object], ...]
    files: dict[str, str]
    base: str | None
    digest: str
