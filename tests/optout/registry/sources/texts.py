"""Texts of lists, written and read."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from callguard.config import RegistryList
from callguard.optout.registry.contract import Batch, Format, Tally
from callguard.optout.registry.sources import open_sources
from callguard.optout.registry.sources.lines import BLOCK
from callguard.optout.registry.sources.reading import TextSource

NAMED = "2026-11-1_201_6f1c.txt"


@dataclass
class Read:
    """What came out of some files."""

    numbers: list[int] = field(default_factory=list)
    removed: list[bool] = field(default_factory=list)
    batches: list[tuple[Batch, Tally]] = field(default_factory=list)
    sources: list[TextSource] = field(default_factory=list)

    @property
    def source(self) -> TextSource:
        return self.sources[-1]

    @property
    def tally(self) -> Tally:
        return self.source.tally

    @property
    def bad(self) -> list[tuple[int, str]]:
        return [(bad.line, bad.text) for bad in self.tally.bad]


def copy_of(tally: Tally) -> Tally:
    return Tally(tally.lines, tally.bad_lines, list(tally.bad))


def drained(source: TextSource, into: Read) -> None:
    into.sources.append(source)
    for batch in source.batches():
        assert batch.numbers.dtype == np.int64
        into.numbers += batch.numbers.tolist()
        if batch.removed is not None:
            assert len(batch.removed) == len(batch.numbers)
            into.removed += batch.removed.tolist()
        into.batches.append((batch, copy_of(source.tally)))


def read_files(
    paths: Sequence[Path], form: Format, settings: RegistryList | None = None, block: int = BLOCK
) -> Read:
    found = Read()
    for source in open_sources(paths, settings or RegistryList(), form, block):
        drained(source, found)
    return found


def read_text(
    folder: Path,
    text: bytes,
    form: Format,
    settings: RegistryList | None = None,
    block: int = BLOCK,
    name: str = "list.txt",
) -> Read:
    path = folder / name
    path.write_bytes(text)
    return read_files([path], form, settings, block)


def zip_of(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path
