"""``/api/v1/scrubs``: programs hand in a list, and fetch what of it may be called."""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from aiohttp import ClientPayloadError, web
from pydantic import StringConstraints
from sqlalchemy.exc import SQLAlchemyError

from callguard.gate.room import Gate
from callguard.policy.facts import Channel, Dialler, Purpose
from callguard.retention.holds.covering import HeldError
from callguard.storage.journal import NotDurableError
from callguard.web.door import (
    MAX_NUMBER,
    PLAIN,
    Doorkeeper,
    Question,
    Refused,
    Text,
    check_type,
    json_response,
    understand,
)
from callguard.web.scrub_incoming import Incoming, NoRoomError, ScrubError, TooLongError
from callguard.web.scrub_job import Job
from callguard.web.scrub_jobs import ScrubJobs
from callguard.web.security import Opening

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/scrubs"
ONE: Final = PATH + "/{id}"
FILE: Final = ONE + "/{file}"

CSV: Final = "text/csv"
AT_ONCE: Final = 2
IDLE_S: Final = 30.0
"""How long a list may take to go on coming."""

CHUNK: Final = 1024 * 1024
RETRY_S: Final = 5
ACTOR: Final = "api"

MADE: Final = "list.csv"
FILES: Final = {
    "may-call": MADE,
    "must-not": "list.must-not.csv",
    "cannot-tell": "list.cannot-tell.csv",
}
"""What becomes of a list: by the last part of the address, the file."""

Column = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PLAIN)]


class Asking(Question):
    """How a list is to be scrubbed. What is left out is as ``callguard scrub`` has it."""

    tenant: Text
    purpose: Purpose | None = None
    channel: Channel | None = None
    at: Annotated[str, StringConstraints(max_length=40, pattern=PLAIN)] | None = None
    column: Column | None = None
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    header: Literal["yes", "no"] | None = None
    caller: Annotated[str, StringConstraints(max_length=MAX_NUMBER, pattern=PLAIN)] | None = None
    campaign: Text | None = None
    debt: Text | None = None
    dialler: Dialler | None = None


class ScrubApi:
    """Takes lists in, tells how far they are, hands out what became of them, removes them."""

    openings: Final = (
        Opening(PATH, ("POST",)),
        Opening(ONE, ("GET", "DELETE")),
        Opening(FILE, ("GET",)),
    )

    def __init__(self, gate: Gate, jobs: ScrubJobs, token_file: Path) -> None:
        self._gate = gate
        self._jobs = jobs
        self._keeper = Doorkeeper(token_file, most=AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(PATH, self.take),
            web.get(ONE, self.tell, allow_head=False),
            web.delete(ONE, self.remove),
            web.get(FILE, self.hand_out, allow_head=False),
        ]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/v1/scrubs?tenant=…``, with the list as its body."""
        try:
            await self._keeper.authorize(request)
            check_type(request, CSV)
            asked = self._asked(request)
            with self._keeper.place():
                job = await self._take(request, asked)
        except Refused as refused:
            return refused.response()
        response = json_response(_told(job), 202)
        response.headers["Location"] = f"{PATH}/{job.id}"
        return response

    async def tell(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/scrubs/<id>``."""
        try:
            return json_response(_told(await self._job(request)))
        except Refused as refused:
            return refused.response()

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /api/v1/scrubs/<id>``."""
        try:
            job = await self._job(request)
            # What was begun is done, though whoever asked may leave before the answer.
            removing = asyncio.ensure_future(self._jobs.cancel(job, ACTOR))
            removing.add_done_callback(_heed)
            try:
                return json_response(_told(await asyncio.shield(removing)))
            except HeldError as error:
                raise Refused(409, str(error), "id") from error
            except (NotDurableError, OSError, TimeoutError, SQLAlchemyError) as error:
                log.error("scrub_not_removed", scrub=job.id, reason=str(error))
                raise _again("it is not certain to be gone; ask again") from error
        except Refused as refused:
            return refused.response()

    async def hand_out(self, request: web.Request) -> web.StreamResponse:
        """``GET /api/v1/scrubs/<id>/may-call`` and the others."""
        try:
            job = await self._job(request)
            name = FILES.get(request.match_info["file"])
            if name is None:
                raise Refused(404, f"there is no such file; there are {', '.join(FILES)}", "file")
            file = self._jobs.file(job, name)
            if file is None:
                raise Refused(409, f"the scrub is {job.state}; there is no such file of it", "id")
        except Refused as refused:
            return refused.response()
        log.info("scrub_handed_out", scrub=job.id, file=name)
        headers = {
            "Content-Type": f"{CSV}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{request.match_info["file"]}.csv"',
        }
        return web.FileResponse(file, headers=headers)

    def _asked(self, request: web.Request) -> Asking:
        if len(set(request.query)) != len(request.query):
            raise Refused(400, "a key comes twice")
        asked = understand(Asking, dict(request.query))
        if self._gate.tenants.serving(asked.tenant) is None:
            raise Refused(400, "no tenant of this id is known", "tenant")
        if asked.at is not None:
            _check_moment(asked.at)
        return asked

    async def _take(self, request: web.Request, asked: Asking) -> Job:
        try:
            incoming = self._jobs.begin(request.content_length)
        except ScrubError as error:
            raise _refused(error) from error
        try:
            await self._receive(request, incoming)
            how = asked.model_dump(exclude_none=True, exclude={"tenant"})
            return await self._jobs.add(incoming, asked.tenant, how, ACTOR)
        except ScrubError as error:
            raise _refused(error) from error
        except NotDurableError as error:
            log.error("scrub_not_durable", reason=str(error))
            raise _again("it could not be kept; send it again") from error
        finally:
            await incoming.give_up()

    async def _receive(self, request: web.Request, incoming: Incoming) -> None:
        waiting = bytearray()
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    part = await request.content.readany()
                waiting += part
                if waiting and (len(waiting) >= CHUNK or not part):
                    await incoming.write(bytes(waiting))
                    waiting.clear()
                if not part:
                    break
        except TimeoutError:
            raise Refused(408, f"nothing more came for {IDLE_S:.0f} s") from None
        except ClientPayloadError as error:
            raise Refused(400, "the body cannot be read") from error
        if incoming.size == 0:
            raise Refused(400, "the list is empty")

    async def _job(self, request: web.Request) -> Job:
        await self._keeper.authorize(request)
        job = self._jobs.get(request.match_info["id"])
        if job is None:
            raise Refused(404, "there is no such scrub, or its time is over", "id")
        return job


class CommandScrubber:
    """Scrubs with ``callguard scrub``, on the settings of the service."""

    def __init__(self, config: Path | None) -> None:
        self._config = config

    def command(self, job: Job, source: Path, out: Path) -> Sequence[str]:
        if self._config is None:
            raise ScrubError("the service was started without a file of settings")
        command = [sys.executable, "-m", "callguard", "scrub", str(source), str(out / MADE)]
        command += [f"--config={self._config}", "--json", "--progress", f"--tenant={job.tenant}"]
        for name, value in sorted(job.asked.items()):
            match name, value:
                case "header", _:
                    command.append("--header" if value == "yes" else "--no-header")
                case "dialler", "machine":
                    command.append("--machine")
                case "dialler", _:
                    pass
                case _:
                    command.append(f"--{name}={value}")
        return command

    def progress(self, line: str) -> tuple[int, int] | None:
        try:
            told = json.loads(line)
            return int(told["rows"]), int(told["bytes"])
        except (ValueError, KeyError, TypeError):
            return None


def _told(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "tenant": job.tenant,
        "state": job.state,
        "asked": dict(job.asked),
        "at": job.at.isoformat(),
        "finished_at": None if job.finished_at is None else job.finished_at.isoformat(),
        "expires_at": job.expires_at.isoformat(),
        "progress": {"rows": job.rows, "bytes": job.read, "of": job.size},
        "summary": job.summary,
        "reason": job.reason,
        "files": [f"{PATH}/{job.id}/{name}" for name in FILES] if job.state == "done" else [],
    }


def _check_moment(text: str) -> None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(400, "it is no ISO 8601 time", "at") from error
    if at.tzinfo is None:
        raise Refused(400, "the time has no offset from UTC", "at")


def _heed(removing: asyncio.Future[Job]) -> None:
    """Takes note of how it ended, where nobody waits for that any more."""
    if not removing.cancelled():
        removing.exception()


def _refused(error: ScrubError) -> Refused:
    if isinstance(error, TooLongError):
        return Refused(413, str(error))
    return Refused(507 if isinstance(error, NoRoomError) else 503, str(error))


def _again(text: str) -> Refused:
    return Refused(503, text, headers={"Retry-After": str(RETRY_S)})
