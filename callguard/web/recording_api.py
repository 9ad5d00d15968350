"""``/api/v1/recordings``: programs list recordings, play them, fetch them sealed, verify them.

Whoever has the token is the operator. Each reading names its reason and is durably in the audit log
before its first byte is read; so is each refusal.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import structlog
from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import Clock, latest
from callguard.recording.age import AgeError, NoMatchingIdentity
from callguard.recording.keys import KeyStoreError, KeyWrapper
from callguard.recording.playback.access import Asked, Form, Refusal
from callguard.recording.playback.admission import (
    Admitted,
    admit,
    consider,
    note_damage,
    note_refusal,
)
from callguard.recording.playback.ranges import PlainRecording, Ranges
from callguard.recording.playback.reading import (
    RecordingRow,
    file_key_of,
    listed,
    payload_of,
    sealed_recording,
)
from callguard.recording.playback.verifying import examine
from callguard.recording.store.objects import ObjectMissing, ObjectStore, ObjectStoreError
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.web.byte_range import Span
from callguard.web.door import Doorkeeper, Question, Refused, Text, json_response, understand
from callguard.web.recording_answers import etag_of, headers_of, size_of, span_of, told_of
from callguard.web.recording_question import check_query, read_asked, refuse
from callguard.web.recording_sending import Leave, ReadingThreads, begin, send
from callguard.web.security import Opening

T = TypeVar("T")
log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/recordings"
ONE: Final = PATH + "/{id}"
AUDIO: Final = ONE + "/audio"
SEALED: Final = ONE + "/sealed"
VERIFY: Final = ONE + "/verify"

AT_ONCE: Final = 64
"""Readers inside."""

VERIFIED_AT_ONCE: Final = 2
VERIFY_S: Final = 600.0
MOST: Final = 1_000
_AGAIN: Final = {"Retry-After": "1"}


class Listing(Question):
    """Which recordings. ``before`` is the last one of the page before."""

    tenant: Text = ""
    call: Text = ""
    before: Text = ""
    limit: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}$")] = Field(default="100")


class RecordingApi:
    """Tells of recordings and hands them out."""

    openings: Final = (
        Opening(PATH, ("GET",)),
        Opening(ONE, ("GET",)),
        Opening(AUDIO, ("GET", "HEAD")),
        Opening(SEALED, ("GET", "HEAD")),
        Opening(VERIFY, ("POST",)),
    )

    def __init__(
        self,
        clock: Clock,
        database: Database,
        journal: Journal,
        store: ObjectStore,
        identities: KeyWrapper,
        token_file: Path,
        durable_s: float = 2.0,
    ) -> None:
        """``identities`` unwraps the tenants' identities; it is asked in a thread."""
        self._clock = clock
        self._database = database
        self._journal = journal
        self._store = store
        self._identities = identities
        self._durable_s = durable_s
        self._readers = Doorkeeper(token_file, most=AT_ONCE)
        self._verifiers = Doorkeeper(token_file, most=VERIFIED_AT_ONCE)
        self._threads = ReadingThreads()
        self._verifying = ReadingThreads(VERIFIED_AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.show, allow_head=False),
            web.get(ONE, self.tell, allow_head=False),
            web.get(AUDIO, self.play),
            web.get(SEALED, self.hand_out),
            web.post(VERIFY, self.verify),
        ]

    def close(self) -> None:
        """Once the web room is closed."""
        self._threads.close()
        self._verifying.close()

    async def show(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/recordings?tenant=…&call=…``."""
        try:
            await self._readers.authorize(request)
            check_query(request)
            asked = understand(Listing, dict(request.query))
            limit = min(int(asked.limit), MOST)
            rows = await self._read(
                partial(
                    listed,
                    now=latest(self._clock),
                    tenant=asked.tenant or None,
                    call=asked.call or None,
                    before=asked.before or None,
                    limit=limit + 1,
                    held=True,
                )
            )
        except Refused as refused:
            return refused.response()
        page = rows[:limit]
        following = page[-1].id if len(rows) > limit else None
        return json_response({"recordings": [told_of(row) for row in page], "next": following})

    async def tell(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/recordings/<id>``."""
        try:
            await self._readers.authorize(request)
            asked = read_asked(request, "metadata")
            one = await self._considered(request, asked)
        except Refused as refused:
            return refused.response()
        more = {
            "key": one.facts.own_key,
            "holds": [*one.facts.holds],
            "restricted": one.facts.restricted,
        }
        return json_response({**told_of(one.row), **more})

    async def play(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/recordings/<id>/audio``."""
        return await self._handed_out(request, "playback")

    async def hand_out(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/recordings/<id>/sealed``."""
        return await self._handed_out(request, "age")

    async def verify(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/v1/recordings/<id>/verify``."""
        try:
            await self._verifiers.authorize(request)
            asked = read_asked(request, "verify")
            if request.body_exists:
                raise Refused(400, "there is nothing to send: the body must be empty")
            with self._verifiers.place():
                return await self._verified(request, asked)
        except Refused as refused:
            return refused.response()

    async def _verified(self, request: web.Request, asked: Asked) -> web.Response:
        one = await self._admitted(request, asked, None)
        work = partial(examine, one.row, one.identities, self._store, self._identities)
        try:
            found = await self._verifying.run(work, VERIFY_S)
        except (ObjectStoreError, KeyStoreError, TimeoutError) as error:
            self._unavailable(one.row, error)
        if not found.whole:
            await self._considered(request, asked)  # it may have been erased meanwhile
            log.error("recording_damaged", recording=one.row.id, reason=found.line)
            self._note_damage(asked, one.row, found.line)
        told = {
            "id": found.recording,
            "whole": found.whole,
            "opened": not found.unopened,
            "bytes": found.bytes,
            "line": found.line,
        }
        return json_response(told)

    async def _handed_out(self, request: web.Request, form: Form) -> web.StreamResponse:
        try:
            await self._readers.authorize(request)
            asked = read_asked(request, form)
            with self._readers.place():
                return await self._send(request, asked)
        except Refused as refused:
            return refused.response()

    async def _send(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        row = (await self._considered(request, asked)).row
        size, etag = size_of(asked.form, row), etag_of(asked.form, row)
        span = span_of(request, size, etag)
        response = web.StreamResponse(status=200 if span is None else 206)
        response.headers.update(headers_of(asked.form, row, etag))
        first, stop = span or Span(0, size)
        response.content_length = stop - first
        if span is not None:
            response.headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        if request.method == "HEAD":
            return response
        one = await self._admitted(request, asked, span)
        if etag_of(asked.form, one.row) != etag:  # its header was written anew meanwhile
            raise Refused(503, "it was just sealed for other keys; ask again", headers=_AGAIN)
        leave = Leave(self._clock, partial(self._considered, request, asked))
        damaged = partial(self._note_damage, asked, one.row)
        source = partial(self._source, asked.form, one, size)
        try:
            piece, pieces = await begin(self._threads, source, Span(first, stop))
        except NoMatchingIdentity:
            raise Refused(
                409, "no key that is here opens it; fetch the sealed file", "id"
            ) from None
        except (AgeError, ObjectMissing) as error:
            await self._considered(request, asked)  # it may have been erased meanwhile
            log.error("recording_damaged", recording=row.id, reason=str(error))
            damaged(str(error))
            raise Refused(500, f"the recording is damaged: {error}", "id") from error
        except (ObjectStoreError, KeyStoreError, TimeoutError) as error:
            self._unavailable(one.row, error)
        return await send(request, response, self._threads, piece, pieces, leave, damaged)

    def _source(self, form: Form, one: Admitted, size: int) -> Ranges:
        """In a thread."""
        if form == "age":
            return sealed_recording(one.row, self._store)
        key = file_key_of(one.row, one.identities, self._identities)
        plain = PlainRecording(payload_of(one.row, self._store), key)
        if plain.size != size:
            raise AgeError(f"{plain.size} bytes are sealed, of {size} that there should be")
        return plain

    async def _considered(self, request: web.Request, asked: Asked) -> Admitted:
        """Raises Refused, once the refusal is in the audit log."""
        name, now = request.match_info["id"], latest(self._clock)
        found = await self._read(partial(consider, asked=asked, recording=name, now=now))
        if isinstance(found, Refusal):
            note = partial(note_refusal, asked=asked, recording=name, now=now, found=found)
            await self._write(note)
            refuse(found)
        return found

    async def _admitted(self, request: web.Request, asked: Asked, span: Span | None) -> Admitted:
        """Raises Refused; once it returns, the reading is durably in the audit log."""
        name, now = request.match_info["id"], latest(self._clock)
        work = partial(admit, asked=asked, recording=name, now=now, span=span)
        found = await self._write(work)
        if isinstance(found, Refusal):
            refuse(found)
        return found

    async def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            return await self._database.read(query)
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("recordings_not_read", reason=one_line(error))
            raise Refused(
                503, "the recordings cannot be read; ask again", headers=_AGAIN
            ) from error

    async def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._journal.write(work, timeout=self._durable_s)
        except NotDurableError as error:
            log.error("reading_not_logged", reason=str(error))
            raise Refused(
                503, "the reading could not be logged; nothing was read", headers=_AGAIN
            ) from error

    def _note_damage(self, asked: Asked, row: RecordingRow, line: str) -> None:
        now = latest(self._clock)
        self._journal.post(work=partial(note_damage, asked=asked, row=row, now=now, line=line))

    def _unavailable(self, row: RecordingRow, error: Exception) -> NoReturn:
        reason = str(error) or "it took too long"
        log.error("recording_not_read", recording=row.id, reason=reason)
        raise Refused(503, f"the recording cannot be read now: {reason}", headers=_AGAIN)
