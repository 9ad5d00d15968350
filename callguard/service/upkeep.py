"""What the service does for itself while calls come: memory, and the watchdog."""

import asyncio
import gc
from collections.abc import Callable

from callguard.watchdog import Watchdog

FEED_S = 0.25
GC_THRESHOLDS = (2_000, 4, 1_000_000)
TIDY_S = 60.0
TIDY_AT_LAST = 10
"""After so many times of finding calls at the gate, memory is tidied all the same."""


def spare_the_old() -> None:
    """What is there at the start stays: rules, numbering plans. Looking through it, and through
    all that lives long, for what can be freed would hold calls up by tens of milliseconds; the
    service does that itself when no call asks."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def tidy_memory(calls_at_the_gate: Callable[[], int]) -> None:
    """Frees what refers to itself, which counting references does not. For ever."""
    busy = 0
    while True:
        await asyncio.sleep(TIDY_S)
        busy = busy + 1 if calls_at_the_gate() else 0
        if busy in (0, TIDY_AT_LAST):
            gc.collect()
            busy = 0


async def feed_watchdog(limit_s: float) -> None:
    """Starts the watchdog and says for ever that the event loop runs. Raises BrokenPipeError when
    the watchdog is gone."""
    watchdog = Watchdog(limit_s)
    try:
        while True:
            watchdog.feed()
            await asyncio.sleep(FEED_S)
    finally:
        watchdog.close()
