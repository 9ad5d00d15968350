"""Live updates: server-sent events (HTML Standard, section 9.2), one poller for all listeners."""

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog
from aiohttp import web

from callguard.web.language import Language
from callguard.web.pages import RELOAD_S, Pages, language_of, look
from callguard.web.reader import StatusError, StatusReader
from callguard.web.status import Status

log = structlog.get_logger(__name__)

HEARTBEAT: Final = b": still here\n\n"
_RECONNECT_MS: Final = 3_000
_QUIET_POLLS: Final = 5
"""After so many polls without a change the time alone is sent: it proves the page is fresh."""


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Bounds of the live updates; seconds where not said otherwise."""

    listeners: int = 32
    poll: float = 1.0
    heartbeat: float = 10.0
    write_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Update:
    """What a listener is told. ``at`` is None while the state cannot be read; ``html`` is None
    where the page already shows it."""

    at: datetime | None
    html: str | None

    def encode(self) -> bytes:
        """The event on the wire."""
        at = None if self.at is None else self.at.astimezone(UTC)
        told: dict[str, str | None] = {
            "at": None if at is None else at.isoformat(timespec="milliseconds"),
            "time": None if at is None else at.strftime("%H:%M:%S"),
        }
        if self.html is not None:
            told["html"] = self.html
        return f"event: status\ndata: {json.dumps(told, ensure_ascii=False)}\n\n".encode()


class ListenerLimitError(Exception):
    """No room for another listener."""


class Listener:
    """One page that listens. Its queue holds one update: a later one stands for all before it,
    so a slow page misses steps but never the last."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.shown = False
        self._waiting: Update | None = None
        self._closed = False
        self._stirred = asyncio.Event()

    def offer(self, update: Update) -> None:
        """Never waits."""
        if update.html is None and self._waiting is not None:
            update = replace(update, html=self._waiting.html)
        self._waiting = update
        self.shown = True
        self._stirred.set()

    def close(self) -> None:
        """Ends the listening."""
        self._closed = True
        self._stirred.set()

    async def next(self) -> Update | None:
        """The next update, or None at the end."""
        await self._stirred.wait()
        self._stirred.clear()
        update, self._waiting = self._waiting, None
        return None if self._closed else update


class LiveHub:
    """The poller and those who listen to it. Nothing is asked while nobody listens."""

    def __init__(self, reader: StatusReader, pages: Pages, limits: LiveLimits) -> None:
        self._reader = reader
        self._pages = pages
        self._limits = limits
        self._listeners: set[Listener] = set()
        self._wanted = asyncio.Event()
        self._look: tuple[Status, bool] | None = None
        self._html: dict[str, str] = {}
        self._quiet = 0
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def join(self, language: Language) -> Listener:
        """A listener, told the whole state first. Raises ListenerLimitError."""
        if self._closed or len(self._listeners) >= self._limits.listeners:
            raise ListenerLimitError
        listener = Listener(language)
        self._listeners.add(listener)
        self._wanted.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """Forgets the listener."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._wanted.clear()

    def close(self) -> None:
        """Ends all listening, for good."""
        self._closed = True
        for listener in self._listeners:
            listener.close()

    async def run(self) -> None:
        """Polls for ever; a poll that fails is logged and the next one tries again."""
        while True:
            await self._wanted.wait()
            try:
                await self.poll()
            except Exception as error:
                log.error("live_update_failed", error=type(error).__name__)
                log.debug("live_update_failed_trace", trace=traceback.format_exc())
            await asyncio.sleep(self._limits.poll)

    async def poll(self) -> None:
        """Asks once and tells every listener what it does not show yet."""
        try:
            status = await self._reader.read()
        except StatusError:
            status = None
        seen = None if status is None else look(status)
        changed = seen != self._look
        if changed:
            self._html.clear()
        self._quiet = 0 if changed else self._quiet + 1
        due = changed or self._quiet % _QUIET_POLLS == 0
        for language in {listener.language for listener in self._listeners}:
            self._rendered(status, language)
            await asyncio.sleep(0)  # calls are decided on this loop too
        for listener in tuple(self._listeners):
            if changed or not listener.shown:
                listener.offer(self._update(status, self._rendered(status, listener.language)))
            elif due:
                listener.offer(self._update(status, None))
        self._look = seen  # last, so that a poll that failed half-way tells it again

    def _update(self, status: Status | None, html: str | None) -> Update:
        return Update(None if status is None else status.at, html)

    def _rendered(self, status: Status | None, language: Language) -> str:
        html = self._html.get(language.code)
        if html is None:
            html = self._html[language.code] = self._pages.parts(status, language)
        return html


async def pump(
    listener: Listener, write: Callable[[bytes], Awaitable[None]], limits: LiveLimits
) -> None:
    """Writes what the listener is told until its end. Raises TimeoutError where a write takes
    too long, and what ``write`` raises."""

    async def send(data: bytes) -> None:
        async with asyncio.timeout(limits.write_timeout):
            await write(data)

    await send(f"retry: {_RECONNECT_MS}\n\n".encode())
    while True:
        try:
            async with asyncio.timeout(limits.heartbeat):
                update = await listener.next()
        except TimeoutError:
            await send(HEARTBEAT)
            continue
        if update is None:
            return
        await send(update.encode())


class Events:
    """``GET /events``."""

    def __init__(self, hub: LiveHub, limits: LiveLimits) -> None:
        self._hub = hub
        self._limits = limits

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Raises HTTPTooManyRequests."""
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a proxy in front must not collect events
            }
        )
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        try:
            listener = self._hub.join(language_of(request))
        except ListenerLimitError as error:
            raise web.HTTPTooManyRequests(headers={"Retry-After": str(RELOAD_S)}) from error
        try:
            await response.prepare(request)
            await pump(listener, response.write, self._limits)
        except TimeoutError:
            log.info("slow_listener_dropped")
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            log.debug("listener_left")
        finally:
            self._hub.leave(listener)
        return response
