"""One manager connection from its greeting to its end: actions and their answers, and pings."""

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from callguard.ami.errors import AmiDown, AmiError, AmiRefused, AmiTimeout
from callguard.ami.settings import READ_BYTES, AmiSettings
from callguard.ami.wire import Message, Parser, RemoteProtocolError, build_action

log = structlog.get_logger(__name__)

#: How long a closing connection may take to flush and, under TLS, to say goodbye. Seconds.
CLOSE_TIMEOUT = 2.0


@dataclass(slots=True)
class AmiCounters:
    """What happened since the session was made. All count up."""

    connections: int = 0
    logins: int = 0
    logins_refused: int = 0
    drops: int = 0
    events: int = 0
    events_skipped: int = 0
    #: Answers nobody waited for (any more), and messages that are neither event nor answer.
    unmatched: int = 0
    timeouts: int = 0
    handler_errors: int = 0
    protocol_errors: int = 0


@dataclass(slots=True, eq=False)
class _Awaited:
    """An action under way. ``items`` gathers a list's events; None for a plain action."""

    action: str
    result: asyncio.Future[list[Message] | AmiError]
    items: list[Message] | None = None

    def settle(self, result: list[Message] | AmiError) -> None:
        if not self.result.done():
            self.result.set_result(result)


@dataclass(slots=True, eq=False)
class Connection:
    """One connection. Whoever makes it runs ``pump`` and, once logged in, ``keep_alive``.

    Events go to ``on_event`` from the accepted login on, in the order they came.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    settings: AmiSettings
    on_event: Callable[[Message], None]
    counters: AmiCounters
    #: Why the connection can no longer be used; None while it can.
    ended: str | None = None
    authenticated: bool = False
    _parser: Parser = field(init=False)
    _awaited: dict[str, _Awaited] = field(default_factory=dict, init=False)
    _slots: asyncio.Semaphore = field(init=False)
    _lists: int = field(default=0, init=False)
    _asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._parser = Parser(self.settings.wanted, self.settings.limits)
        self._slots = asyncio.Semaphore(self.settings.in_flight)

    async def action(
        self, name: str, *headers: tuple[str, str], timeout: float | None = None
    ) -> Message:
        """Sends one action and returns its answer, within ``timeout`` seconds.

        Raises AmiDown, AmiTimeout, AmiRefused, or LocalProtocolError before anything is sent.
        """
        [answer] = await self._ask(name, headers, timeout, None)
        return answer

    async def action_list(
        self, name: str, *headers: tuple[str, str], timeout: float | None = None
    ) -> list[Message]:
        """Sends an action that is answered by a list; returns the events between its ends.

        Raises what ``action`` raises.
        """
        self._lists += 1
        self._parser.answers = True
        try:
            return await self._ask(name, headers, timeout, [])
        finally:
            self._lists -= 1
            self._parser.answers = self._lists > 0

    async def _ask(
        self,
        name: str,
        headers: tuple[tuple[str, str], ...],
        timeout: float | None,
        items: list[Message] | None,
    ) -> list[Message]:
        if timeout is None:
            timeout = self.settings.action_timeout
        self._asked += 1
        action_id = str(self._asked)
        data = build_action(name, headers, action_id)
        awaited = _Awaited(name, asyncio.get_running_loop().create_future(), items)
        sent = None
        try:
            async with asyncio.timeout(timeout), self._slots:
                if self.ended is not None:
                    raise AmiDown(self.ended)
                self._awaited[action_id] = awaited
                sent = False
                self.writer.write(data)
                await self.writer.drain()
                sent = True
                result = await awaited.result
        except TimeoutError:
            self.counters.timeouts += 1
            if sent is False:
                # What piles up unread would grow with every further action.
                self.fail("Asterisk does not read what it is sent")
            raise AmiTimeout(f"{name}: no answer within {timeout:g} s") from None
        except OSError as error:
            raise AmiDown(self.fail(f"connection lost: {_plain(error)}")) from None
        finally:
            self._awaited.pop(action_id, None)
        if isinstance(result, AmiError):
            raise result
        return result

    async def pump(self) -> str:
        """Reads and distributes until the connection ends; returns why it did.

        There is no time-out here: ``keep_alive`` and the login's own limit end a silent
        connection.
        """
        parser, counters = self._parser, self.counters
        reason = "closed by Asterisk"
        try:
            while data := await self.reader.read(READ_BYTES):
                skipped = parser.skipped
                for message in parser.feed(data):
                    if self.ended is not None:
                        return self.ended
                    self._take(message)
                counters.events_skipped += parser.skipped - skipped
        except RemoteProtocolError as error:
            counters.protocol_errors += 1
            reason = f"protocol error: {error}"
        except OSError as error:
            reason = f"connection lost: {_plain(error)}"
        except Exception as error:
            # A defect must end this connection, not the session that would make the next one.
            log.error("ami_read_failed", name=self.settings.name, **defect(error))
            reason = f"internal error: {type(error).__name__}"
        return self.fail(reason)

    async def keep_alive(self) -> str:
        """Pings until a Pong is missing; returns why the connection is given up."""
        while True:
            await asyncio.sleep(self.settings.ping_interval)
            try:
                pong = await self.action("Ping", timeout=self.settings.ping_timeout)
            except AmiTimeout:
                return self.fail(f"no Pong within {self.settings.ping_timeout:g} s")
            except AmiError as error:
                return self.fail(f"Ping failed: {error}")
            if (pong.get("Ping") or "").lower() != "pong":
                return self.fail("a Ping was answered without a Pong")

    def fail(self, reason: str) -> str:
        """Drops the connection at once and tells whoever waits; returns the first reason."""
        self._end(reason)
        # The abort also wakes a pump that sits in a read no byte will ever end.
        self.writer.transport.abort()
        return self.ended or reason

    def _end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason
            for awaited in self._awaited.values():
                awaited.settle(AmiDown(reason))

    async def log_off(self) -> None:
        """Says goodbye and waits for the answer, as long as an action may take."""
        try:
            await self.action("Logoff")
        except AmiError as error:
            log.debug("ami_logoff_unanswered", name=self.settings.name, reason=str(error))

    async def close(self) -> None:
        """Closes the connection in bounded time; harmless when it is closed already."""
        self._end("closed")
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.writer.wait_closed()
        except (OSError, TimeoutError) as error:
            log.debug("ami_close_hurried", name=self.settings.name, reason=_plain(error))
        finally:
            self.writer.transport.abort()

    def _take(self, message: Message) -> None:
        kind = message.kind
        if kind == "response":
            self._answer(message)
            return
        if kind != "event":
            self.counters.unmatched += 1
            return
        awaited = self._awaited.get(message.get("ActionID") or "")
        if awaited is not None and awaited.items is not None:
            self._gather(awaited, awaited.items, message)
        elif self.authenticated and self._is_wanted(message):
            self.counters.events += 1
            self._dispatch(message)

    def _answer(self, message: Message) -> None:
        awaited = self._awaited.get(message.get("ActionID") or "")
        if awaited is None:
            self.counters.unmatched += 1
        elif message.name.lower() == "error":
            awaited.settle(AmiRefused(awaited.action, message))
        else:
            if awaited.action == "Login":
                # Here and not where the answer is awaited: events may follow in the same read.
                self.authenticated = True
            if awaited.items is None:
                awaited.settle([message])

    def _gather(self, awaited: _Awaited, items: list[Message], message: Message) -> None:
        match (message.get("EventList") or "").lower():
            case "complete":
                awaited.settle(items)
            case "cancelled":
                awaited.settle(AmiRefused(awaited.action, message))
            case _ if len(items) < self.settings.list_events:
                items.append(message)
            case _:
                raise RemoteProtocolError(f"a list of more than {len(items)} events")

    def _is_wanted(self, message: Message) -> bool:
        wanted = self.settings.wanted
        return wanted is None or message.name in wanted

    def _dispatch(self, message: Message) -> None:
        try:
            self.on_event(message)
        except Exception as error:
            self.counters.handler_errors += 1
            log.error(
                "ami_event_handler_failed",
                name=self.settings.name,
                kind=message.name,
                **defect(error),
            )


def defect(error: Exception) -> dict[str, str]:
    """What may be logged of a callback's exception: its text may quote a number."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "where": f"{frame.filename}:{frame.lineno}"}


def _plain(error: BaseException) -> str:
    return str(error) or type(error).__name__
