"""``/opt-outs``: a person at this machine enters that a subject does not want to be called.

The page has no login, so a form is taken only from a page of ours: the browser says so
(``security.is_own``), and the form carries a mark that only such a page was given. The mark is
made of a cookie that no other site can read or send and of a secret of this process.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from secrets import token_bytes, token_urlsafe
from typing import Final
from urllib.parse import parse_qs

import structlog
from aiohttp import web

from callguard.gate.opt_out import enter_new
from callguard.gate.room import Gate
from callguard.optout.events import OptOutError, OptOutEvent
from callguard.policy.numbers import MAX_TEXT as MAX_NUMBER
from callguard.policy.numbers import mask
from callguard.web.door import FORM, Refused, check_type, read_body
from callguard.web.pages import Pages, language_of
from callguard.web.security import Opening, is_own
from callguard.web.subjects import subject_of

log = structlog.get_logger(__name__)

PATH: Final = "/opt-outs"
COOKIE: Final = "callguard-form"
MAX_BODY: Final = 8_192
BODY_S: Final = 10.0
MAX_REASON: Final = 500
MOST_TENANTS: Final = 1_000
ALL: Final = "*"
"""What stands for all tenants; no tenant is called so."""

_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """What the form shows. ``said`` is what became of the last one: ``entered``, ``already``,
    ``bad``, ``long``, ``unknown``, ``old``, ``lost``, or nothing. What was typed is given back
    where it was not entered; ``subject`` is masked."""

    mark: str
    tenants: tuple[str, ...]
    path: str = PATH
    all: str = ALL
    said: str = ""
    subject: str = ""
    tenant: str = ""
    number: str = ""
    reason: str = ""
    max_number: int = MAX_NUMBER
    max_reason: int = MAX_REASON


class OptOutDesk:
    """Enters what the form says, for the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def tenants(self) -> tuple[str, ...]:
        """The tenants' ids, to choose from."""
        return tuple(sorted(tenant.id for tenant in self._gate.tenants.all())[:MOST_TENANTS])

    async def enter(self, tenant: str, number: str, reason: str) -> tuple[str, str]:
        """What became of it, as ``Form.said`` has it, and the subject, masked."""
        owner = self._gate.tenants.get(tenant)
        if tenant != ALL and owner is None:
            return "unknown", ""
        subject = subject_of(number, self._gate, owner)
        if not subject:
            return "bad", ""
        event = OptOutEvent(
            subject=subject,
            tenant=None if owner is None else owner.id,
            standing=True,
            way="page",
            actor="page",
            at=self._gate.clock.now(),
            reason=reason or None,
        )
        try:
            new = await enter_new(self._gate, [event])
        except OptOutError as error:
            log.error("opt_out_refused", subject=mask(subject), reason=str(error))
            return "lost", mask(subject)
        if new is None:
            return "lost", mask(subject)
        return ("entered" if new[0] else "already"), mask(subject)


class OptOutPage:
    """The form, on a page of its own and on the status page."""

    openings: Final = (Opening(PATH, ("GET", "HEAD", "POST"), page=True),)

    def __init__(self, desk: OptOutDesk, pages: Pages) -> None:
        self._desk = desk
        self._pages = pages
        self._secret = token_bytes(32)

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.show), web.post(PATH, self.take)]

    def form(self, request: web.Request) -> tuple[Form, Callable[[web.StreamResponse], None]]:
        """An empty form for whoever asks, and what sends the cookie that belongs to it. The cookie
        is for this session and this site only."""
        cookie = _cookie_of(request) or token_urlsafe(32)

        def bind(response: web.StreamResponse) -> None:
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", path="/")

        return Form(self._mark(cookie), self._desk.tenants()), bind

    async def show(self, request: web.Request) -> web.Response:
        """``GET /opt-outs``."""
        form, bind = self.form(request)
        response = self._answer(request, form)
        bind(response)
        return response

    async def take(self, request: web.Request) -> web.Response:
        """``POST /opt-outs``. Raises HTTPForbidden for a form that is not ours."""
        if not is_own(request):
            raise web.HTTPForbidden
        try:
            check_type(request, FORM)
            said = _fields(await read_body(request, most=MAX_BODY, within=BODY_S))
        except Refused as refused:
            raise _as_page(refused.status) from refused
        form, bind = self.form(request)
        tenant, number, reason = (said.get(name, "") for name in ("tenant", "number", "reason"))
        if not hmac.compare_digest(said.get("mark", "").encode(), form.mark.encode()):
            outcome, subject = "old", ""
        elif len(reason) > MAX_REASON:
            outcome, subject = "long", ""
        else:
            outcome, subject = await self._desk.enter(tenant, number, " ".join(reason.split()))
        form = replace(form, said=outcome, subject=subject)
        if outcome not in ("entered", "already"):
            form = replace(form, tenant=tenant, number=number, reason=reason)
        response = self._answer(request, form, _STATUS.get(outcome, 200))
        bind(response)
        return response

    def _mark(self, cookie: str) -> str:
        return hmac.new(self._secret, cookie.encode(), sha256).hexdigest()

    def _answer(self, request: web.Request, form: Form, status: int = 200) -> web.Response:
        text = self._pages.opt_outs(form, language_of(request))
        return web.Response(text=text, status=status, content_type="text/html")


_STATUS: Final[Mapping[str, int]] = {
    "bad": 400,
    "long": 400,
    "unknown": 400,
    "old": 403,
    "lost": 503,
}


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


def _as_page(status: int) -> web.HTTPException:
    if status == 413:
        return web.HTTPRequestEntityTooLarge(MAX_BODY, MAX_BODY + 1)
    return web.HTTPBadRequest()
