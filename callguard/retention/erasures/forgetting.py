"""Forgetting again: database and erasure ledger are brought to agree before any door opens, so that
a database that was restored from a backup has erased what was erased since."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy import Connection, select

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.recording.durable import sync_folder
from callguard.recording.forgotten import certify
from callguard.recording.tombstones import apply_lines, catch_up, mark_and_fault, set_mark
from callguard.retention.erasures.ledger import BEGINNING, Erasure, ErasureLedger, LedgerError, Line
from callguard.storage.database import Database
from callguard.storage.schema import erasures

log = structlog.get_logger(__name__)

AT_ONCE = 1_000
"""Lines that one transaction applies, so that no call waits long for its own."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What it took to agree: lines that were applied, tombstones that were appended. ``classes`` is
    how many were applied of each class."""

    applied: int = 0
    appended: int = 0
    classes: Mapping[str, int] = field(default_factory=dict, compare=False)


def forget_again(
    database: Database, ledger: ErasureLedger, clock: Clock, *, actor: str
) -> Forgotten:
    """Makes them agree. Where they do already, which is nearly always, only both ends of the
    ledger are read. What was forgotten again is certified and logged.

    Raises LedgerError where the ledger cannot be trusted; that is then noted in the database, and
    nobody reads a recording until it is cleared (``not_remembering``).
    """
    with database.reading() as connection:
        mark, fault = mark_and_fault(connection)
    try:
        ledger.heal()
        end = ledger.end()
        if mark is not None and end is None:
            raise LedgerError(f"the erasure ledger {ledger.path} is missing")
        if fault is None and mark == end and (mark is not None or not _any_tombstone(database)):
            return Forgotten()
        if fault is None and mark is not None and ledger.holds(mark):
            done = _applied(database, ledger.after(mark))
        else:
            done = _compared(database, ledger)
    except LedgerError as error:
        _note(database, str(error))
        raise
    if done != Forgotten() or fault is not None:
        log.warning("forgotten_again", applied=done.applied, appended=done.appended)
        with database.writing() as connection:
            certify(connection, done.classes, clock.now(), actor, appended=done.appended)
    return done


def verify(database: Database, ledger: ErasureLedger) -> int:
    """Checks every line against the one before; how many there are. Raises LedgerError, which is
    then noted as ``forget_again`` does."""
    with database.reading() as connection:
        mark, _ = mark_and_fault(connection)
    try:
        if mark is not None and not ledger.holds(mark):
            raise LedgerError(f"the erasure ledger {ledger.path} is not the one that was applied")
        count = sum(1 for _ in ledger.lines())
    except LedgerError as error:
        _note(database, str(error))
        raise
    ledger.follow()
    return count


def rebuild(
    database: Database, ledger: ErasureLedger, clock: Clock, *, actor: str, reason: str
) -> Path | None:
    """Writes the ledger anew, from what can be read of the old one and from every tombstone;
    returns where the old one is kept. Raises LedgerError, OSError."""
    at = clock.now()
    with database.reading() as connection:
        known = list(_tombstones(connection))
    new = ErasureLedger(ledger.path.with_name(f"{ledger.path.name}.new"))
    new.path.unlink(missing_ok=True)
    kept: Path | None = None
    named = dict[tuple[str, str], Erasure]()
    for erasure in itertools.chain(ledger.readable(), known):
        named.setdefault(erasure.key, erasure)
    new.append(list(named.values()), None)
    if ledger.path.exists():
        kept = ledger.path.with_name(f"{ledger.path.name}.{at:%Y%m%dT%H%M%S%f}")
        kept.hardlink_to(ledger.path)
    if named:
        new.path.replace(ledger.path)
    else:
        ledger.path.unlink(missing_ok=True)
    sync_folder(ledger.path.parent)
    ledger.begin_copies_anew(at)
    with database.writing() as connection:
        set_mark(connection, None)
        details = {"reason": reason, "lines": len(named), "kept": kept.name if kept else None}
        append(connection, Entry(at, actor, "erasures.rebuild", "erasures", None, details))
    forget_again(database, ledger, clock, actor=actor)
    return kept


def _applied(database: Database, lines: Iterator[Line]) -> Forgotten:
    counts = Counter[str]()
    while some := list(itertools.islice(lines, AT_ONCE)):
        with database.writing() as connection:
            counts.update(one.data_class for one in apply_lines(connection, some))
    return Forgotten(applied=counts.total(), classes=counts)


def _compared(database: Database, ledger: ErasureLedger) -> Forgotten:
    """Everything against everything: the ledger is new here, older, another one, or had a fault."""
    counts, newest, named = Counter[str](), BEGINNING, set[tuple[str, str]]()
    lines = ledger.lines()
    while some := list(itertools.islice(lines, AT_ONCE)):
        named.update(line.erasure.key for line in some)
        newest = some[-1].mark
        with database.writing() as connection:
            mark, fault = mark_and_fault(connection)
            counts.update(one.data_class for one in apply_lines(connection, some))
            set_mark(connection, mark, fault)  # it is not agreed upon before the end
    with database.reading() as connection:
        missing = [one for one in _tombstones(connection) if one.key not in named]
    for start in range(0, len(missing), AT_ONCE):
        ledger.append(missing[start : start + AT_ONCE], ledger.end())
    with database.writing() as connection:
        set_mark(connection, newest if named or missing else None)
        if named or missing:
            catch_up(connection, ledger)
    return Forgotten(counts.total(), len(missing), counts)


def _tombstones(connection: Connection) -> Iterable[Erasure]:
    for row in connection.execute(select(erasures).order_by(erasures.c.seq)):
        yield Erasure(row.data_class, row.object_id, row.payload, row.at)


def _any_tombstone(database: Database) -> bool:
    with database.reading() as connection:
        return connection.execute(select(erasures.c.seq).limit(1)).first() is not None


def _note(database: Database, fault: str) -> None:
    with database.writing() as connection:
        mark, _ = mark_and_fault(connection)
        set_mark(connection, mark, fault)
