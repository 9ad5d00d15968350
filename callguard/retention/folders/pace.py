"""Threads that look through files: they give way to the calls of their own process, and end with
whoever waits for them.

Python runs one thread at a time, and hands over soon only when one sleeps. And a thread cannot be
cancelled: what it works with must not be closed while it runs.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

STEPS = 25
REST_S = 0.001


class StoppedError(RuntimeError):
    """Nobody waits for it any more."""


@dataclass(slots=True)
class Pace:
    """Rests a moment after some steps."""

    left: int = STEPS
    stopped: threading.Event = field(default_factory=threading.Event)

    def step(self) -> None:
        """Raises StoppedError."""
        self.left -= 1
        if self.left <= 0:
            self.left = STEPS
            time.sleep(REST_S)
            if self.stopped.is_set():
                raise StoppedError

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Runs it in a thread. Who is cancelled meanwhile waits until the thread has stopped."""
        running = asyncio.create_task(asyncio.to_thread(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self.stopped.set()
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            running.exception()  # that it was stopped, or what it would have said
            raise
