"""The write-ahead log, moved into the database and synced in a thread beside the writer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from callguard.storage.background import BackgroundWriter, LogError
from callguard.storage.database import Database
from callguard.storage.faults import one_line

log = structlog.get_logger(__name__)

CHECKPOINT_WRITES: Final = 2_000
"""Writes after which the write-ahead log is moved into the database."""

LONG_LOG: Final = 64 * 1024 * 1024
"""Bytes of the write-ahead log beyond which writing pauses until all of it is moved."""


class WriteAheadLog:
    """The log of one database. What is done to it is done one after another."""

    def __init__(self, database: Database, background: BackgroundWriter) -> None:
        self._database = database
        self._background = background
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="db-checkpoint")
        self._moving: asyncio.Future[None] | None = None
        self._since_moved = 0
        self._torn = False

    async def sync(self) -> None:
        """Makes durable what the background has written. Raises LogError; then the log may have a
        hole, behind which a power cut would take away whatever is written."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._background.sync)
        except Exception as error:
            log.error("log_not_synced", reason=one_line(error))
            self._torn = True
            raise LogError(one_line(error)) from error

    async def mend(self) -> None:
        """Begins a log anew that may have a hole. For when nobody writes. Raises LogError."""
        if self._torn:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._begin_anew)
            self._torn = False

    async def written(self, count: int) -> None:
        """So many writes are in it. Moves it once in a while, beside the writer, so that no commit
        waits for it; a log that is too long at once, so that SQLite begins it anew: one that is
        written without a pause would only grow."""
        self._since_moved += count
        if self._since_moved < CHECKPOINT_WRITES:
            return
        if self._moving is not None and not self._moving.done():
            return
        self._since_moved = 0
        loop = asyncio.get_running_loop()
        self._moving = loop.run_in_executor(self._thread, self._move)
        if self._database.log_bytes() > LONG_LOG:
            await loop.run_in_executor(self._thread, self._empty)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _move(self) -> None:
        try:
            self._database.checkpoint(emptying=False)
        except Exception as error:
            log.warning("checkpoint_failed", reason=one_line(error))

    def _empty(self) -> None:
        try:
            self._database.tidy()  # which keeps nobody waiting for a reader that takes long
        except Exception as error:
            log.warning("checkpoint_failed", reason=one_line(error))

    def _begin_anew(self) -> None:
        try:
            whole = self._database.tidy()
        except Exception as error:
            raise LogError(one_line(error)) from error
        if not whole:
            raise LogError("a reader is in the way of a log that could not be synced")
