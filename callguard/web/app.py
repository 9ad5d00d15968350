"""Puts the web room together and serves it."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import aiohttp_jinja2
import jinja2
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from callguard.clock import Clock
from callguard.web.assets import Assets
from callguard.web.call_page import CallDesk, CallPage
from callguard.web.door import in_json
from callguard.web.form import Marks
from callguard.web.health import Readiness, alive
from callguard.web.live import Events, LiveHub, LiveLimits
from callguard.web.metrics import Metrics
from callguard.web.opt_out_page import OptOutDesk, OptOutPage
from callguard.web.pages import ErrorPages, Pages, StatusPage
from callguard.web.reader import StatusReader
from callguard.web.security import Guard, Opening, harden
from callguard.web.status import StatusSource

log = structlog.get_logger(__name__)

HUB: Final = web.AppKey("hub", LiveHub)

_TEMPLATES: Final = Path(__file__).parent / "templates"
_LINE_BYTES: Final = 2_048
_FIELD_BYTES: Final = 4_096
_HEADERS: Final = 64
_KEEP_ALIVE_S: Final = 30.0
_LINGER_S: Final = 1.0
_CLOSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds of the web room. ``read_timeout`` (seconds) is how long the source may take."""

    read_timeout: float = 2.0
    connections: int = 128
    live: LiveLimits = field(default_factory=LiveLimits)


class Doors(Protocol):
    """A part of the web room that does more than tell the status."""

    @property
    def openings(self) -> Sequence[Opening]: ...

    def routes(self) -> Sequence[web.RouteDef]: ...


class _CompiledOnce(jinja2.BytecodeCache):
    """Templates are compiled once in a process, however many applications it builds."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if (compiled := self._compiled.get(bucket.key)) is not None:
            bucket.bytecode_from_string(compiled)

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


_COMPILED: Final = _CompiledOnce()


def build_app(
    source: StatusSource,
    *,
    clock: Clock,
    hosts: Collection[str] = (),
    limits: WebLimits | None = None,
    api: Doors | None = None,
    more: Sequence[Doors] = (),
    desk: OptOutDesk | None = None,
    call_desk: CallDesk | None = None,
) -> web.Application:
    """The application. It answers to loopback names and to ``hosts``; without ``api``, ``more``,
    the ``desk``, where a number is opted out, and the ``call_desk``, where calls are acted on, it
    is read only."""
    limits = limits or WebLimits()
    app = web.Application(client_max_size=1)
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_COMPILED,
    )
    assets = Assets()
    pages = Pages(environment, assets, acts=call_desk is not None)
    reader = StatusReader(source, timeout=limits.read_timeout)
    hub = LiveHub(reader, pages, limits.live)
    marks = Marks()
    form = OptOutPage(desk, pages, marks) if desk is not None else None
    calls = CallPage(call_desk, reader, pages, marks) if call_desk is not None else None
    doors = [door for door in (api, form, calls, *more) if door is not None]
    guard = Guard(hosts, [opening for door in doors for opening in door.openings])
    app.middlewares.append(_outermost(guard, ErrorPages(pages, clock)))
    app[HUB] = hub
    status = StatusPage(reader, pages, marks, opt_out=form, calls=calls)
    app.add_routes(
        [
            web.get("/", status.show),
            web.get("/events", Events(hub, limits.live).stream),
            web.get("/healthz", alive),
            web.get("/readyz", Readiness(reader).show),
            web.get("/metrics", Metrics(reader).show),
            web.get("/static/{name}", assets.serve),
        ]
    )
    for door in doors:
        app.add_routes(door.routes())
    app.on_response_prepare.append(harden)
    app.on_shutdown.append(_end_listening)
    app.cleanup_ctx.append(_polling(hub, reader))
    return app


def _outermost(guard: Guard, pages: ErrorPages) -> Middleware:
    def refused(request: web.Request, error: web.HTTPException) -> web.Response:
        opening = guard.opening(request.path)
        page = opening is None or opening.page
        return pages.answer(request, error) if page else in_json(error)

    @web.middleware
    async def outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.check(request)
            return await handler(request)
        except web.HTTPException as error:
            return refused(request, error)
        except Exception as error:
            log.error("request_failed", path=request.path[:64], error=type(error).__name__)
            log.debug("request_failed_trace", trace=traceback.format_exc())
            return refused(request, web.HTTPInternalServerError())

    return outermost


async def _end_listening(app: web.Application) -> None:
    app[HUB].close()


def _polling(
    hub: LiveHub, reader: StatusReader
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def polling(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(hub.run(), name="web-live")
        yield
        task.cancel()
        await asyncio.wait({task})
        await reader.close()

    return polling


class _WithoutWords(logging.Filter):
    """Tells what went wrong with a request that could not be read, and nothing of what was in it:
    that may be somebody's number."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[0] if record.exc_info else None
        if record.levelno > logging.DEBUG:
            log.warning("request_not_read", error=error.__name__ if error else "")
        return False


def _unread_requests() -> logging.Logger:
    logger = logging.Logger("callguard.web.requests", logging.INFO)
    logger.addFilter(_WithoutWords())
    return logger


class _Refused(asyncio.Protocol):
    """A connection too many: it is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class WebServer:
    """Serves the web room at one address, from ``start`` to ``close``."""

    def __init__(
        self,
        source: StatusSource,
        *,
        clock: Clock,
        limits: WebLimits | None = None,
        api: Doors | None = None,
        more: Sequence[Doors] = (),
        desk: OptOutDesk | None = None,
        call_desk: CallDesk | None = None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._api = api
        self._more = more
        self._desk = desk
        self._call_desk = call_desk
        self._limits = limits or WebLimits()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """The bound port; 0 asks for any. Raises OSError where the address cannot be had."""
        app = build_app(
            self._source,
            clock=self._clock,
            hosts=(host,),
            limits=self._limits,
            api=self._api,
            more=self._more,
            desk=self._desk,
            call_desk=self._call_desk,
        )
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_unread_requests(),
            handler_cancellation=True,
            keepalive_timeout=_KEEP_ALIVE_S,
            lingering_time=_LINGER_S,
            max_line_size=_LINE_BYTES,
            max_field_size=_FIELD_BYTES,
            max_headers=_HEADERS,
            shutdown_timeout=_CLOSE_S,
        )
        await runner.setup()
        serve = runner.server
        assert serve is not None

        def connected() -> asyncio.BaseProtocol:
            room = len(serve.connections) < self._limits.connections
            return serve() if room else _Refused()

        try:
            server = await asyncio.get_running_loop().create_server(connected, host, port)
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self._server = runner, server
        bound: int = server.sockets[0].getsockname()[1]
        log.info("web_started", host=host, port=bound)
        return bound

    async def close(self) -> None:
        """Stops listening, ends live updates, and waits a little for answers under way."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
