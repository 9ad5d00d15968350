"""From when on a file's time counts, and whether it may be touched yet. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""No file of a PBX is older: such a time is that of a clock that was not set, or of nobody."""

AHEAD = timedelta(days=1)
"""How far in the future a time may lie, for machines whose clocks differ."""


@dataclass(frozen=True, slots=True)
class Age:
    """``since`` is the instant from which the time of a file counts; None where nothing about it
    can be believed. ``fault`` says why it is not that of its last change."""

    since: datetime | None
    fault: str | None = None


def age_of(mtime: int, ctime: int, now: datetime) -> Age:
    """By the last change of the file's content. Where that cannot be (0, in the future), by the
    last change of its status, which no program can set: that is never too early, so the file
    stays at most one period too long. Times are in nanoseconds since 1970."""
    changed = moment(mtime)
    if believable(changed, now):
        return Age(changed)
    fault = "its time lies in the future" if changed is None or changed > now else "it has no time"
    entered = moment(ctime)
    return Age(entered if believable(entered, now) else None, fault)


def is_quiet(ctime: int, now: datetime, quiet_s: float) -> bool:
    """Whether nothing has happened to a file for a while: every write moves the time of its last
    change of status. One that was copied or restored with its old time was touched just then."""
    latest = moment(ctime)
    return latest is not None and latest + timedelta(seconds=quiet_s) <= now


def moment(nanoseconds: int) -> datetime | None:
    """None where no calendar has it."""
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1_000)
    except OverflowError:
        return None


def believable(at: datetime | None, now: datetime) -> bool:
    return at is not None and EARLIEST <= at <= now + AHEAD
