"""``/api/v1/opt-outs``: programs enter opt-outs, lift one with its proof, and ask for the history
of a subject."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from aiohttp import web
from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.gate.opt_out import enter, enter_new
from callguard.gate.room import Gate
from callguard.optout.events import OptOutError, OptOutEvent
from callguard.optout.standing import history, wishes
from callguard.policy.facts import Channel, OptOut, Purpose
from callguard.policy.numbers import mask
from callguard.storage.faults import one_line
from callguard.tenants.tenant import Tenant
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

PATH: Final = "/api/v1/opt-outs"
LIFT_PATH: Final = "/api/v1/opt-outs/lift"

MOST: Final = 1_000
"""Most numbers of one request."""

MOST_ROWS: Final = 1_000
"""Most rows of a history that are told, the newest."""

MAX_BODY: Final = 512 * 1024
BODY_S: Final = 10.0
AT_ONCE: Final = 4
MAX_SAID: Final = 1_000
RETRY_S: Final = 5

_ONCE: Final = {"Retry-After": str(RETRY_S)}

Said = Annotated[str, StringConstraints(max_length=MAX_SAID, pattern=PLAIN)]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it may not be left blank")
    return text


Proof = Annotated[Said, AfterValidator(_not_blank)]
Purposes = Annotated[list[Purpose], Field(max_length=16)]
Channels = Annotated[list[Channel], Field(max_length=16)]


class Entering(Question):
    """Numbers that opt out. ``tenant`` null means every tenant; empty ``purposes`` mean all, and
    so do empty ``channels``."""

    tenant: Text | None
    numbers: Annotated[list[Given], Field(min_length=1, max_length=MOST, fail_fast=True)] = Field(
        default_factory=list
    )
    number: Given = ""
    purposes: Purposes = Field(default_factory=list)
    channels: Channels = Field(default_factory=list)
    reason: Said = ""
    evidence: Said = ""


class Lifting(Question):
    """One number that may be called again, with its own reason and proof."""

    tenant: Text | None
    number: Given
    reason: Proof
    evidence: Proof
    purposes: Purposes = Field(default_factory=list)
    channels: Channels = Field(default_factory=list)


class Looking(Question):
    """Whose history is asked for, and towards which tenant: towards any where left out."""

    number: Given
    tenant: Text = ""


class OptOutApi:
    """Enters, lifts and tells. Nothing is confirmed before it is durable."""

    openings: Final = (Opening(PATH, ("GET", "POST")), Opening(LIFT_PATH, ("POST",)))

    def __init__(self, gate: Gate, token_file: Path) -> None:
        self._gate = gate
        self._keeper = Doorkeeper(token_file, most=AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(PATH, self.enter),
            web.get(PATH, self.look, allow_head=False),
            web.post(LIFT_PATH, self.lift),
        ]

    async def enter(self, request: web.Request) -> web.Response:
        """``POST /api/v1/opt-outs``."""
        try:
            asked = understand(Entering, await self._object(request))
            with self._keeper.place():
                return await self._enter(asked)
        except Refused as refused:
            return refused.response()

    async def lift(self, request: web.Request) -> web.Response:
        """``POST /api/v1/opt-outs/lift``."""
        try:
            asked = understand(Lifting, await self._object(request))
            with self._keeper.place():
                return await self._lift(asked)
        except Refused as refused:
            return refused.response()

    async def look(self, request: web.Request) -> web.Response:
        """``GET /api/v1/opt-outs?number=…&tenant=…``."""
        try:
            await self._keeper.authorize(request)
            if len(set(request.query)) != len(request.query):
                raise Refused(400, "a key comes twice")
            asked = understand(Looking, dict(request.query))
            with self._keeper.place():
                return await self._look(asked)
        except Refused as refused:
            return refused.response()

    async def _object(self, request: web.Request) -> dict[str, object]:
        await self._keeper.authorize(request)
        check_type(request, JSON)
        return read_object(await read_body(request, most=MAX_BODY, within=BODY_S))

    async def _enter(self, asked: Entering) -> web.Response:
        tenant = self._tenant(asked.tenant)
        if len(asked.model_fields_set & {"number", "numbers"}) != 1:
            raise Refused(400, "either a number or a list of numbers is needed", "numbers")
        given = asked.numbers or [asked.number]
        at = self._gate.clock.now()
        subjects = [subject_of(number, self._gate, tenant) for number in given]
        events = [
            self._event(subject, tenant, at, asked, standing=True)
            for subject in subjects
            if subject
        ]
        try:
            new = await enter_new(self._gate, events)
        except OptOutError as error:
            raise Refused(400, str(error)) from error
        if new is None:
            raise _not_durable()
        outcomes = iter(new)
        results = [
            {"number": number, "result": _result(next(outcomes)) if subject else "bad number"}
            for number, subject in zip(given, subjects, strict=True)
        ]
        told = {
            "tenant": asked.tenant,
            "at": at.isoformat(),
            "results": results,
            "entered": sum(new),
            "already": len(new) - sum(new),
            "bad": len(given) - len(new),
        }
        log.info(
            "opt_outs_entered",
            tenant=asked.tenant,
            entered=told["entered"],
            already=told["already"],
            bad=told["bad"],
        )
        return json_response(told)

    async def _lift(self, asked: Lifting) -> web.Response:
        tenant = self._tenant(asked.tenant)
        subject = subject_of(asked.number, self._gate, tenant)
        if not subject:
            raise Refused(400, "that is no number", "number")
        at = self._gate.clock.now()
        event = self._event(subject, tenant, at, asked, standing=False)
        before = wishes(await self._rows(subject))
        if not any(wish.event.tenant == event.tenant for wish in before):
            raise Refused(409, "no such opt-out stands", "number")
        try:
            if not await enter(self._gate, event):
                raise _not_durable()
        except OptOutError as error:
            raise Refused(400, str(error)) from error
        left = self._gate.opt_outs.of(subject, "" if tenant is None else tenant.id)
        return json_response(
            {
                "tenant": asked.tenant,
                "number": asked.number,
                "result": "lifted",
                "at": at.isoformat(),
                "still_standing": [_scope(wish) for wish in left],
            }
        )

    async def _look(self, asked: Looking) -> web.Response:
        tenant = self._tenant(asked.tenant or None)
        subject = subject_of(asked.number, self._gate, tenant)
        if not subject:
            raise Refused(400, "that is no number", "number")
        rows = await self._rows(subject)
        if tenant is not None:
            rows = [row for row in rows if _binds(row[1], tenant)]
        log.info("opt_outs_looked_up", tenant=asked.tenant or None, subject=mask(subject))
        return json_response(
            {
                "subject": subject,
                "standing": [
                    {
                        **_scope(wish.event),
                        "since": wish.event.at.isoformat(),
                        "way": wish.event.way,
                    }
                    for wish in wishes(rows)
                ],
                "history": [_row(sequence, event) for sequence, event in rows[-MOST_ROWS:]],
            }
        )

    def _tenant(self, tenant_id: str | None) -> Tenant | None:
        if tenant_id is None:
            return None
        tenant = self._gate.tenants.get(tenant_id)
        if tenant is None:
            raise Refused(400, "no tenant of this id is known", "tenant")
        return tenant

    async def _rows(self, subject: str) -> list[tuple[int, OptOutEvent]]:
        def query(connection: Connection) -> list[tuple[int, OptOutEvent]]:
            return history(connection, subject)

        try:
            return await self._gate.database.read(query, timeout=self._gate.durable_s)
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("opt_outs_not_read", reason=one_line(error))
            raise Refused(503, "the opt-outs cannot be read; ask again", headers=_ONCE) from error

    def _event(
        self,
        subject: str,
        tenant: Tenant | None,
        at: datetime,
        asked: Entering | Lifting,
        *,
        standing: bool,
    ) -> OptOutEvent:
        return OptOutEvent(
            subject=subject,
            tenant=None if tenant is None else tenant.id,
            standing=standing,
            way="api",
            actor="api",
            at=at,
            purposes=frozenset(asked.purposes),
            channels=frozenset(asked.channels),
            reason=asked.reason.strip() or None,
            evidence=asked.evidence.strip() or None,
        )


def _result(new: bool) -> Literal["entered", "already"]:
    return "entered" if new else "already"


def _binds(event: OptOutEvent, tenant: Tenant | None) -> bool:
    return event.tenant is None or (tenant is not None and event.tenant == tenant.id)


def _scope(event: OptOutEvent | OptOut) -> dict[str, object]:
    return {
        "tenant": event.tenant,
        "purposes": sorted(event.purposes),
        "channels": sorted(event.channels),
    }


def _row(sequence: int, event: OptOutEvent) -> dict[str, object]:
    return {
        "seq": sequence,
        "at": event.at.isoformat(),
        "opted_out": event.standing,
        **_scope(event),
        "way": event.way,
        "actor": event.actor,
        "call": event.call_id,
        "prompt": event.prompt,
        "reason": event.reason,
        "evidence": event.evidence,
    }


def _not_durable() -> Refused:
    return Refused(503, "it could not be kept; nothing is confirmed, ask again", headers=_ONCE)
