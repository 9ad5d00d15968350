"""Taking a list into use: read, checked, made a snapshot, entered, made current.

Nothing in use changes before all checks are done, and what is refused leaves it as it is. Killed
at any moment, the same command goes on where it was (``progress``); the order of effects at the
end is in ``records``. For a command or a thread: it takes a minute for a list of a nation.
"""

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from callguard.clock import Clock
from callguard.optout.registry import refusals
from callguard.optout.registry.builder import Builder, Built
from callguard.optout.registry.contract import Coverage, RegistryError
from callguard.optout.registry.durable import sync_folder
from callguard.optout.registry.lock import only_one
from callguard.optout.registry.outcome import Act, Before, Figures, Outcome, printable
from callguard.optout.registry.reading import Asked, Reading, Told
from callguard.optout.registry.snapshot import Draft, Snapshot, current, make_current, write

WORK = "work"
SPILLED = 3
"""A number takes four bytes while it is read; in a list it takes at least so many times that."""

PACKED = 6
"""How much smaller than its text a list is at least, where its numbers lie together."""

RESERVE = 64 << 20
"""Bytes that are left free, for the database of the calls beside it."""


class Ledger(Protocol):
    """Where outcomes are kept durably."""

    def before(self, registry: str) -> Before | None: ...

    def settle(self, registry: Path, at: datetime) -> str | None: ...

    def taken(self, outcome: Outcome, at: datetime) -> None: ...

    def refused(self, outcome: Outcome, at: datetime) -> None: ...


def import_list(
    registry: Path, asked: Asked, *, ledger: Ledger, clock: Clock, told: Told | None = None
) -> Outcome:
    """Takes a whole list into use in place of the present one. ``registry`` is its folder, named as
    it is. What is refused is an outcome too, entered like the others.

    Raises Busy while another process imports this registry, what the ledger raises, and
    RegistryError where a list was entered and cannot be made current: the next command does that.
    """
    return _run(registry, asked, "import", ledger, clock, told)


def apply_changes(
    registry: Path, asked: Asked, *, ledger: Ledger, clock: Clock, told: Told | None = None
) -> Outcome:
    """Takes the present list with changes into use: it covers what that one does and is of the date
    of the changes. Otherwise as ``import_list``."""
    return _run(registry, replace(asked, list_format="changes"), "apply", ledger, clock, told)


def _run(
    registry: Path, asked: Asked, act: Act, ledger: Ledger, clock: Clock, told: Told | None
) -> Outcome:
    registry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not registry.is_dir():
        registry.mkdir(mode=0o700, exist_ok=True)
        sync_folder(registry.parent)
    with only_one(registry):
        settled = ledger.settle(registry, clock.now())
        told = _while_there_is_room(registry, told or _silent)
        reading = Reading(asked, act, clock, told)
        run = _Import(registry, asked, act, clock, told, reading, ledger.before(registry.name))
        if settled:
            run.notes.append(settled)
        try:
            with run.resources:
                outcome = run.made()
        except (RegistryError, OSError) as error:
            reason = printable(" ".join(str(error).split()))
            outcome = run.outcome("refused", reason=reason)
            _clear(registry)
            ledger.refused(outcome, clock.now())
            return outcome
        if outcome.state == "taken":
            assert outcome.digest is not None
            ledger.taken(outcome, clock.now())
            make_current(registry, outcome.digest)
        _clear(registry)
        return outcome


def _clear(registry: Path) -> None:
    """What stays is swept away in time."""
    shutil.rmtree(registry / WORK, ignore_errors=True)


def _while_there_is_room(registry: Path, told: Told) -> Told:
    """Raises RegistryError at the step at which the disk is nearly full: a list whose numbers lie
    far apart takes more of it than could be foreseen, and calls could not be kept any more."""

    def step(what: str, done: int, whole: int) -> None:
        at = os.statvfs(registry)
        if (free := at.f_bavail * at.f_frsize) < RESERVE // 2:
            raise RegistryError(f"{registry}: the disk is nearly full, {free >> 20} MiB are free")
        told(what, done, whole)

    return step


def _silent(_step: str, _done: int, _whole: int) -> None:
    pass


@dataclass(slots=True)
class _Import:
    """One import under way; its registry is locked."""

    registry: Path
    asked: Asked
    act: Act
    clock: Clock
    told: Told
    reading: Reading
    before: Before | None
    resources: ExitStack = field(default_factory=ExitStack)
    notes: list[str] = field(default_factory=list)
    present: Snapshot | None = None
    previous: str | None = None
    day: date | None = None
    figures: Figures = field(default_factory=Figures)
    smaller: str | None = None

    def made(self) -> Outcome:
        """The snapshot, durable and not in use. Raises RegistryError or OSError for what is
        refused."""
        self._open_present()
        self.day = self.reading.look()
        present = self.before.list_date if self.before else None
        refusals.check_date(self.day, present, self.clock.now())
        base = self.present if self.act == "apply" else None
        builder = self.resources.enter_context(Builder(self.registry / WORK, base))
        self.reading.begin(builder)
        self._check_space(self.reading.size)
        self.reading.read(builder)
        if self._applied_before():
            return self.outcome("unchanged")
        cover = self._coverage()
        built = builder.finish(lambda done, whole: self.told("building", done, whole))
        self._check(built, cover)
        if self._same(built, cover):
            return self.outcome("unchanged")
        done, begun = self.reading.done, self.reading.begun
        sources = tuple({**read.file.as_json(), "numbers": read.numbers} for read in done)
        draft = Draft(self.registry.name, self.day, begun, cover, sources)
        manifest = write(self.registry, draft, built)
        return replace(self.outcome("taken"), manifest=manifest)

    def outcome(self, state: str, reason: str | None = None) -> Outcome:
        """What came of it, as far as it came."""
        assert state in ("taken", "refused", "unchanged")
        return Outcome(
            registry=self.registry.name,
            act=self.act,
            state=state,  # type: ignore[arg-type] # it is one of them
            reason=reason,
            list_date=self.day,
            manifest=self.present.manifest if self.present and state == "unchanged" else None,
            previous=self.previous,
            files=tuple(read.file for read in self.reading.done),
            figures=self.figures,
            smaller=self.smaller,
            accepted=self.asked.smaller if self.smaller else None,
            resumed=self.reading.resumed,
            notes=(*self.notes, *self.reading.notes),
        )

    def _open_present(self) -> None:
        """Opens the snapshot in use. A damaged one can be replaced by a whole list, and by nothing
        else; the list is then compared with what the records say of it."""
        try:
            self.previous = current(self.registry)
            if self.previous is not None:
                self.present = Snapshot.open_of(self.registry, self.previous)
                self.resources.callback(self.present.close)
                manifest = self.present.manifest
                self.before = Before(manifest.list_date, manifest.counts)
                if self.act == "apply":
                    self.present.verify()
        except RegistryError as error:
            if self.act == "apply":
                raise RegistryError(f"the present list is damaged: {error}") from error
            self.notes.append(f"the present list is damaged: {error}")
        if self.act == "apply" and self.present is None:
            raise RegistryError("there is no list to apply changes to: import a whole one first")

    def _check_space(self, size: int) -> None:
        """Raises RegistryError where the disk has no room for what is to come."""
        at = os.statvfs(self.registry)
        free = at.f_bavail * at.f_frsize
        spill = self.registry / WORK / "spill"
        spilled = spill.stat().st_size if spill.exists() else 0
        present = 0
        if self.present is not None:
            folder = self.present.folder
            present = sum((folder / name).stat().st_size for name in self.present.manifest.files)
        needed = max(0, size // SPILLED - spilled) + max(present, size // PACKED) + RESERVE
        if free < needed:
            raise RegistryError(
                f"{self.registry}: {free >> 20} MiB are free there, {needed >> 20} MiB are needed"
            )

    def _applied_before(self) -> bool:
        """Whether the present list was made with these very changes, in this order."""
        if self.act != "apply" or self.present is None or not self.reading.done:
            return False
        applied = iter([source.get("sha256") for source in self.present.manifest.sources])
        return (
            self.present.manifest.base is not None
            and self.present.manifest.list_date == self.day
            and all(read.file.sha256 in applied for read in self.reading.done)
        )

    def _coverage(self) -> Coverage:
        if self.act == "apply":
            assert self.present is not None
            return self.present.manifest.coverage
        asked = self.asked
        return refusals.coverage(
            asked.list_format,
            asked.settings.covers,
            [(read.file.name, read.covers) for read in self.reading.done],
        )

    def _check(self, built: Built, cover: Coverage) -> None:
        """Raises RegistryError for a list that is not to be taken."""
        limits = self.asked.limits
        present = self.present.manifest if self.present else None
        before = self.before.counts if self.before else {}
        wanted = {*cover.prefixes, *(prefix for prefix in before if cover.covers(prefix))}
        counts = built.counts(sorted(wanted))
        outside = built.count - sum(counts[p] for p in refusals.normal(cover.prefixes))
        distinct = built.added + built.already + built.removed + built.missing
        read = sum(one.numbers for one in self.reading.done)
        applies = self.act == "apply"
        if applies and present is not None:
            was = present.count - sum(present.counts[p] for p in refusals.normal(before))
            outside = max(0, outside - was)
        self.figures = Figures(
            read=read,
            count=built.count,
            added=built.added,
            removed=built.removed,
            doubled=read - distinct,
            outside=outside,
            misfits=built.already + built.missing if applies else 0,
        )
        refusals.check_outside(outside, distinct, cover, limits.max_bad_share)
        if applies:
            self._check_fit(distinct)
        else:
            refusals.check_any(read)
            refusals.check_doubled(read, distinct, limits.max_bad_share)
        missing = refusals.lost(Coverage(tuple(before)), cover)
        fallen = refusals.falls(before, cover, counts.__getitem__, limits.max_fall_share)
        self.smaller = refusals.told_falls(missing, fallen) or None
        if self.smaller is not None and not self.asked.smaller:
            raise RegistryError(f"{self.smaller}; --smaller with a reason takes it all the same")

    def _check_fit(self, changes: int) -> None:
        limits, misfits = self.asked.limits, self.figures.misfits
        refusals.check_fit(misfits, changes, limits.max_fall_share)
        if misfits > limits.max_bad_share * changes:
            self.notes.append(f"{misfits} of {changes} changes were so before")

    def _same(self, built: Built, cover: Coverage) -> bool:
        """Whether the present list is just this one, and whole: a damaged one is replaced."""
        if self.present is None:
            return False
        present = self.present.manifest
        if (present.files, present.list_date, present.coverage.prefixes) != (
            built.files,
            self.day,
            cover.prefixes,
        ):
            return False
        try:
            self.present.verify()
        except RegistryError as error:
            self.notes.append(f"the present list is damaged: {error}")
            return False
        return True
