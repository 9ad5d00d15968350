"""The API: one question, ``POST /api/v1/check``, for programs that hold the token."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from aiohttp import ClientPayloadError, web
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError, from_json

from callguard.gate.preflight import PBX, Checked, Preflight
from callguard.gate.request import MAX_TEXT, Request
from callguard.policy.facts import Channel, Dialler, Purpose
from callguard.web.token import TokenError, is_token, read_token

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/check"
METHODS: Final = ("POST",)

MOST: Final = 10_000
"""Most numbers of one request."""

MOST_EXPLAINED: Final = 1_000
"""Most numbers of one request whose findings are told: they are many times longer."""

MAX_NUMBER: Final = 254
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


_PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=_PLAIN)]
Given = Annotated[str, StringConstraints(max_length=MAX_NUMBER)]


class Asked(BaseModel):
    """The question. Empty texts are as if left out, where they are allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tenant: Text
    numbers: Annotated[list[Given], Field(min_length=1, max_length=MOST, fail_fast=True)] = []
    number: Given = ""
    purpose: Literal["", Purpose] = ""
    channel: Channel = "voice"
    direction: Literal["outbound"] = "outbound"
    caller: Annotated[str, StringConstraints(max_length=MAX_NUMBER, pattern=_PLAIN)] = ""
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


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that gets no verdict. ``where`` is the part of it that is wrong."""

    def __init__(
        self, status: int, error: str, where: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.where = where
        self.headers = headers

    def response(self) -> web.Response:
        told = {"error": str(self), "where": self.where}
        return web.json_response(told, status=self.status, headers=self.headers)


class CheckApi:
    """``POST /api/v1/check``. The token's file is read anew each time, so that it may change."""

    def __init__(self, preflight: Preflight, token_file: Path) -> None:
        self._preflight = preflight
        self._token_file = token_file
        self._running = 0

    async def check(self, request: web.Request) -> web.Response:
        try:
            await self._authorize(request)
            _check_type(request)
            if self._running >= AT_ONCE:
                raise Refused(
                    429, "too many requests are being answered", headers={"Retry-After": "1"}
                )
            self._running += 1
            try:
                return await self._answer(await _body(request))
            finally:
                self._running -= 1
        except Refused as refused:
            return refused.response()

    async def _authorize(self, request: web.Request) -> None:
        try:
            token = await asyncio.to_thread(read_token, self._token_file)
        except TokenError as error:
            raise Refused(503, f"no API token: {error}") from error
        if token is None:
            raise Refused(503, "no API token")
        given = request.headers.getall("Authorization", ())
        scheme, _, credentials = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not is_token(credentials.strip(), token):
            raise Refused(
                401, "the API token is missing or wrong", headers={"WWW-Authenticate": "Bearer"}
            )

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
    try:
        data = from_json(body)
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Refused(400, "the body is not a JSON object")
    unknown = next((key for key in data if key not in Asked.model_fields), None)
    if unknown is not None:
        raise Refused(400, "there is no such key", unknown[:64])
    try:
        asked = Asked.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refused(400, first["msg"], _where(first["loc"])) from error
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


_PHRASES: Final[Mapping[int, str]] = {
    400: "the request is not one that can be read",
    403: "other sites may not ask",
    405: "only POST is answered here",
    421: "callguard does not answer to that name",
    500: "something went wrong; nothing was allowed",
}


def in_json(error: web.HTTPException) -> web.Response:
    """The answer to a request that did not reach the API, or broke in it."""
    headers = {key: value for key, value in error.headers.items() if key == "Allow"}
    text = _PHRASES.get(error.status) or HTTPStatus(error.status).phrase
    return Refused(error.status, text, headers=headers).response()


def _check_type(request: web.Request) -> None:
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise Refused(415, "the body must be application/json, not compressed")


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    if (request.content_length or 0) > MAX_BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_S:.0f} s") from None
    except ClientPayloadError as error:
        raise Refused(400, "the body cannot be read") from error
    return bytes(body)


def _too_large() -> Refused:
    return Refused(413, f"the body is longer than {MAX_BODY} bytes")


def _where(location: tuple[int | str, ...]) -> str:
    """The part of the request that is meant: ``numbers[3]``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")
