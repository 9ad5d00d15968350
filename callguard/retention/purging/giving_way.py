"""How a purge gives way to calls between two transactions."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

LEAST_S = 0.0002
COMMIT_S = 0.002
"""What a commit takes beside the work itself, about."""

PATIENCE_S = 1.0
"""How long it waits at most for calls to have been written, then it goes on in turn with them."""

LOG_S = 0.2
"""After so much work the write-ahead log is moved into the database, with the purge standing still:
a log that is written without a pause never begins anew, and grows."""

TRIES = 3


@dataclass(slots=True)
class GivingWay:
    """``pending`` is how many writes of calls wait; ``share`` how long it rests for each second of
    work, for a process that cannot know who waits. ``move_log`` moves the write-ahead log, in a
    thread, and returns how many pages are left in it."""

    pending: Callable[[], int] | None = None
    share: float = 0.0
    move_log: Callable[[], int] | None = None
    _worked_s: float = 0.0
    _moving: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def rest(self, took_s: float) -> None:
        """After a transaction that took so long."""
        await asyncio.sleep(max(LEAST_S, self.share * took_s))
        self._worked_s += took_s + COMMIT_S
        if self.move_log is not None:
            async with self._moving:  # what goes beside it comes to a stand here too
                await self._move(self.move_log)
        if self.pending is None:
            return
        waited = 0.0
        while self.pending() and waited < PATIENCE_S:
            await asyncio.sleep(0.001)
            waited += 0.001

    async def _move(self, move_log: Callable[[], int]) -> None:
        if self._worked_s < LOG_S:
            return
        self._worked_s = 0.0
        for _ in range(TRIES):
            if not await asyncio.to_thread(move_log):
                return
