"""A manager session that lasts: connects, logs in, pings, and comes back when it is lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Literal, TypeVar

import structlog

from callguard.ami.connection import AmiCounters, Connection, defect
from callguard.ami.errors import AmiDown, AmiError, AmiTimeout, LoginRefused
from callguard.ami.login import log_in
from callguard.ami.settings import AmiSettings, Connector, tcp_connect
from callguard.ami.wire import Message
from callguard.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

State = Literal["down", "connecting", "up"]
T = TypeVar("T")


class _ClosingError(Exception):
    """``close`` was called while something was under way."""


class AmiSession:
    """One Asterisk's manager interface, for as long as ``run`` runs.

    ``on_event`` gets every wanted event, in order, from the login on. ``on_up`` runs after
    each login, to catch up with what was missed; actions work inside it, and ``state``
    becomes "up" when it returns. If it raises, the connection is made anew. ``on_down`` gets
    the reason once for each time ``on_up`` was started. Callbacks run in the event loop; an
    exception in ``on_event`` or ``on_down`` is logged and counted.
    """

    def __init__(
        self,
        settings: AmiSettings,
        *,
        on_event: Callable[[Message], None],
        on_up: Callable[["AmiSession"], Awaitable[None]],
        on_down: Callable[[str], None],
        connect: Connector = tcp_connect,
        rng: random.Random,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self._on_event = on_event
        self._on_up = on_up
        self._on_down = on_down
        self._connect = connect
        self._rng = rng
        self._clock = clock or SystemClock()
        self._counters = AmiCounters()
        self._state: State = "down"
        self._since = self._clock.now()
        self._reason = "not started"
        self._connection: Connection | None = None
        self._failures = 0
        self._up_at: float | None = None
        self._closing = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()

    @property
    def state(self) -> State:
        """``connecting`` until logged in and caught up, then ``up``; ``down`` between attempts."""
        return self._state

    @property
    def since(self) -> datetime:
        """When ``state`` became what it is (wall time, UTC)."""
        return self._since

    @property
    def reason(self) -> str:
        """Why the session was last not up."""
        return self._reason

    @property
    def counters(self) -> AmiCounters:
        """A copy of the counters."""
        return replace(self._counters)

    async def action(
        self, name: str, *headers: tuple[str, str], timeout: float | None = None
    ) -> Message:
        """Sends an action and returns its answer, within ``timeout`` seconds (or the setting's).

        Raises AmiDown, AmiTimeout, AmiRefused (Response: Error), or LocalProtocolError for
        what AMI cannot carry.
        """
        return await self._logged_in().action(name, *headers, timeout=timeout)

    async def action_list(
        self, name: str, *headers: tuple[str, str], timeout: float | None = None
    ) -> list[Message]:
        """Sends an action that a list answers; returns its events without the closing one.

        Raises what ``action`` raises.
        """
        return await self._logged_in().action_list(name, *headers, timeout=timeout)

    async def run(self) -> None:
        """Keeps the session until ``close`` is called or the task is cancelled."""
        if not self._stopped.is_set():
            raise RuntimeError("this session is running already")
        self._stopped.clear()
        try:
            while not self._closing.is_set():
                delay = await self._attempt()
                await self._unless_closing(asyncio.sleep(delay))
        except _ClosingError:
            self._reason = "closed"
        finally:
            self._become("down")
            self._stopped.set()

    async def close(self) -> None:
        """Ends ``run`` in order: Logoff, its answer, the socket. Bounded by the time-outs."""
        self._closing.set()
        await self._stopped.wait()

    def _logged_in(self) -> Connection:
        if self._connection is None:
            raise AmiDown(self._reason if self._state == "down" else "not logged in yet")
        return self._connection

    async def _attempt(self) -> float:
        """One connection from its making to its end; returns how long to wait before another."""
        self._become("connecting")
        self._up_at = None
        where = {"name": self.settings.name, "host": self.settings.host, "port": self.settings.port}
        try:
            reason = await self._connect_and_hold()
        except LoginRefused as error:
            self._counters.logins_refused += 1
            self._reason = f"login refused: {error}"
            self._become("down")
            delay = self.settings.backoff_max
            log.error("ami_login_refused", **where, reason=str(error), retry_in=delay)
            return delay
        self._reason = reason
        self._become("down")
        delay = self._backoff()
        log.warning("ami_down", **where, reason=reason, retry_in=round(delay, 2))
        return delay

    async def _connect_and_hold(self) -> str:
        try:
            reader, writer = await self._unless_closing(self._open())
        except (OSError, TimeoutError) as error:
            return f"cannot connect: {str(error) or type(error).__name__}"
        self._counters.connections += 1
        connection = Connection(reader, writer, self.settings, self._on_event, self._counters)
        pump = asyncio.create_task(connection.pump())
        try:
            try:
                await self._unless_closing(self._log_in(connection))
            except TimeoutError:
                return f"no login within {self.settings.login_timeout:g} s"
            except (AmiDown, AmiTimeout) as error:
                return f"no login: {error}"
            return await self._hold(connection, pump)
        finally:
            await connection.close()
            await _cancel(pump)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self.settings.connect_timeout):
            return await self._connect(self.settings)

    async def _log_in(self, connection: Connection) -> None:
        async with asyncio.timeout(self.settings.login_timeout):
            await log_in(connection, self.settings)

    async def _hold(self, connection: Connection, pump: asyncio.Task[str]) -> str:
        """Serves a logged-in connection; returns why it ended."""
        self._counters.logins += 1
        self._connection = connection
        up = asyncio.create_task(self._catch_up())
        pings = asyncio.create_task(connection.keep_alive())
        closing = asyncio.create_task(self._closing.wait())
        ends: set[asyncio.Task[object]] = {pump, pings, closing}
        reason = "closed"
        try:
            await asyncio.wait({up, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if up.done() and connection.ended is None:
                if failure := up.result():
                    reason = connection.fail(failure)
                    return reason
                self._up_at = asyncio.get_running_loop().time()
                self._become("up")
                log.info("ami_up", name=self.settings.name)
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if connection.ended is not None:
                reason = connection.ended
                return reason
            await _cancel(up)
            await connection.log_off()
            raise _ClosingError
        finally:
            self._connection = None
            await _cancel(up, pings, closing)
            self._tell_down(reason)

    async def _catch_up(self) -> str | None:
        """Runs ``on_up``; returns why it failed, None if it did not."""
        try:
            await self._on_up(self)
        except AmiError as error:
            return f"catching up failed: {error}"
        except Exception as error:
            self._counters.handler_errors += 1
            self._log_defect("ami_up_handler_failed", error)
            return f"catching up failed: {type(error).__name__}"
        return None

    def _tell_down(self, reason: str) -> None:
        self._counters.drops += 1
        try:
            self._on_down(reason)
        except Exception as error:
            self._counters.handler_errors += 1
            self._log_defect("ami_down_handler_failed", error)

    def _log_defect(self, event: str, error: Exception) -> None:
        log.error(event, name=self.settings.name, **defect(error))

    def _become(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._since = self._clock.now()

    def _backoff(self) -> float:
        """Seconds until the next attempt: doubling, jittered, from the start after a good run."""
        settings = self.settings
        if self._up_at is not None:
            lasted = asyncio.get_running_loop().time() - self._up_at
            # A connection that flaps is no good run and keeps backing off.
            if lasted > settings.backoff_max:
                self._failures = 0
        ceiling = min(settings.backoff_max, settings.backoff_min * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return ceiling * self._rng.uniform(0.5, 1.0)

    async def _unless_closing(self, work: Coroutine[None, None, T]) -> T:
        """The result of ``work``, or _ClosingError as soon as ``close`` is called."""
        task = asyncio.create_task(work)
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({task, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _ClosingError
            return task.result()
        finally:
            await _cancel(task, closing)


async def _cancel(*tasks: asyncio.Task[T]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
