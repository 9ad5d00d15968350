"""Forms on a page without a login. A form is taken only from a page of ours: the browser says so
(``security.is_own``), and the form carries a mark that only such a page was given. The mark is made
of a cookie that no other site can read or send and of a secret of this process."""

import hmac
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from secrets import token_bytes, token_urlsafe
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from callguard.web.door import FORM, Refused, check_type, read_body
from callguard.web.security import is_own

COOKIE: Final = "callguard-form"
MARK: Final = "mark"
"""The field that holds the mark."""

MAX_BODY: Final = 8_192
BODY_S: Final = 10.0

_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Marks:
    """Makes the marks of forms, and tells which were."""

    def __init__(self) -> None:
        self._secret = token_bytes(32)

    def of(self, request: web.Request) -> tuple[str, Callable[[web.StreamResponse], None]]:
        """The mark for whoever asks, and what sends the cookie that belongs to it. The cookie is
        for this session and this site only."""
        cookie = _cookie_of(request) or token_urlsafe(32)

        def bind(response: web.StreamResponse) -> None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", path="/")

        return self._mark(cookie), bind

    def is_marked(self, request: web.Request, fields: Mapping[str, str]) -> bool:
        """Whether a form carries the mark of whoever sends it."""
        cookie = _cookie_of(request)
        mark = self._mark(cookie) if cookie else ""
        given = fields.get(MARK, "")
        return bool(mark) and hmac.compare_digest(given.encode(), mark.encode())

    def _mark(self, cookie: str) -> str:
        return hmac.new(self._secret, cookie.encode(), sha256).hexdigest()


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form that a page of ours sent; one that comes twice is none. Raises
    HTTPForbidden for a form that is not ours, HTTPBadRequest and HTTPRequestEntityTooLarge."""
    if not is_own(request):
        raise web.HTTPForbidden
    try:
        check_type(request, FORM)
        return _fields(await read_body(request, most=MAX_BODY, within=BODY_S))
    except Refused as refused:
        if refused.status == 413:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY, MAX_BODY + 1) from refused
        raise web.HTTPBadRequest from refused


def _cookie_of(request: web.Request) -> str:
    cookie = request.cookies.get(COOKIE, "")
    return cookie if _COOKIE.fullmatch(cookie) else ""


def _fields(body: bytes) -> dict[str, str]:
    try:
        text = body.decode("ascii")
        given = parse_qs(text, keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError as error:
        raise Refused(400, "the form cannot be read") from error
    return {name: values[0] for name, values in given.items() if len(values) == 1}
