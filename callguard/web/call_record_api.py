"""``/api/v1/call-records``: programs list call records, look at one call, take records away.

Whoever has the token is the operator. Numbers come masked unless a reason is given; who saw them
and who took records away is durably in the audit log before the first byte is sent.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import structlog
from aiohttp import web
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.cdr.columns import VERSION, as_mapping, masked
from callguard.cdr.disclosure import (
    Disclosure,
    UnknownErasuresError,
    check_memory,
    note_export,
    note_exported,
    note_seen,
)
from callguard.cdr.export import ExportError, Form, Tally, exported
from callguard.cdr.legs import as_value, read_call
from callguard.cdr.reading import CursorError, Page, beginning, read_page, read_pages, read_place
from callguard.clock import Clock, latest
from callguard.recording.age import AgeError
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.tenants.region import home_regions
from callguard.web.call_record_question import (
    MOST,
    read_export,
    read_listing,
    read_one,
    with_number,
)
from callguard.web.door import Doorkeeper, Refused, json_response
from callguard.web.recording_sending import WRITE_BYTES, WRITE_S, ReadingThreads
from callguard.web.security import Opening

T = TypeVar("T")
log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/call-records"
EXPORT: Final = PATH + "/export"
ONE: Final = PATH + "/{id}"

AT_ONCE: Final = 16
"""Who reads a page or a call."""

EXPORTS_AT_ONCE: Final = 2

PIECE_S: Final = 600.0
"""How long the next piece may take: where few records are wanted, many are looked at for it."""

LOOKS: Final = 20
"""Reads that one page of the list takes at most, where few records are wanted."""

EXPORT_ID: Final = "Callguard-Export"
"""The export's name in the audit log, where rows, bytes and SHA-256 stand once it is done."""

_AGAIN: Final = {"Retry-After": "1"}


class CallRecordApi:
    """Tells of call records and hands them out."""

    openings: Final = (
        Opening(PATH, ("GET",)),
        Opening(EXPORT, ("GET",)),
        Opening(ONE, ("GET",)),
    )

    def __init__(
        self,
        clock: Clock,
        database: Database,
        journal: Journal,
        token_file: Path,
        home_region: str,
        durable_s: float = 2.0,
    ) -> None:
        """``home_region`` is where a number without a country belongs, where no tenant is
        named."""
        self._clock = clock
        self._database = database
        self._journal = journal
        self._home_region = home_region
        self._durable_s = durable_s
        self._readers = Doorkeeper(token_file, most=AT_ONCE)
        self._takers = Doorkeeper(token_file, most=EXPORTS_AT_ONCE)
        self._threads = ReadingThreads(EXPORTS_AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.show, allow_head=False),
            web.get(EXPORT, self.hand_out, allow_head=False),
            web.get(ONE, self.tell, allow_head=False),
        ]

    def close(self) -> None:
        """Once the web room is closed."""
        self._threads.close()

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/call-records?tenant=…&since=…&until=…``."""
        try:
            await self._readers.authorize(request)
            seen, asked = read_listing(request)
            with self._readers.place():
                seen = await self._enter(seen)
                page = await self._page(seen, asked.cursor, min(int(asked.limit), MOST))
        except Refused as refused:
            return refused.response()
        records = [as_mapping(one if seen.reason else masked(one)) for one in page.records]
        following = None if page.following is None else page.following.as_text()
        return json_response({"columns": VERSION, "call_records": records, "next": following})

    async def tell(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/call-records/<call id>``."""
        try:
            await self._readers.authorize(request)
            seen = read_one(request)
            with self._readers.place():
                await self._enter(seen)
                now = latest(self._clock)
                name, ground = seen.wanted.call, seen.wanted.ground
                found = await self._read(partial(read_call, call_id=name, now=now, ground=ground))
            if found is None:
                raise Refused(404, "nothing is kept of a call of that id", "id")
        except Refused as refused:
            return refused.response()
        return json_response({"columns": VERSION, **as_value(found, numbers=bool(seen.reason))})

    async def hand_out(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/call-records/export?tenant=…&since=…&until=…&format=csv``."""
        try:
            await self._takers.authorize(request)
            taken, form = read_export(request)
            with self._takers.place():
                return await self._export(request, taken, form)
        except Refused as refused:
            return refused.response()

    async def _page(self, seen: Disclosure, cursor: str, limit: int) -> Page:
        """Raises Refused."""
        try:
            place = read_place(cursor) if cursor else await self._read(beginning)
        except CursorError as error:
            raise Refused(400, str(error), "cursor") from error
        for _ in range(LOOKS):
            now = latest(self._clock)
            page = await self._read(
                partial(read_page, wanted=seen.wanted, place=place, now=now, most=limit)
            )
            if page.records or page.following is None:
                break
            place = page.following
        return page

    async def _export(
        self, request: web.Request, taken: Disclosure, form: Form
    ) -> web.StreamResponse:
        tally = Tally()
        taken = await self._placed(taken)
        now = latest(self._clock)
        name = await self._write(partial(note_export, taken=taken, form=form, now=now))
        pages = read_pages(self._database.reading, taken.wanted, partial(latest, self._clock))
        pieces = exported(pages, form, tally)
        fault: str | None = "it was broken off"
        try:
            first = await self._piece(pieces)
            response = web.StreamResponse()
            response.headers.update(_headers(taken, form, name))
            fault = await self._send(request, response, first, pieces)
        except ExportError as error:
            fault = str(error)
            raise Refused(501, fault, "format") from error
        except AgeError as error:
            fault = str(error)
            raise Refused(400, fault, "recipient") from error
        except (SQLAlchemyError, TimeoutError) as error:
            fault = one_line(error)
            self._unread(error)
        finally:
            end = latest(self._clock)
            self._journal.post(
                work=partial(
                    note_exported,
                    taken=taken,
                    export=name,
                    tally=tally,
                    now=end,
                    fault=fault,
                )
            )
        return response

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        piece: bytes,
        pieces: Iterator[bytes],
    ) -> str | None:
        """Sends it all; or breaks the connection off, so that it never looks whole, and returns
        why."""
        fault: str | None = "it was broken off"
        try:
            await response.prepare(request)
            while piece:
                for at in range(0, len(piece), WRITE_BYTES):
                    await self._threads.turn()
                    async with asyncio.timeout(WRITE_S):
                        await response.write(piece[at : at + WRITE_BYTES])
                piece = await self._piece(pieces)
            async with asyncio.timeout(WRITE_S):
                await response.write_eof()
            fault = None
        except ConnectionError:
            fault = "it was not taken"
        except TimeoutError:
            fault = "it was not sent in time"
        except (SQLAlchemyError, ExportError, OSError) as error:
            fault = one_line(error)
        finally:
            if fault is not None:
                log.warning("call_records_broken_off", reason=fault)
                if request.transport is not None:
                    request.transport.abort()
        return fault

    async def _piece(self, pieces: Iterator[bytes]) -> bytes:
        return await self._threads.run(lambda: next(pieces, b""), PIECE_S)

    async def _enter(self, seen: Disclosure) -> Disclosure:
        """What is to be seen. Raises Refused; once it returns, who sees numbers is durably in the
        audit log."""
        now = latest(self._clock)
        await self._read(check_memory)
        seen = await self._placed(seen)
        if seen.reason:
            await self._write(partial(note_seen, seen=seen, now=now))
        return seen

    async def _placed(self, asked: Disclosure) -> Disclosure:
        """With its number as the tenant dials it. Raises Refused: a name typed wrongly must not
        look like a tenant without calls."""
        name, region = asked.wanted.tenant, self._home_region
        if name is not None:
            known = await self._read(partial(home_regions, ids=[name]))
            if name not in known:
                raise Refused(400, "no tenant of this id is known", "tenant")
            region = known[name]
        return with_number(asked, region)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            return await self._database.read(query)
        except UnknownErasuresError as error:
            raise Refused(409, str(error)) from error
        except (SQLAlchemyError, TimeoutError) as error:
            self._unread(error)

    def _unread(self, error: Exception) -> NoReturn:
        log.error("call_records_not_read", reason=one_line(error))
        raise Refused(503, "the call records cannot be read; ask again", headers=_AGAIN) from error

    async def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._journal.write(work, timeout=self._durable_s)
        except UnknownErasuresError as error:
            raise Refused(409, str(error)) from error
        except NotDurableError as error:
            log.error("disclosure_not_logged", reason=str(error))
            raise Refused(
                503, "the reading could not be logged; nothing was read", headers=_AGAIN
            ) from error


def _headers(taken: Disclosure, form: Form, name: str) -> dict[str, str]:
    whose = taken.wanted.tenant or "all"
    return {
        "Content-Type": form.media_type,
        "Content-Disposition": f'attachment; filename="call-records-{whose}.{form.ending}"',
        "Cache-Control": "no-store",
        EXPORT_ID: name,
    }
