"""Which erasure ledger a restored database forgets by: the newest of those that go on from the one
in the backup."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from callguard.retention.backup.manifest import BackupError
from callguard.retention.erasures.ledger import BEGINNING, ErasureLedger, LedgerError, Mark


@dataclass(frozen=True, slots=True)
class Chosen:
    """A ledger that was checked line by line, and where it ends; None where it has not begun.
    ``of_backup`` is whether it is only the backup's own, so that later erasures are not known."""

    path: Path | None
    end: Mark | None
    of_backup: bool = False


def newest(places: Iterable[Path], mark: Mark | None, own: Path | None) -> Chosen | None:
    """The longest of the ledgers that are there, or None. Each of the others must be a beginning of
    it; it must hold ``mark``, up to which the database had applied it, and all that ``own``, the
    ledger in the backup, says. Raises BackupError, in one line that names the file."""
    found = {place: its_end for place in places if (its_end := _end(place)) is not None}
    if not found:
        return None
    path = max(found, key=lambda place: found[place].sequence)
    end = found[path]
    for other, its_end in found.items():
        if not _holds(path, its_end):
            raise BackupError(f"the erasure ledgers {path} and {other} name different erasures")
    needed = [mark] if mark is not None else []
    if own is not None and (its_end := _end(own)) is not None:
        needed.append(its_end)
    for place in needed:
        if not _holds(path, place):
            older = end.sequence < place.sequence
            raise BackupError(
                f"the erasure ledger {path} is "
                + ("older than the backup" if older else "another one than that of the backup")
            )
    return Chosen(path, end)


def of_backup(own: Path | None, mark: Mark | None) -> Chosen:
    """The ledger in the backup itself. Raises BackupError where it is not as new as the database
    beside it."""
    end = _end(own) if own is not None else None
    if own is not None and mark is not None and not _holds(own, mark):
        raise BackupError(f"the erasure ledger {own} is not that of the database beside it")
    if own is None and mark is not None:
        raise BackupError("the backup has no erasure ledger, but its database knew one")
    return Chosen(own if end is not None else None, end, of_backup=True)


def _end(place: Path) -> Mark | None:
    """Where it ends, every line checked, after what a power cut left torn was written once more;
    None where there is none."""
    ledger, end = ErasureLedger(place), BEGINNING
    try:
        ledger.heal()
        if ledger.end() is None:
            return None
        for line in ledger.lines():
            end = line.mark
    except LedgerError as error:
        raise BackupError(f"{error}: refused") from error
    return end


def _holds(place: Path, mark: Mark) -> bool:
    try:
        return ErasureLedger(place).holds(mark)
    except LedgerError as error:
        raise BackupError(f"{error}: refused") from error
