"""Whether the clock can be believed, before anything goes that cannot be brought back.

A clock that stands before what was seen has been set back, or was ahead before: it is not known
which. One that has run ahead of the time that passed would make everything due at once. Neither
purges until the time has caught up, or a person has said that the clock is right.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.storage.schema import audit, calls, clock_marks, erasures

BACK_S = 5.0
"""How far the clock may be set back and be believed: what a time server puts right."""

AHEAD_S = 120.0
"""How far it may run ahead of the time that this process has measured."""

MARK_S = 60.0
"""How old the mark of the latest time may be before it is moved."""

MAX_GAP_DAYS = 35

MADE = datetime(2026, 1, 1, tzinfo=UTC)
"""Before that there was no callguard: a machine without a battery begins in 1970."""


class ClockError(RuntimeError):
    """Nothing is purged: the clock is not believed. One line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the time: the latest that was believed, and since when (the clock's own
    time) it has not been."""

    latest: datetime | None = None
    fault_at: datetime | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment."""

    wall: datetime
    monotonic: float


def judge(now: Reading, seen: Seen, last: Reading | None, max_gap: timedelta) -> str | None:
    """Why the clock is not believed; None where it is. ``last`` is the last reading of this process
    that was."""
    if seen.latest is None:
        return None if now.wall >= MADE else f"the clock says {_text(now.wall)}"
    behind = (seen.latest - now.wall).total_seconds()
    if behind > BACK_S:
        return f"the clock says {_text(now.wall)}, and it was {_text(seen.latest)} before"
    if seen.fault_at is not None and seen.latest < seen.fault_at <= now.wall:
        return seen.fault or "the clock ran ahead"  # nobody has set it back or confirmed it
    if last is not None:
        passed = now.monotonic - last.monotonic
        ahead = (now.wall - last.wall).total_seconds() - passed
        if ahead > AHEAD_S:
            return f"the clock went on by {_span(passed + ahead)} in {_span(passed)}"
        return None
    gap = now.wall - seen.latest
    if gap > max_gap:
        days = max_gap / timedelta(days=1)
        return f"nothing was seen for {gap.days} days, since {_text(seen.latest)}: over {days:g}"
    return None


class ClockSense:
    """The sense of one process; what it has seen is in the database, for all of them."""

    def __init__(self, clock: Clock, max_gap_days: float = MAX_GAP_DAYS) -> None:
        self._clock = clock
        self._max_gap = timedelta(days=max_gap_days)
        self._last: Reading | None = None
        self._confirmed: datetime | None = None

    def look(self, connection: Connection) -> str | None:
        """In a writing transaction: judges the clock, and keeps what was found. Returns the fault,
        if there is one."""
        now = Reading(self._clock.now(), self._clock.monotonic())
        row = connection.execute(select(clock_marks)).one_or_none()
        seen = _seen(connection, row)
        if row is not None and row.confirmed_at != self._confirmed:
            # Perhaps another process was told that it is right: what we measured is of no use.
            self._confirmed, self._last = row.confirmed_at, None
        fault = judge(now, seen, self._last, self._max_gap)
        if fault is None:
            self._last = now
            _mark(connection, row, seen, now.wall)
        elif seen.latest is not None and (seen.fault is None or fault != seen.fault):
            # Also where another stands: that one may end, and this must outlive a new start.
            _keep_fault(connection, row, seen, fault, now.wall)
        return fault

    def believed(self) -> datetime:
        """The reading that was believed last. Raises ClockError where none is."""
        if self._last is None:
            raise ClockError(refusal("the clock is not believed"))
        return self._last.wall

    def require(self, connection: Connection) -> None:
        """The same within a transaction that would erase. Raises ClockError; the next look keeps
        the fault."""
        if fault := self.look(connection):
            raise ClockError(refusal(fault))

    def facts(self) -> dict[str, object]:
        """What a certificate says of the clock."""
        now = Reading(self._clock.now(), self._clock.monotonic())
        since = None if self._last is None else round(now.monotonic - self._last.monotonic, 3)
        return {"at": now.wall.isoformat(), "believed_s_ago": since}


def refusal(fault: str) -> str:
    """The fault, and what can be done."""
    if fault.endswith("callguard reopen"):  # the clock is not in doubt: a restore waits
        return f"nothing is purged: {fault}"
    return f"nothing is purged: {fault}; if the clock is right, callguard purge --confirm-clock"


def confirm(connection: Connection, now: datetime, actor: str, reason: str) -> str | None:
    """A person says that the clock is right; the fault that this ends, if there was one."""
    row = connection.execute(select(clock_marks)).one_or_none()
    fault = row.fault if row is not None else None
    said = {"seen_at": now, "confirmed_at": now, "confirmed_by": actor}
    _put(connection, row, {**said, "fault": None, "fault_at": None})
    details = {"reason": reason, "fault": fault}
    append(connection, Entry(now, actor, "purge.clock_confirmed", "clock", None, details))
    return fault


def _seen(connection: Connection, row: Row[Any] | None) -> Seen:
    if row is not None:
        return Seen(row.seen_at, row.fault_at, row.fault)
    # Nobody has looked at the clock yet: the newest rows tell what time it was.
    newest = (
        select(audit.c.at).order_by(audit.c.seq.desc()).limit(1),
        select(erasures.c.at).order_by(erasures.c.seq.desc()).limit(1),
        select(calls.c.decided_at).order_by(calls.c.id.desc()).limit(1),
    )
    found = [at for one in newest if (at := connection.execute(one).scalar()) is not None]
    return Seen(max((at for at in found if at >= MADE), default=None))


def _mark(connection: Connection, row: Row[Any] | None, seen: Seen, now: datetime) -> None:
    latest = now if seen.latest is None else max(seen.latest, now)
    old = row is None or latest - row.seen_at >= timedelta(seconds=MARK_S)
    if old or (row is not None and row.fault is not None):
        _put(connection, row, {"seen_at": latest, "fault": None, "fault_at": None})


def _keep_fault(
    connection: Connection, row: Row[Any] | None, seen: Seen, fault: str, now: datetime
) -> None:
    assert seen.latest is not None
    _put(connection, row, {"seen_at": seen.latest, "fault": fault, "fault_at": now})


def _put(connection: Connection, row: Row[Any] | None, values: dict[str, object]) -> None:
    if row is None:
        connection.execute(insert(clock_marks).values(id=1, **values))
    else:
        connection.execute(update(clock_marks).values(values))


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 3 * 3600 else f"{seconds / 86400:.1f} days"
