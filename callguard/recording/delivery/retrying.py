"""When an attempt that failed is made again, and when nobody believes in it any more. Pure."""

from datetime import datetime, timedelta

FIRST_S = 5.0
LONGEST_S = 3600.0
STUCK_AFTER = timedelta(hours=24)

REST_S = 300.0
"""Longest that a place which failed is left alone, whatever waits for it."""


def delay(failures: int, jitter: float, *, longest: float = LONGEST_S) -> timedelta:
    """How long to wait after so many failures in a row (one or more): 5 s, doubled each time, up
    to ``longest``; ``jitter``, from 0 to 1, takes up to a quarter of it away, so that what failed
    together is not tried again together."""
    seconds = min(FIRST_S * 2.0 ** min(failures - 1, 30), longest)
    return timedelta(seconds=seconds * (1 - jitter / 4))


def is_stuck(begun_at: datetime, now: datetime) -> bool:
    """Whether a person has to look at it."""
    return now - begun_at >= STUCK_AFTER
