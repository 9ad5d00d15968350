"""Asks for the state of the service: with a time-out, and once for all who ask at a time."""

import asyncio
import traceback

import structlog

from callguard.web.status import Status, StatusSource

log = structlog.get_logger(__name__)


class StatusError(Exception):
    """The source did not answer in time, or failed; the text says which, without details."""


class StatusReader:
    """Reads from ``source``, each time within ``timeout`` seconds.

    Who asks while an answer is under way gets that answer, so that a crowd of readers costs a
    database that is slow already no more than one.
    """

    def __init__(self, source: StatusSource, *, timeout: float) -> None:
        self._source = source
        self._timeout = timeout
        self._under_way: asyncio.Task[Status] | None = None
        self._failing = False

    async def read(self) -> Status:
        """Raises StatusError."""
        task = self._under_way
        if task is None:
            task = asyncio.create_task(self._ask(), name="web-status")
            task.add_done_callback(self._answered)
            self._under_way = task
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Gives up the answer under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait({self._under_way})

    async def _ask(self) -> Status:
        try:
            async with asyncio.timeout(self._timeout):
                status = await self._source.status()
        except TimeoutError:
            self._failed("timeout")
            raise StatusError("no answer in time") from None
        except Exception as error:
            self._failed(type(error).__name__)
            log.debug("status_failed_trace", trace=traceback.format_exc())
            raise StatusError("the status source failed") from error
        if self._failing:
            self._failing = False
            log.info("status_answers_again")
        return status

    def _failed(self, error: str) -> None:
        """Logs once until it answers again: pages ask each second."""
        if not self._failing:
            self._failing = True
            log.error("status_failed", error=error)

    def _answered(self, task: asyncio.Task[Status]) -> None:
        self._under_way = None
        if not task.cancelled():
            task.exception()  # those who asked may all have left
