"""``/api/v1/calls``: programs see the calls under way, pause, resume, stop and erase their
recordings, and opt their subjects out."""

from pathlib import Path
from typing import Final, Literal

import structlog
from aiohttp import web
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from callguard.gate.callbook import Call
from callguard.gate.mid_call import Outcome, Result, act
from callguard.gate.mid_call_rules import Action
from callguard.gate.room import Gate
from callguard.ids import is_call_id
from callguard.storage.faults import one_line
from callguard.web.door import (
    JSON,
    Doorkeeper,
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
from callguard.web.status import LiveCall, LiveCallSource

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/calls"
RECORDING_PATH: Final = "/api/v1/calls/{call}/recording"
OPT_OUT_PATH: Final = "/api/v1/calls/{call}/opt-out"

MOST: Final = 1_000
"""Most calls that are told of, the oldest."""

MAX_BODY: Final = 4_096
BODY_S: Final = 5.0
AT_ONCE: Final = 32
_AGAIN: Final = {"Retry-After": "1"}


class Acting(Question):
    """What is to become of a recording. ``actor`` is who asked for it, for the record."""

    action: Literal["pause", "resume", "stop", "withdraw"]
    actor: Text = ""


class OptingOut(Question):
    """Who asked for it, for the record."""

    actor: Text = Field(default="")


class Listing(Question):
    """Whose calls; everybody's where left out."""

    tenant: Text = ""


class CallApi:
    """Tells of calls and acts on them. What is said to be done is in effect."""

    openings: Final = (
        Opening(PATH, ("GET",)),
        Opening(RECORDING_PATH, ("POST",)),
        Opening(OPT_OUT_PATH, ("POST",)),
    )

    def __init__(self, gate: Gate, source: LiveCallSource, token_file: Path) -> None:
        self._gate = gate
        self._source = source
        self._keeper = Doorkeeper(token_file, most=AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.show, allow_head=False),
            web.post(RECORDING_PATH, self.act),
            web.post(OPT_OUT_PATH, self.opt_out),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """``GET /api/v1/calls?tenant=…``."""
        try:
            await self._keeper.authorize(request)
            if len(set(request.query)) != len(request.query):
                raise Refused(400, "a key comes twice")
            asked = understand(Listing, dict(request.query))
            with self._keeper.place():
                return await self._show(asked)
        except Refused as refused:
            return refused.response()

    async def act(self, request: web.Request) -> web.Response:
        """``POST /api/v1/calls/<id>/recording``."""
        try:
            asked = understand(Acting, await self._object(request))
            with self._keeper.place():
                return await self._act(request, asked.action, asked.actor)
        except Refused as refused:
            return refused.response()

    async def opt_out(self, request: web.Request) -> web.Response:
        """``POST /api/v1/calls/<id>/opt-out``."""
        try:
            asked = understand(OptingOut, await self._object(request))
            with self._keeper.place():
                return await self._act(request, "optout", asked.actor)
        except Refused as refused:
            return refused.response()

    async def _object(self, request: web.Request) -> dict[str, object]:
        await self._keeper.authorize(request)
        check_type(request, JSON)
        return read_object(await read_body(request, most=MAX_BODY, within=BODY_S))

    async def _show(self, asked: Listing) -> web.Response:
        try:
            found = await self._source.live_calls()
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("live_calls_not_read", reason=one_line(error))
            raise Refused(503, "the calls cannot be read; ask again", headers=_AGAIN) from error
        wanted = [call for call in found if asked.tenant in ("", call.tenant)]
        return json_response(
            {"calls": [_told(call) for call in wanted[:MOST]], "total": len(wanted)}
        )

    async def _act(self, request: web.Request, action: Action, actor: str) -> web.Response:
        call = await find_call(self._gate, request.match_info["call"])
        if call is None:
            raise Refused(404, "no call of this id is under way", "id")
        outcome = await act(self._gate, call, action, "api", name=" ".join(actor.split()))
        _check(outcome)
        told = {"call": call.id, "action": action, "result": outcome.result, "now": outcome.now}
        return json_response(told, 202 if outcome.result is Result.PENDING else 200)


async def find_call(gate: Gate, call_id: str) -> Call | None:
    """The call of that id that is under way. Raises Refused where that cannot be known."""
    if not is_call_id(call_id):
        return None
    try:
        return await gate.recall(call_id)
    except (SQLAlchemyError, TimeoutError) as error:
        log.error("call_not_read", reason=one_line(error))
        raise Refused(503, "the calls cannot be read; ask again", headers=_AGAIN) from error


def _check(outcome: Outcome) -> None:
    if outcome.result is Result.REFUSED:
        raise Refused(409, "whoever is recorded has ended that: it is not resumed", "action")
    if outcome.result is Result.FAILED:
        raise Refused(503, "that could not be done; ask again", headers=_AGAIN)


def _told(call: LiveCall) -> dict[str, object]:
    return {
        "id": call.id,
        "tenant": call.tenant,
        "direction": call.direction,
        "purpose": call.purpose,
        "subject": call.subject,
        "since": call.since.isoformat(),
        "recording": call.recording,
        "reasons": list(call.reasons),
        "consent": call.consent or None,
        "mode": call.mode or None,
    }
