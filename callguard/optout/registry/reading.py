"""Reading the files of an import from beginning to end, or from where it was cut off."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from pathlib import Path

from callguard.clock import Clock
from callguard.config import Registries, RegistryList
from callguard.optout.registry import refusals
from callguard.optout.registry.builder import Builder
from callguard.optout.registry.contract import Format, RegistryError, Source
from callguard.optout.registry.outcome import Act, FileRead, printable
from callguard.optout.registry.progress import (
    Digests,
    Halfway,
    Progress,
    SourceRead,
    begins_with,
    job_of,
)
from callguard.optout.registry.sources import open_sources

CHECKPOINT_S = 2.0
CHECKPOINT_NUMBERS = 20_000_000
"""Most that a killed import reads a second time."""

Told = Callable[[str, int, int], None]
"""Called with the step (``reading``, ``building``), how much of it is done and of how much."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be imported. ``settings`` are those of this list, with what the operator said of
    it just now; ``sums`` the SHA-256 by file name, ``smaller`` the reason for which a list is
    taken that is smaller than the present one."""

    files: tuple[Path, ...]
    list_format: Format
    settings: RegistryList
    limits: Registries
    list_date: date | None = None
    sums: Mapping[str, str] | None = None
    smaller: str | None = None


@dataclass(slots=True)
class Reading:
    """The files of one import: ``look``, ``begin`` and ``read``, in this order. ``size`` is how
    long their texts are, ``resumed`` whether it went on from somewhere, ``notes`` say why not."""

    asked: Asked
    act: Act
    clock: Clock
    told: Told
    size: int = 0
    resumed: bool = False
    notes: list[str] = field(default_factory=list)
    _paths: list[int] = field(default_factory=list)
    """Which file each source is in."""

    _progress: Progress = field(default_factory=lambda: Progress({}, ""))
    _unsafe: int = 0
    _safe_at: float = 0.0

    @property
    def done(self) -> list[SourceRead]:
        """What was read to its end."""
        return self._progress.done

    @property
    def begun(self) -> str:
        """When the import began, as the manifest has it."""
        return self._progress.begun

    def look(self) -> date:
        """Checks what is known of the files before they are read; the date of the list. Raises
        RegistryError."""
        asked = self.asked
        dates = []
        for index, path in enumerate(asked.files):
            if asked.sums is not None and path.name not in asked.sums:
                raise RegistryError(f"{printable(path.name)}: the checksums do not name it")
            for source in open_sources([path], asked.settings, asked.list_format):
                self._paths.append(index)
                self.size += source.size
                dates.append((source.name, source.list_date))
        return refusals.list_date(asked.list_date, dates)

    def _sources(self) -> Iterator[Source]:
        return open_sources(self.asked.files, self.asked.settings, self.asked.list_format)

    def begin(self, builder: Builder) -> None:
        """Goes on from what the same command did before it was killed; begins anew where there is
        nothing or anything is otherwise now. Raises RegistryError, OSError."""
        asked = self.asked
        what = {
            "act": self.act,
            "format": asked.list_format,
            "settings": asked.settings.model_dump(mode="json"),
        }
        job = job_of(what, asked.files)
        kept = builder.resumed()
        if kept is not None:
            found = Progress.from_state(kept, job)
            changed = None if found is None else self._changed(found)
            if found is not None and changed is None:
                self.resumed = True
                self._progress = found
                for one in found.done:  # the limits and the checksums may be others than then
                    self._check(one)
                return
            builder.restart()
            why = f"{changed} was changed" if changed else "it was of other files or settings"
            self.notes.append(f"an import that was cut off is not gone on with: {why}")
        begun = self.clock.now().astimezone(UTC)
        self._progress = Progress(job, begun.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def _changed(self, kept: Progress) -> str | None:
        """The first file of which what was read is no longer the same."""
        read: dict[int, tuple[int | None, str]] = {}
        if kept.halfway is not None:
            read[self._paths[len(kept.done)]] = (kept.halfway.size, kept.halfway.sha256)
        read |= {one.path: (None, one.file.sha256) for one in kept.done}
        for index, (size, sha256) in read.items():
            if not begins_with(self.asked.files[index], size, sha256):
                return printable(self.asked.files[index].name)
        return None

    def read(self, builder: Builder) -> None:
        """Reads what was not read yet. Raises RegistryError for what is refused, OSError."""
        finished = len(self.done)
        before, digests = 0, (-1, Digests(Path()))
        self._safe_at = self.clock.monotonic()
        sources = self._sources()
        for place, (index, source) in enumerate(zip(self._paths, sources, strict=False)):
            if place >= finished:
                if digests[0] != index:
                    digests = (index, Digests(self.asked.files[index]))
                self._read_one(builder, index, source, digests[1], before)
            before += source.size
        if len(self.done) != len(self._paths) or next(sources, None) is not None:
            raise RegistryError("the files were changed while they were read")
        builder.checkpoint(self._progress.as_state())

    def _read_one(
        self,
        builder: Builder,
        index: int,
        source: Source,
        digests: Digests,
        before: int,
    ) -> None:
        progress = self._progress
        numbers = 0
        if progress.halfway is not None:
            numbers = progress.halfway.numbers
            source.resume(progress.halfway.offset, progress.halfway.tally)
        for batch in source.batches():
            builder.add(batch)
            numbers += len(batch.numbers)
            self._unsafe += len(batch.numbers)
            self.told("reading", before + batch.offset, self.size)
            if self._is_due():
                tally = replace(source.tally, bad=list(source.tally.bad))
                hashed = digests.upto(batch.offset)
                progress.halfway = Halfway(batch.offset, numbers, tally, *hashed)
                self._checkpoint(builder)
        progress.halfway = None
        self._finish_one(index, source, numbers)
        if self._is_due():
            self._checkpoint(builder)

    def _is_due(self) -> bool:
        late = self.clock.monotonic() - self._safe_at >= CHECKPOINT_S
        return self._unsafe >= CHECKPOINT_NUMBERS or (late and self._unsafe > 0)

    def _checkpoint(self, builder: Builder) -> None:
        builder.checkpoint(self._progress.as_state())
        self._unsafe, self._safe_at = 0, self.clock.monotonic()

    def _finish_one(self, index: int, source: Source, numbers: int) -> None:
        """Notes and checks a source that was read to its end."""
        tally = source.tally
        digest = source.digest()
        read = FileRead(source.name, digest, tally.lines, tally.bad_lines, tuple(tally.bad))
        self.done.append(SourceRead(index, read, numbers, source.covers, source.list_date))
        self._check(self.done[-1])

    def _check(self, one: SourceRead) -> None:
        asked, read = self.asked, one.file
        refusals.check_lines(read.name, read.lines, read.bad_lines, asked.limits.max_bad_share)
        refusals.check_sum(asked.files[one.path].name, read.sha256, asked.sums)
