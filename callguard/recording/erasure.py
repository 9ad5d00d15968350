"""Erasing for good, in the one order: line in the erasure ledger durable -> tombstone, header and
keys gone, in one transaction (from here on no copy of the payload can be opened) -> plaintext and
payload gone. The row itself goes with the next purge, which also takes up what a crash left half
done. What a crash leaves between the first two is done by whoever comes next."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final, Literal, Protocol, Self, TypeVar

import structlog
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.recording.ending import ending_name
from callguard.recording.events import RecordingEvent, as_row
from callguard.recording.forgotten import certify_others
from callguard.recording.recorder import OpenRecording
from callguard.recording.spool import Spool, SpoolError
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.recording.tombstones import apply_lines, are_tombstoned, catch_up, known_mark
from callguard.retention.erasures.ledger import (
    ARCHIVE,
    RECORDING,
    Erasure,
    ErasureLedger,
    LedgerError,
    Line,
    Mark,
)
from callguard.retention.holds.covering import holds_on
from callguard.retention.schedule import Keep
from callguard.storage.alive import sooner
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import recording_events, recordings

T = TypeVar("T")
log = structlog.get_logger(__name__)

TIDY_TRIES = 5
TIDY_AGAIN_S = 0.2
STEPS = 3
"""Two transactions and a line between them, each with the time that one may take."""


WITHDRAWN: Final[Literal["withdrawn"]] = "withdrawn"
"""The recording event that keeps somebody's wish that a held recording be erased."""


class Fate(Enum):
    """What became of a recording that was to be erased. ``HELD``: a hold keeps it, hidden from now
    on, and the purge after its release takes it. True only where nobody can open it any more."""

    ERASED = "erased"
    HELD = "held"
    FAILED = "failed"

    def __bool__(self) -> bool:
        return self is Fate.ERASED


class Write(Protocol):
    """Runs work in one durable transaction. It may run it twice."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]: ...


Then = Callable[[Connection, Sequence[Erasure]], object]
"""What else belongs into the transaction. It is given the erasures that this transaction brought
about, which may be others' too; where somebody else was quicker, none."""


async def erase_for_good(
    write: Write,
    ledger: ErasureLedger,
    choose: Callable[[Connection], Sequence[Erasure]],
    then: Then | None = None,
) -> list[Erasure]:
    """Erases what ``choose`` finds in the database; returns it once nobody can open it any more.
    It goes into the ledger first, and only then are keys and header gone. ``choose`` leaves out
    what is erased already; ``then`` runs only where something was chosen.

    Raises LedgerError, and then nothing was erased; what ``write`` raises, and then it may yet be.
    """
    entered = await enter(write, ledger, choose)
    if entered.lines:

        def apply(connection: Connection) -> None:
            new = apply_entered(connection, ledger, entered)
            certify_others(connection, new, entered.chosen)
            if then is not None:
                then(connection, new)

        await write(apply)
    return list(entered.chosen)


@dataclass(frozen=True, slots=True)
class Entered:
    """What was chosen and stands in the ledger, and the lines that the database, which had seen
    it up to ``known``, does not know yet: of what was chosen, and others' before it."""

    chosen: Sequence[Erasure]
    known: Mark | None
    lines: Sequence[Line]

    def parted(self, size: int) -> tuple[Self, Self]:
        """The first so many lines, and the rest."""
        first, rest = self.lines[:size], self.lines[size:]
        behind = first[-1].mark if first else self.known
        return replace(self, lines=first), replace(self, known=behind, lines=rest)


async def enter(
    write: Write,
    ledger: ErasureLedger,
    choose: Callable[[Connection], Sequence[Erasure]],
    still: Callable[[], object] | None = None,
) -> Entered:
    """The first half of ``erase_for_good``: the lines are durable. ``still`` is asked right before
    they are written, and raises where what was chosen is too old."""
    known, chosen = await write(lambda c: (known_mark(c), list(choose(c))))
    if not chosen:
        return Entered((), known, ())

    def append() -> Entered:
        if still is not None:
            still()
        found = ledger.enter(chosen, known)
        return Entered(chosen, known, (*found.others, *found.new))

    return await asyncio.to_thread(append)


def apply_entered(connection: Connection, ledger: ErasureLedger, entered: Entered) -> list[Erasure]:
    """The second half, in a writing transaction; what was new. Where somebody else applied lines
    meanwhile, the ledger is read again. Raises LedgerError."""
    if known_mark(connection) == entered.known:
        if not ledger.holds(entered.lines[-1].mark):
            raise _replaced(ledger)
        return apply_lines(connection, entered.lines)
    new = catch_up(connection, ledger)
    wanted = {line.erasure.key for line in entered.lines} - {one.key for one in new}
    if not are_tombstoned(connection, wanted):
        raise _replaced(ledger)
    return new


def _replaced(ledger: ErasureLedger) -> LedgerError:
    return LedgerError(f"the erasure ledger {ledger.path} was replaced meanwhile")


def of_recordings(connection: Connection, ids: Sequence[str], at: datetime) -> list[Erasure]:
    """The erasures of those that exist and are not being erased yet."""
    rows = connection.execute(
        select(recordings.c.id, recordings.c.payload).where(
            recordings.c.id.in_(ids), recordings.c.state != "erasing"
        )
    )
    # What is just being sealed lies under its own id before the row says so.
    return [Erasure(RECORDING, row.id, row.payload or row.id, at) for row in rows]


def objects_of(recording_id: str, payload: str | None = None) -> list[str]:
    """The names under which something of a recording may lie in the store: its payload, and its
    last chunk where a process died while it took the place of another."""
    return sorted({recording_id, ending_name(recording_id), payload or recording_id})


def objects_of_erasure(data_class: str, object_id: str, payload: str | None) -> list[str]:
    """The same of anything that the ledger names."""
    if data_class == ARCHIVE:
        return [payload or object_id]
    return objects_of(object_id, payload)


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases one recording at once, whatever state it is in. ``tidy`` takes what was erased out of
    the database's files, and says whether it could (``Database.tidy``)."""

    clock: Clock
    journal: Journal
    spool: Spool
    store: ObjectStore
    ledger: ErasureLedger
    durable_s: float = 2.0
    tidy: Callable[[], bool] | None = None

    async def erase(self, recording: OpenRecording, *, by: str, keep: Keep) -> Fate:
        """What became of it, durably. ``keep`` is until when it is kept that it was erased. What
        cannot be removed now is by the next purge, or at the next start."""
        event = RecordingEvent(
            recording.id, recording.call_id, recording.tenant, "erased", by, self.clock.now()
        )
        held = False

        def choose(connection: Connection) -> list[Erasure]:
            nonlocal held
            found = of_recordings(connection, [recording.id], event.at)
            held = bool(found) and _is_kept(connection, event, keep)
            return [] if held else found

        try:
            async with asyncio.timeout(STEPS * self.durable_s):
                await erase_for_good(
                    self._write,
                    self.ledger,
                    choose,
                    lambda c, _: _note(c, event, keep),
                )
        except (NotDurableError, LedgerError, TimeoutError) as error:
            reason = str(error) or f"not durable within {STEPS * self.durable_s:g} s"
            log.error("erasure_not_durable", recording=recording.id, reason=reason)
            return Fate.FAILED
        if held:
            log.info("recording_held", recording=recording.id, call=recording.call_id)
            return Fate.HELD
        await asyncio.to_thread(self.remove, recording)
        log.info("recording_erased", recording=recording.id, call=recording.call_id)
        return Fate.ERASED

    async def _write(self, work: Callable[[Connection], T], /) -> T:
        return await self.journal.write(work, timeout=self.durable_s)

    def remove(self, recording: OpenRecording) -> None:
        """In a thread: what lies in the spool, in the store and in the database's files goes."""
        try:
            self.spool.remove(recording.spool_name)
        except SpoolError as error:
            log.error("plaintext_not_removed", recording=recording.id, reason=str(error))
        try:
            self.store.delete(objects_of(recording.id))
        except ObjectStoreError as error:
            log.error("payload_not_removed", recording=recording.id, reason=str(error))
        if self.tidy is not None:
            tidy(self.tidy)


def tidy(once: Callable[[], bool]) -> bool:
    """In a thread: takes what was erased out of the database's files, a few times where readers
    are in the way. What is left then goes with the next purge."""
    for attempt in range(TIDY_TRIES):
        try:
            if once():
                return True
        except SQLAlchemyError as error:
            log.warning("erased_bytes_left", reason=one_line(error))
            return False
        if attempt + 1 < TIDY_TRIES:
            time.sleep(TIDY_AGAIN_S)
    log.warning("erased_bytes_left", reason="readers hold the database's log")
    return False


def wish_erased(connection: Connection, recording_id: str, at: datetime) -> None:
    """A held recording is to be erased once nothing holds it: it has expired from now on."""
    connection.execute(
        update(recordings)
        .where(recordings.c.id == recording_id)
        .values(expires_at=sooner(recordings.c.expires_at, at))
    )


def _is_kept(connection: Connection, event: RecordingEvent, keep: Keep) -> bool:
    """Whether a hold keeps it from being erased; then the wish is kept, and carried out once
    nothing holds it."""
    found = holds_on(connection, event.recording_id)
    if not found:
        return False
    if _is_said(connection, event.recording_id, WITHDRAWN):
        return True
    wish_erased(connection, event.recording_id, event.at)
    wish = replace(event, kind=WITHDRAWN, reason="held")
    connection.execute(insert(recording_events).values(**as_row(wish, keep).values))
    target, details = f"recording:{event.recording_id}", {"holds": found}
    entry = Entry(event.at, event.by, "recording.withdraw", target, event.tenant, details)
    append(connection, entry)
    return True


def _is_said(connection: Connection, recording_id: str, kind: str) -> bool:
    said = select(recording_events.c.id).where(
        recording_events.c.recording_id == recording_id, recording_events.c.kind == kind
    )
    return connection.execute(said).first() is not None


def _note(connection: Connection, event: RecordingEvent, keep: Keep) -> None:
    """Who erased it; said once, also where somebody else was quicker in applying the line."""
    if _is_said(connection, event.recording_id, "erased"):
        return
    connection.execute(insert(recording_events).values(**as_row(event, keep).values))
    target = f"recording:{event.recording_id}"
    append(connection, Entry(event.at, event.by, "recording.erase", target, event.tenant, {}))
