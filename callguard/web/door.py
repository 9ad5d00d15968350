"""What every door of the API does alike: who may ask, how a body comes in, how many at a time,
and how a refusal looks."""

import asyncio
import binascii
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, TypeVar

from aiohttp import ClientPayloadError, web
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import from_json

from callguard.gate.request import MAX_TEXT
from callguard.web.token import TokenError, is_token, read_token

M = TypeVar("M", bound=BaseModel)

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"

MAX_NUMBER: Final = 254
PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""Neither what steers a terminal nor what turns the order of what stands beside it round."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=PLAIN)]
Given = Annotated[str, StringConstraints(max_length=MAX_NUMBER)]


class Question(BaseModel):
    """What a request asks, strictly: a key that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request that is not carried out. ``where`` is the part of it that is wrong."""

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


class Doorkeeper:
    """Lets in who has the token of a file, ``most`` at a time. The file is read anew each time,
    so that it may change. ``basic`` also takes the token as the password of HTTP Basic
    authentication (RFC 7617), whatever the user's name."""

    def __init__(
        self, token_file: Path, *, most: int, name: str = "API token", basic: bool = False
    ) -> None:
        self._token_file = token_file
        self._most = most
        self._name = name
        self._basic = basic
        self._inside = 0

    async def authorize(self, request: web.Request) -> None:
        """Raises Refused."""
        try:
            token = await asyncio.to_thread(read_token, self._token_file)
        except TokenError as error:
            raise Refused(503, f"no {self._name}: {error}") from error
        if token is None:
            raise Refused(503, f"no {self._name}")
        given = request.headers.getall("Authorization", ())
        scheme, _, credentials = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        said = ""
        if scheme.lower() == "bearer":
            said = credentials.strip()
        elif scheme.lower() == "basic" and self._basic:
            said = _password(credentials.strip())
        if not is_token(said, token):
            challenge = 'Basic realm="callguard"' if self._basic else "Bearer"
            raise Refused(
                401,
                f"the {self._name} is missing or wrong",
                headers={"WWW-Authenticate": challenge},
            )

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place inside, for as long as it is held. Raises Refused where there is none."""
        if self._inside >= self._most:
            raise Refused(429, "too many requests are being answered", headers={"Retry-After": "1"})
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


def check_type(request: web.Request, *types: str) -> None:
    """Raises Refused for a body of none of these types, or one that is compressed."""
    if request.content_type not in types or "Content-Encoding" in request.headers:
        raise Refused(415, f"the body must be {' or '.join(types)}, not compressed")


async def read_body(request: web.Request, *, most: int, within: float) -> bytes:
    """The body: at most so many bytes, in so many seconds. Raises Refused."""
    body = bytearray()
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(within):
            async for part in request.content.iter_any():
                body += part
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {within:.0f} s") from None
    except ClientPayloadError as error:
        raise Refused(400, "the body cannot be read") from error
    return bytes(body)


def read_object(body: bytes) -> dict[str, object]:
    """The JSON object in a body. Raises Refused."""
    try:
        data = from_json(body)
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Refused(400, "the body is not a JSON object")
    return data


def understand(model: type[M], data: Mapping[str, object]) -> M:
    """The question in what was sent. Raises Refused for the first thing that is wrong, without
    the figures in it."""
    unknown = next((key for key in data if key not in model.model_fields), None)
    if unknown is not None:
        raise Refused(400, "there is no such key", unknown[:64])
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refused(400, first["msg"], where(first["loc"])) from error


def where(location: Sequence[int | str]) -> str:
    """The part of the request that is meant: ``numbers[3]``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")


def json_response(told: object, status: int = 200) -> web.Response:
    """An answer in JSON, its text as it is."""
    text = json.dumps(told, ensure_ascii=False)
    return web.Response(text=text, status=status, content_type=JSON, charset="utf-8")


_PHRASES: Final[Mapping[int, str]] = {
    400: "the request is not one that can be read",
    403: "other sites may not ask",
    421: "callguard does not answer to that name",
    500: "something went wrong; nothing was allowed",
}


def in_json(error: web.HTTPException) -> web.Response:
    """The answer to a request that did not reach the API, or broke in it."""
    headers = {key: value for key, value in error.headers.items() if key == "Allow"}
    text = _PHRASES.get(error.status) or HTTPStatus(error.status).phrase
    if "Allow" in headers:
        text = f"only {' and '.join(headers['Allow'].split(','))} is answered here"
    return Refused(error.status, text, headers=headers).response()


def _password(credentials: str) -> str:
    try:
        text = b64decode(credentials, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


def _too_large(most: int) -> Refused:
    return Refused(413, f"the body is longer than {most} bytes")
