"""The API: one question, ``POST /api/v1/check``, for programs that hold the token."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from aiohttp import web
from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from callguard.gate.preflight import PBX, Checked, Preflight
from callguard.gate.request import Request
from callguard.policy.facts import Channel, Dialler, Purpose
from callguard.web.door import (
    JSON,
    MAX_NUMBER,
    PLAIN,
    Doorkeeper,
    Given,
    Question,
    Refused,
    Text,
    check_type,
    read_body,
    read_object,
    understand,
)
from callguard.web.security import Opening

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/check"
METHODS: Final = ("POST",)

MOST: Final = 10_000
"""Most numbers of one request."""

MOST_EXPLAINED: Final = 1_000
"""Most numbers of one request whose findings are told: they are many times longer."""

MAX_BODY: Final = 2 * 1024 * 1024
BODY_S: Final = 10.0
"""How long a request may take to come in."""

AT_ONCE: Final = 4
"""Most requests answered at a time."""

_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise PydanticCustomError("moment", "a time is told as text")
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError("moment", "it is no ISO 8601 time") from error
    if at.tzinfo is None:
        raise PydanticCustomError("moment", "the time has no offset from UTC")
    if not _FIRST <= at < _LAST:
        raise PydanticCustomError("moment", "the time is not of the years 2000 to 2099")
    return at.astimezone(UTC)


class Asked(Question):
    """The question. Empty texts are as if left out, where they are allowed."""

    tenant: Text
    numbers: Annotated[list[Given], Field(min_length=1, max_length=MOST, fail_fast=True)] = Field(
        default_factory=list
    )
    number: Given = ""
    purpose: Literal["", Purpose] = ""
    channel: Channel = "voice"
    direction: Literal["outbound"] = "outbound"
    caller: Annotated[str, StringConstraints(max_length=MAX_NUMBER, pattern=PLAIN)] = ""
    campaign: Text = ""
    debt: Text = ""
    agent: Text = ""
    dialler: Dialler = "agent"
    at: Annotated[datetime | None, BeforeValidator(_moment)] = None
    count: bool = False
    explain: bool = False

    @property
    def listed(self) -> list[str]:
        return self.numbers or [self.number]

    @property
    def about(self) -> Request:
        """The question to the gate, but for the number."""
        return Request(
            direction=self.direction,
            pbx=PBX,
            uniqueid="",
            channel="",
            number="",
            caller=self.caller,
            tenant=self.tenant,
            purpose=self.purpose,
            campaign=self.campaign,
            agent=self.agent,
            account_code="",
            debt=self.debt,
            dialler=self.dialler,
            contact_channel=self.channel,
        )


class CheckApi:
    """``POST /api/v1/check``. The token's file is read anew each time, so that it may change."""

    openings: Final = (Opening(PATH, METHODS),)

    def __init__(self, preflight: Preflight, token_file: Path) -> None:
        self._preflight = preflight
        self._keeper = Doorkeeper(token_file, most=AT_ONCE)

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self.check)]

    async def check(self, request: web.Request) -> web.Response:
        try:
            await self._keeper.authorize(request)
            check_type(request, JSON)
            with self._keeper.place():
                return await self._answer(await read_body(request, most=MAX_BODY, within=BODY_S))
        except Refused as refused:
            return refused.response()

    async def _answer(self, body: bytes) -> web.Response:
        asked = read_question(body)
        if not self._preflight.knows(asked.tenant):
            raise Refused(400, "no tenant of this id is known", "tenant")
        numbers, about = asked.listed, asked.about

        def tell(checked: Checked) -> bytes:
            return told(checked, explained=asked.explain)

        if asked.count:
            answers = await self._preflight.count(about, numbers, tell)
        else:
            answers = await self._preflight.look(about, numbers, tell, at=asked.at)
        log.info(
            "checked",
            tenant=asked.tenant,
            counted=asked.count,
            allowed=answers.allowed,
            blocked=answers.blocked,
        )
        head = json.dumps({"tenant": asked.tenant, "at": answers.at.isoformat()})
        tail = json.dumps({"allowed": answers.allowed, "blocked": answers.blocked})
        results = b", ".join(answers.told)
        text = b'%s, "results": [%s], %s' % (head[:-1].encode(), results, tail[1:].encode())
        return web.Response(body=text, content_type="application/json", charset="utf-8")


def read_question(body: bytes) -> Asked:
    """Raises Refused for the first thing that is wrong, without the figures in it."""
    asked = understand(Asked, read_object(body))
    given = asked.model_fields_set & {"number", "numbers"}
    if len(given) != 1:
        raise Refused(400, "either a number or a list of numbers is needed", "numbers")
    if asked.count and asked.at is not None:
        raise Refused(400, "what is counted is decided for this moment and no other", "at")
    if asked.explain and len(asked.listed) > MOST_EXPLAINED:
        reason = f"at most {MOST_EXPLAINED:,} numbers are explained in one request"
        raise Refused(400, reason, "explain")
    return asked


def told(checked: Checked, *, explained: bool) -> bytes:
    """One result as JSON."""
    result: dict[str, object] = {
        "number": checked.number,
        "verdict": checked.verdict,
        "reasons": checked.reasons,
        "rules": checked.rules,
        "obligations": checked.obligations,
        "cause": checked.cause,
    }
    if checked.call is not None:
        result["call"] = checked.call
    if explained:
        result["findings"] = [finding.as_json() for finding in checked.findings]
    return json.dumps(result).encode()
