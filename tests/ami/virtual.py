"""Tests on virtual time: hours pass in no time, and always in the same order."""

import asyncio
import functools
import gc
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where the loop would sleep, its clock jumps instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout != 0:
            if timeout is None:
                raise RuntimeError("every task waits for something that cannot happen")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else can happen.

    Sockets between tasks of the loop must be socket pairs, whose bytes arrive at once.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.unhandled: list[str] = []
        self.set_exception_handler(lambda _, context: self.unhandled.append(str(context)))

    def time(self) -> float:
        return self._jumping.now


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test on virtual time; a task's unseen failure fails it."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = VirtualLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(*args, **kwargs))
            gc.collect()
        assert loop.unhandled == []

    return run


async def eventually(condition: Callable[[], bool], within: float = 120.0) -> None:
    """Lets virtual time pass until ``condition`` holds."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    end = loop.time() + within
    while not condition():
        assert loop.time() < end, "it did not happen in time"
        await asyncio.sleep(0.005)
