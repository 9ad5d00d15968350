"""``/api/v1/holds``: programs place holds, release them and list those that stand."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
from aiohttp import web
from pydantic import AwareDatetime, Field, StringConstraints
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.gate.room import Gate
from callguard.retention.holds.covering import standing
from callguard.retention.holds.placing import (
    MAX_REASON,
    HoldError,
    NewHold,
    add,
    covered,
    due_of,
    find,
    of_case,
    release,
    wishes,
)
from callguard.retention.holds.told import as_told
from callguard.storage.faults import one_line
from callguard.storage.journal import NotDurableError
from callguard.web.door import (
    JSON,
    PLAIN,
    Doorkeeper,
    Given,
    Question,
    Refused,
    Text,
    check_type,
    json_response,
    read_body,
    read_object,
    understand,
)
from callguard.web.security import Opening
from callguard.web.subjects import subject_of

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/holds"
RELEASE_PATH: Final = "/api/v1/holds/release"

MOST: Final = 1_000
"""Most holds that one request releases."""

ACTOR: Final = "api"
MAX_BODY: Final = 128 * 1024
BODY_S: Final = 10.0
COUNT_S: Final = 30.0
"""How long what is covered is counted; where there is very much, it is not said."""

AT_ONCE: Final = 4
_ONCE: Final = {"Retry-After": "5"}

Moment = Annotated[AwareDatetime, Field(strict=False)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON, pattern=PLAIN)]


class Placing(Question):
    """What is to be kept: each part that is named must match."""

    reason: Why
    review: Moment
    tenant: Text | None = None
    subject: Given | None = None
    call: Text | None = None
    case: Text | None = None
    from_: Moment | None = None
    to: Moment | None = None
    everything: bool = False


class Releasing(Question):
    """Which holds, or those of which case."""

    holds: Annotated[list[Text], Field(max_length=MOST)] = Field(default_factory=list)
    case: Text = ""


class Listing(Question):
    """Only those of a tenant, with those that name none, or of a case."""

    tenant: Text = ""
    case: Text = ""


class HoldApi:
    """Nothing is said to be kept before that is durable."""

    openings: Final = (Opening(PATH, ("GET", "POST")), Opening(RELEASE_PATH, ("POST",)))

    def __init__(self, gate: Gate, token_file: Path) -> None:
        self._gate = gate
        self._keeper = Doorkeeper(token_file, most=AT_ONCE)
        self._counting = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(PATH, self.place),
            web.get(PATH, self.look, allow_head=False),
            web.post(RELEASE_PATH, self.release),
        ]

    async def place(self, request: web.Request) -> web.Response:
        """``POST /api/v1/holds``."""
        try:
            sent = await self._object(request)
            if "from" in sent:
                sent = {"from_" if key == "from" else key: one for key, one in sent.items()}
            asked = understand(Placing, sent)
            with self._keeper.place():
                return await self._place(asked)
        except Refused as refused:
            return refused.response()

    async def release(self, request: web.Request) -> web.Response:
        """``POST /api/v1/holds/release``."""
        try:
            asked = understand(Releasing, await self._object(request))
            with self._keeper.place():
                return await self._release(asked)
        except Refused as refused:
            return refused.response()

    async def look(self, request: web.Request) -> web.Response:
        """``GET /api/v1/holds?tenant=…&case=…``."""
        try:
            await self._keeper.authorize(request)
            if len(set(request.query)) != len(request.query):
                raise Refused(400, "a key comes twice")
            asked = understand(Listing, dict(request.query))
            with self._keeper.place():
                rows = await self._read(standing)
        except Refused as refused:
            return refused.response()
        now = self._gate.clock.now()
        told = [
            as_told(row, now)
            for row in rows
            if (not asked.tenant or row.tenant_id in (None, asked.tenant))
            and (not asked.case or row.case_id == asked.case)
        ]
        return json_response({"holds": told})

    async def _object(self, request: web.Request) -> dict[str, object]:
        await self._keeper.authorize(request)
        check_type(request, JSON)
        return read_object(await read_body(request, most=MAX_BODY, within=BODY_S))

    async def _place(self, asked: Placing) -> web.Response:
        tenant = self._gate.tenants.get(asked.tenant) if asked.tenant else None
        subject = None
        if asked.subject is not None:
            subject = subject_of(asked.subject, self._gate, tenant)
            if not subject:
                raise Refused(400, "that is no number", "subject")
        now = self._gate.clock.now()
        new = NewHold(
            reason=asked.reason,
            author=ACTOR,
            review_at=asked.review.astimezone(UTC),
            tenant=asked.tenant,
            subject=subject,
            call=asked.call,
            case=asked.case,
            from_at=_in_utc(asked.from_),
            to_at=_in_utc(asked.to),
            everything=asked.everything,
        )
        placed = await self._write(partial(add, new=new, at=now))
        row = await self._read(partial(find, hold_id=placed.id))
        covers = await self._counted(partial(covered, hold=row))
        log.info("hold_placed", hold=placed.id, tenant=asked.tenant, already=placed.already)
        told = {**as_told(row, now), "already": placed.already, "covers": covers}
        return json_response(told, 200 if placed.already else 201)

    async def _release(self, asked: Releasing) -> web.Response:
        if bool(asked.holds) == bool(asked.case):
            raise Refused(400, "either holds or a case are named", "holds")
        now = self._gate.clock.now()

        def known(connection: Connection) -> tuple[list[str], dict[str, datetime]]:
            ids = asked.holds or of_case(connection, asked.case)
            return ids, wishes(connection, ids)

        ids, wished = await self._read(known)
        work = partial(release, hold_ids=ids, at=now, actor=ACTOR, wished=wished)
        rows = await self._write(work)
        due = await self._counted(partial(due_of, rows=rows, now=now))
        log.info("holds_released", count=len(rows))
        return json_response({"released": [row.id for row in rows], "due": due})

    async def _write(self, work: Any) -> Any:
        try:
            return await self._gate.journal.write(work, timeout=self._gate.durable_s)
        except HoldError as error:
            raise Refused(409, str(error)) from error
        except NotDurableError as error:
            log.error("hold_not_durable", reason=one_line(error))
            raise Refused(
                503, "it could not be kept; nothing has changed for certain, ask again",
                headers=_ONCE,
            ) from error  # fmt: skip

    async def _read(self, query: Any) -> Any:
        try:
            return await self._gate.database.read(query, timeout=self._gate.durable_s)
        except HoldError as error:
            raise Refused(409, str(error)) from error
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("holds_not_read", reason=one_line(error))
            raise Refused(503, "the holds cannot be read; ask again", headers=_ONCE) from error

    async def _counted(self, query: Any) -> dict[str, int] | None:
        """None where it takes too long, or somebody else counts: what was asked for is done all
        the same, and who reads at call time is not kept waiting."""
        if self._counting.locked():
            return None
        async with self._counting:
            try:
                counts: dict[str, int] = await self._gate.database.read(query, timeout=COUNT_S)
            except (SQLAlchemyError, TimeoutError):
                return None
        return counts


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
