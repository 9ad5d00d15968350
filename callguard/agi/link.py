"""One AGI connection: bytes in and out, deadlines, and the step they keep.

Asterisk drops a running ``STREAM FILE`` without a reply when another command comes in, and a late
reply would be read as the answer to the next question. So commands go strictly one by one, and
after a time-out or an abandoned wait the connection is of no more use.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from callguard.agi.limits import AgiLimits
from callguard.agi.wire import (
    AgiError,
    EnvironmentParser,
    RemoteProtocolError,
    Reply,
    ReplyParser,
)

_CHUNK: Final = 65536


class AgiTimeout(AgiError):  # noqa: N818 - says what happened
    """The peer did not send, or take, what was due in time; the connection is given up."""


class ChannelDead(AgiError):  # noqa: N818 - says what happened
    """The channel has hung up, or Asterisk has closed the connection."""


class ConnectionLost(ChannelDead):
    """The connection is gone. Asterisk keeps it when a channel hangs up, so nobody need have."""


class PeerLeft(ChannelDead):
    """The peer closed before it had sent the environment: a port scan, most likely."""


class CommandOutstanding(AgiError):  # noqa: N818 - says what happened
    """A command was sent while another one had no reply yet."""


class Deadline:
    """One timer for all the waits of a connection.

    A wait only notes its due time; the timer is rescheduled when it fires too early. That costs
    one timer a connection, where ``asyncio.timeout`` costs one a wait.
    """

    __slots__ = ("_due", "_handle", "_loop", "_on_expiry")

    def __init__(self, on_expiry: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_expiry = on_expiry
        self._due: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, seconds: float) -> None:
        """Calls ``on_expiry`` in ``seconds`` unless disarmed or armed anew before."""
        self._due = due = self._loop.time() + seconds
        if self._handle is not None:
            if self._handle.when() <= due:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(due, self._fire)

    def disarm(self) -> None:
        """Nothing is due any more."""
        self._due = None

    def close(self) -> None:
        """Disarms for good and frees the timer."""
        self._due = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._handle = self._loop.call_at(self._due, self._fire)
            return
        self._due = None
        self._on_expiry()


class Link:
    """The connection of one AGI session; ``close`` must be called when it is over."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: AgiLimits
    ) -> None:
        self.hung_up = False
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._replies = ReplyParser(limits.line_bytes, limits.block_bytes)
        self._deadline = Deadline(self._expire)
        self._ended: type[AgiError] | None = None
        self._outstanding = False

    @property
    def reply_timeout(self) -> float:
        """Seconds that a verb waits for its reply unless it says otherwise."""
        return self._limits.reply_timeout

    async def read_environment(self) -> dict[str, str]:
        """The environment, whole, within ``header_timeout`` and ``header_bytes``.

        Raises ``AgiTimeout``, ``RemoteProtocolError``, and ``PeerLeft`` for one who closes first.
        """
        parser = EnvironmentParser(self._limits.header_bytes)
        self._deadline.arm(self._limits.header_timeout)
        try:
            while (values := parser.next()) is None:
                data = await self._reader.read(_CHUNK)
                if not data:
                    raise PeerLeft("closed before the environment was whole")
                parser.receive(data)
        except OSError as error:
            raise PeerLeft(f"lost before the environment was whole: {error}") from error
        finally:
            self._deadline.disarm()
        if rest := parser.rest():
            self._replies.receive(rest)
        return values

    async def ask(self, command: bytes, within: float | None = None) -> Reply:
        """Sends a command and returns its final reply, in ``within`` seconds at most.

        Raises ``ChannelDead`` when the connection ends first, ``AgiTimeout``,
        ``RemoteProtocolError``, and ``CommandOutstanding`` while an earlier ``ask`` waits or
        was cancelled in its wait.
        """
        if self._ended is not None:
            raise self._ended("the connection has ended")
        if self._outstanding:
            raise CommandOutstanding("an earlier command has no reply yet")
        self._settle()
        self._outstanding = True
        self._deadline.arm(self._limits.reply_timeout if within is None else within)
        try:
            self._writer.write(command)
            await self._writer.drain()
            reply = await self._reply()
        except (OSError, ChannelDead) as error:
            self._end(ConnectionLost)
            raise ConnectionLost("the connection was closed by the peer") from error
        except RemoteProtocolError:
            self._end(RemoteProtocolError)
            raise
        finally:
            self._deadline.disarm()
        self._outstanding = False
        return reply

    async def close(self) -> None:
        """Closes the socket; waits ``close_timeout`` at most for unsent bytes to leave."""
        self._end(ChannelDead)
        self._deadline.close()
        writer = self._writer
        writer.close()
        if not _unsent(writer):
            return
        try:
            async with asyncio.timeout(self._limits.close_timeout):
                await writer.wait_closed()
        except OSError:
            pass  # too slow (a TimeoutError is an OSError) or reset: nothing is left to say
        finally:
            writer.transport.abort()

    async def _reply(self) -> Reply:
        while True:
            event = self._replies.next()
            if event is None:
                data = await self._reader.read(_CHUNK)
                if not data:
                    raise ChannelDead
                self._replies.receive(data)
            elif not isinstance(event, Reply):
                self.hung_up = True
            elif event.code != 100:
                return event

    def _settle(self) -> None:
        """Takes what came unasked: hang-ups. A reply that nobody waits for is an intruder."""
        try:
            while (event := self._replies.next()) is not None:
                if isinstance(event, Reply):
                    raise RemoteProtocolError("a reply to no command")
                self.hung_up = True
        except RemoteProtocolError:
            self._end(RemoteProtocolError)
            raise

    def _expire(self) -> None:
        self._end(AgiTimeout)
        self._reader.set_exception(AgiTimeout("the peer was silent for too long"))
        # Wakes a blocked drain, and lets Asterisk go on with the dialplan at once.
        self._writer.transport.abort()

    def _end(self, reason: type[AgiError]) -> None:
        if self._ended is None:
            self._ended = reason


def _unsent(writer: asyncio.StreamWriter) -> bool:
    return writer.transport.get_write_buffer_size() > 0
