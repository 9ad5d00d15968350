"""The FastAGI server: who may connect, how many at once, and how it ends.

Asterisk lets a call wait for us without limit and lets it pass when we close the socket, so the
dialplan demands an explicit verdict; here every session is bounded and ends in a closed socket.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import structlog

from callguard.agi.limits import AgiLimits
from callguard.agi.link import AgiTimeout, ChannelDead, Link, PeerLeft
from callguard.agi.session import AgiSession
from callguard.agi.wire import RemoteProtocolError

log = structlog.get_logger(__name__)

_STREAM_BUFFER: Final = 16384
_REMEMBERED_ADDRESSES: Final = 1024
_LOG_INTERVAL: Final = 10.0
_CANCEL_TIMEOUT: Final = 2.0

Handler = Callable[[AgiSession], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AgiStats:
    """Counters since the start; ``sessions_now`` is a gauge.

    ``sessions_total`` counts connections let in, ``left_early`` those of them that closed before
    their environment was whole (port scans), ``handler_errors`` handlers that ended in an
    exception other than the channel's death or the peer's breach of protocol.
    """

    sessions_now: int = 0
    sessions_total: int = 0
    refused_busy: int = 0
    refused_address: int = 0
    left_early: int = 0
    header_timeouts: int = 0
    protocol_errors: int = 0
    handler_errors: int = 0


class AgiServer:
    """Runs ``handler`` once for each connection from the ``allow``-ed networks.

    A connection without a network address (in memory, Unix socket) is allowed. The socket is
    closed when the handler returns, raises or is cancelled.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: AgiLimits,
        allow: Sequence[IPv4Network | IPv6Network],
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._allow = tuple(allow)
        self._known: dict[str, bool] = {}
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self._closing = False
        self._total = 0
        self._refused_busy = 0
        self._refused_address = 0
        self._left_early = 0
        self._header_timeouts = 0
        self._protocol_errors = 0
        self._handler_errors = 0
        self._log_due: dict[str, float] = {}

    @property
    def stats(self) -> AgiStats:
        """A snapshot of the counters."""
        return AgiStats(
            sessions_now=len(self._sessions),
            sessions_total=self._total,
            refused_busy=self._refused_busy,
            refused_address=self._refused_address,
            left_early=self._left_early,
            header_timeouts=self._header_timeouts,
            protocol_errors=self._protocol_errors,
            handler_errors=self._handler_errors,
        )

    async def start(self, host: str, port: int) -> int:
        """Listens on ``host`` and returns the bound port; ``OSError`` where it cannot."""
        self._server = await asyncio.start_server(
            self._connected, host, port, backlog=self._limits.backlog, limit=_STREAM_BUFFER
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        log.info("agi_listening", host=host, port=bound)
        return bound

    async def serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serves one connection to its end, in the calling task."""
        if not self._admit(writer):
            return
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._sessions.discard(task)

    async def close(self, grace: float) -> None:
        """Stops listening, lets sessions end for ``grace`` seconds, then cancels them."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        sessions = self._sessions - {asyncio.current_task()}
        if sessions:
            _, sessions = await asyncio.wait(sessions, timeout=grace)
        if sessions:
            log.warning("agi_sessions_cancelled", count=len(sessions), grace=grace)
            for task in sessions:
                task.cancel()
            _, sessions = await asyncio.wait(
                sessions, timeout=_CANCEL_TIMEOUT + self._limits.close_timeout
            )
        if sessions:
            log.error("agi_sessions_stuck", count=len(sessions))
        log.info("agi_closed", sessions_total=self._total)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, so that a refusal costs no task.
        if self._admit(writer):
            task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
            self._sessions.add(task)
            task.add_done_callback(partial(self._ended, writer))

    def _ended(self, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        self._sessions.discard(task)
        writer.close()  # a task cancelled before its first step has closed nothing

    def _admit(self, writer: asyncio.StreamWriter) -> bool:
        """Counts the connection in, or closes it."""
        if self._allowed(writer.get_extra_info("peername")):
            if not self._closing and len(self._sessions) < self._limits.max_sessions:
                self._total += 1
                return True
            self._refused_busy += 1
            self._log_rarely("agi_busy", refused=self._refused_busy, closing=self._closing)
        else:
            self._refused_address += 1
            self._log_rarely("agi_address_refused", refused=self._refused_address)
        writer.close()
        return False

    def _allowed(self, peer: object) -> bool:
        if not isinstance(peer, tuple):
            return True
        host = str(peer[0])
        known = self._known.get(host)
        if known is None:
            address = ip_address(host)
            if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            known = any(address in network for network in self._allow)
            if len(self._known) >= _REMEMBERED_ADDRESSES:
                self._known.clear()
            self._known[host] = known
        return known

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, self._limits)
        try:
            session = await self._begin(link)
            if session is not None:
                await self._handle(session)
        finally:
            await link.close()

    async def _begin(self, link: Link) -> AgiSession | None:
        try:
            return await AgiSession.begin(link)
        except PeerLeft:
            self._left_early += 1
        except AgiTimeout:
            self._header_timeouts += 1
            self._log_rarely("agi_header_timeout", count=self._header_timeouts)
        except RemoteProtocolError as error:
            self._breach(error)
        return None

    async def _handle(self, session: AgiSession) -> None:
        try:
            await self._handler(session)
        except ChannelDead:
            log.debug("agi_channel_dead", request=session.env.request)
        except RemoteProtocolError as error:
            self._breach(error)
        except Exception as error:
            self._handler_errors += 1
            # The message may quote a number or a secret, so the line has only kind and place.
            log.error(
                "agi_handler_failed",
                request=session.env.request,
                error=type(error).__name__,
                at=_place(error),
            )
            log.debug("agi_handler_trace", exc_info=error)

    def _breach(self, error: RemoteProtocolError) -> None:
        self._protocol_errors += 1
        self._log_rarely("agi_protocol_error", error=str(error), count=self._protocol_errors)

    def _log_rarely(self, event: str, **fields: object) -> None:
        """One line of a kind in ``_LOG_INTERVAL`` seconds; the counters in it tell the rest."""
        now = asyncio.get_running_loop().time()
        if now >= self._log_due.get(event, now):
            self._log_due[event] = now + _LOG_INTERVAL
            log.warning(event, **fields)


def _place(error: BaseException) -> str:
    """Where an exception was raised: ``module.py:12 function``."""
    frame = traceback.extract_tb(error.__traceback__, limit=-1)[0]
    return f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
