"""When the purge runs next. Pure.

A schedule is written as for cron and read in its time zone, with Debian's rules where the clocks
change: what would fall into the hour that is left out runs right after it, what would come twice
runs once; a schedule of every so many minutes or hours follows the minutes that pass.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from callguard.config import Purge


def next_run(now: datetime, settings: Purge) -> datetime | None:
    """The first run after ``now``, in UTC; None for a schedule that never comes (the 30th of
    February)."""
    if settings.schedule is None:
        return next_time(now, settings.at)
    try:
        zone = UTC if settings.time_zone == "UTC" else ZoneInfo(settings.time_zone)
        runs = CronSim(settings.schedule, now.astimezone(zone))
        # At an hour that comes twice it may name the first of the two, which is past.
        return next(run for one in runs if (run := one.astimezone(UTC)) > now)
    except (StopIteration, OverflowError):
        return None


def next_time(now: datetime, at: str) -> datetime:
    """The next time of day ``at`` ("HH:MM", UTC) after ``now``."""
    here = now.astimezone(UTC)
    today = datetime.combine(here.date(), time.fromisoformat(at), tzinfo=UTC)
    return today if today > here else today + timedelta(days=1)


def missed(last: datetime | None, now: datetime, settings: Purge) -> bool:
    """Whether a run that should have come after ``last`` has not."""
    due = None if last is None else next_run(last, settings)
    return due is not None and due <= now
