"""An asyncio event loop whose clock is virtual, and a wall clock that goes with it.

When nothing is ready the loop jumps to its next timer instead of waiting, so a day of a call
centre passes in milliseconds and every run is the same. What happens outside the loop holds the
clock still: work given to ``run_in_executor`` (``asyncio.to_thread`` too) does so by itself, real
sockets and threads that talk to the loop in their own way do so inside ``real_io()``, and methods
of a library that keeps a thread of its own (aiosqlite) can be wrapped with ``held_during``.

How it plugs into pytest: a test is an ``async def`` under ``@virtual_time``. The decorator turns
it into an ordinary function that runs on a fresh loop of its own (``run_virtual``), so
pytest-asyncio leaves it alone; neither its loop nor its event loop policy is replaced. Fixtures
that are plain functions work as usual; whatever must be awaited is an async context manager that
the test enters itself, because an async fixture would live on pytest-asyncio's loop.

A loop with no timer, nothing ready and nothing held can never go on: ``Deadlock`` is raised and
names the waiting tasks. Virtual time and real time are capped (``TimeIsUp``), and a failure that
no task was waiting for is raised at the end (``Unhandled``).
"""

import asyncio
import functools
import selectors
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, cast, overload

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
"""The wall time at which a run begins unless told otherwise: a Monday morning."""

REAL_CAP = 60.0
VIRTUAL_CAP = 400 * 86400.0


class Deadlock(RuntimeError):  # noqa: N818  (a state of the loop, named as such)
    """Nothing is ready, no timer is set and no outside work is under way."""


class TimeIsUp(RuntimeError):  # noqa: N818  (see Deadlock)
    """A run used more real or more virtual time than it was allowed."""


class Unhandled(RuntimeError):  # noqa: N818  (see Deadlock)
    """A callback or a task failed and nobody looked at the failure."""


class VirtualClock:
    """The clock of one loop: fits ``callguard.clock.Clock``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, base: datetime = START) -> None:
        self._loop = loop
        self._base = base
        self._offset = 0.0

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        return self._base + timedelta(seconds=self._loop.time() + self._offset)

    def monotonic(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._loop.time()

    def epoch(self) -> float:
        """The wall time as seconds since 1970."""
        return self.now().timestamp()

    def jump(self, seconds: float) -> None:
        """Let the wall clock (only) leap by so many seconds, back if negative."""
        self._offset += seconds


class _VirtualSelector(selectors.BaseSelector):
    """Never waits for a timer: asks the sockets, else lets the loop's time jump."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualLoop | None = None

    def register(
        self, fileobj: "FileDescriptorLike", events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(
        self, fileobj: "FileDescriptorLike", events: int, data: object = None
    ) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> "Mapping[FileDescriptorLike, selectors.SelectorKey]":
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        assert loop is not None
        left = loop.real_seconds_left()
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if loop.held:
            return self._real.select(min(left, 0.5))
        if timeout is None:
            raise Deadlock(loop.describe_waiting(len(self._real.get_map()) - 1))
        loop.advance(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; ``clock`` is its wall clock."""

    def __init__(
        self,
        *,
        base: datetime = START,
        real_cap: float = REAL_CAP,
        virtual_cap: float = VIRTUAL_CAP,
    ) -> None:
        self._virtual = 0.0
        self._virtual_cap = virtual_cap
        self._real_cap = real_cap
        self._real_end = time.monotonic() + real_cap
        self.held = 0
        self.unhandled: list[Mapping[str, Any]] = []
        selector = _VirtualSelector()
        super().__init__(selector)
        selector.loop = self
        self.clock = VirtualClock(self, base)
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="virtual")
        self.set_default_executor(self._threads)
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        return self._virtual

    def advance(self, seconds: float) -> None:
        """Move virtual time on; called by the selector when nothing else can happen."""
        self._virtual += seconds
        if self._virtual > self._virtual_cap:
            raise TimeIsUp(
                f"{self._virtual_cap:.0f} virtual seconds have passed; " + self.describe_waiting(0)
            )

    def real_seconds_left(self) -> float:
        """Real seconds until the cap; raises TimeIsUp when there are none."""
        left = self._real_end - time.monotonic()
        if left <= 0:
            raise TimeIsUp(
                f"{self._real_cap:.0f} real seconds have passed; " + self.describe_waiting(0)
            )
        return left

    def describe_waiting(self, sockets: int) -> str:
        """Which tasks wait, and where."""
        lines = [f"at virtual second {self._virtual:.3f}, waiting:"]
        for task in asyncio.all_tasks(self):
            stack = task.get_stack(limit=1)
            where = f"{stack[0].f_code.co_filename}:{stack[0].f_lineno}" if stack else "?"
            what = getattr(task.get_coro(), "__qualname__", "")
            lines.append(f"  {task.get_name()} {what} {where}")
        if sockets > 0:
            lines.append(f"  {sockets} real sockets are open: use them inside real_io()")
        return "\n".join(lines)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As asyncio's, and the clock stands still until the work has ended, cancelled or not."""
        pool = executor if executor is not None else self._threads
        work = pool.submit(func, *args)
        self.held += 1
        # Chained first, so that the result is in the loop's queue before the clock is let go.
        future = asyncio.wrap_future(work, loop=self)
        work.add_done_callback(lambda _: self._release_from_thread())
        return future

    def _release_from_thread(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to wait
            self.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self.held -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        with self.holding():
            await super().shutdown_default_executor()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the clock still, and wait for real, inside the block."""
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1


def current_loop() -> VirtualLoop:
    """The running loop; raises TypeError when it is not virtual."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("this needs a virtual loop: put @virtual_time on the test")
    return loop


def current_clock() -> VirtualClock:
    """The wall clock of the running virtual loop."""
    return current_loop().clock


@contextmanager
def real_io() -> Iterator[None]:
    """Keep the virtual clock still while real sockets or foreign threads are at work."""
    with current_loop().holding():
        yield


@contextmanager
def held_during(owner: type, *methods: str) -> Iterator[None]:
    """Wrap async methods of a class so that awaiting one holds the clock.

    For a library whose worker thread the loop cannot see, such as aiosqlite:
    ``held_during(aiosqlite.Connection, "_execute", "_connect", "close")``.
    """
    originals = {name: owner.__dict__[name] for name in methods}

    def wrap(method: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        @functools.wraps(method)
        async def holding(*args: Any, **kwargs: Any) -> Any:
            loop = asyncio.get_running_loop()
            if not isinstance(loop, VirtualLoop):
                return await method(*args, **kwargs)
            with loop.holding():
                return await method(*args, **kwargs)

        return holding

    for name, method in originals.items():
        setattr(owner, name, wrap(method))
    try:
        yield
    finally:
        for name, method in originals.items():
            setattr(owner, name, method)


def run_virtual(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    base: datetime = START,
    real_cap: float = REAL_CAP,
    virtual_cap: float = VIRTUAL_CAP,
) -> T:
    """Run ``main()`` to its end on a fresh virtual loop, and return what it returns."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run_virtual belongs to the main thread")
    loop = VirtualLoop(base=base, real_cap=real_cap, virtual_cap=virtual_cap)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main())
    if loop.unhandled:
        first = loop.unhandled[0]
        cause = first.get("exception")
        raise Unhandled(
            f"{len(loop.unhandled)} failures nobody looked at; the first: {first.get('message')}"
        ) from (cause if isinstance(cause, BaseException) else None)
    return result


@overload
def virtual_time(test: Callable[P, Coroutine[Any, Any, None]], /) -> Callable[P, None]: ...
@overload
def virtual_time(
    *, base: datetime = ..., real_cap: float = ..., virtual_cap: float = ...
) -> Callable[[Callable[P, Coroutine[Any, Any, None]]], Callable[P, None]]: ...


def virtual_time(
    test: Callable[P, Coroutine[Any, Any, None]] | None = None,
    /,
    *,
    base: datetime = START,
    real_cap: float = REAL_CAP,
    virtual_cap: float = VIRTUAL_CAP,
) -> Callable[P, None] | Callable[[Callable[P, Coroutine[Any, Any, None]]], Callable[P, None]]:
    """Decorate an ``async def`` test: it runs on a virtual loop of its own."""

    def decorate(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            run_virtual(
                lambda: function(*args, **kwargs),
                base=base,
                real_cap=real_cap,
                virtual_cap=virtual_cap,
            )

        return cast("Callable[P, None]", run)

    return decorate if test is None else decorate(test)
