"""Reads that come together are made together: one hop to a reading thread for all who ask while
the last one was under way."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from callguard.storage.database import Database

T = TypeVar("T")

GROUP = 256
"""Most questions answered in one hop."""

WAITING = 20_000
"""Most questions waiting; beyond it new ones are refused."""

_Question = tuple["asyncio.Future[Any]", Callable[[Connection], Any]]


class GroupedReads:
    """Questions to the database at call time. Each is answered alone: what one raises reaches
    only who asked it."""

    def __init__(
        self, database: Database, *, timeout: float = 2.0, inline: Connection | None = None
    ) -> None:
        """``inline`` answers at once, on the event loop: right for a database that is a file of
        this machine, whose readers wait for nobody."""
        self._database = database
        self._inline = inline
        self._timeout = timeout
        self._waiting: list[_Question] = []
        self._reading: asyncio.Task[None] | None = None

    def ask(self, question: Callable[[Connection], T]) -> "asyncio.Future[T]":
        """Puts the question at once; the answer is a TimeoutError after ``timeout`` seconds, or
        what the question or the database raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if self._inline is not None:
            self._answer_inline(answer, question)
            return answer
        if len(self._waiting) >= WAITING:
            answer.set_exception(TimeoutError("too many wait for the database"))
            return answer
        late = loop.call_later(self._timeout, _too_late, answer)
        answer.add_done_callback(lambda _: late.cancel())
        self._waiting.append((answer, question))
        if self._reading is None:
            self._reading = loop.create_task(self._read(), name="grouped-reads")
        return answer

    def _answer_inline(
        self, answer: "asyncio.Future[T]", question: Callable[[Connection], T]
    ) -> None:
        assert self._inline is not None
        try:
            answer.set_result(question(self._inline))
        except Exception as error:
            answer.set_exception(error)

    async def _read(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                await self._answer([one for one in group if not one[0].done()])
        finally:
            self._reading = None

    async def _answer(self, group: Sequence[_Question]) -> None:
        questions = [question for _, question in group]

        def all_of_them(connection: Connection) -> list[Any]:
            return [_told(question, connection) for question in questions]

        try:
            told = await self._database.read(all_of_them, timeout=self._timeout)
        except Exception as error:  # the database itself: everybody hears of it
            told = [error] * len(group)
        for (answer, _), result in zip(group, told, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)


def _too_late(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(TimeoutError("the database did not answer in time"))


def _told(question: Callable[[Connection], Any], connection: Connection) -> Any:
    try:
        return question(connection)
    except Exception as error:
        return error
