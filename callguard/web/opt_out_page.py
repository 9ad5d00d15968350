"""``/opt-outs``: a person at this machine enters that a subject does not want to be called. The
page has no login: ``form.py`` says which forms are taken."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog
from aiohttp import web

from callguard.gate.opt_out import enter_new
from callguard.gate.room import Gate
from callguard.optout.events import OptOutError, OptOutEvent
from callguard.policy.numbers import MAX_TEXT as MAX_NUMBER
from callguard.policy.numbers import mask
from callguard.web.form import Marks, read_form
from callguard.web.pages import Pages, language_of
from callguard.web.security import Opening
from callguard.web.subjects import subject_of

log = structlog.get_logger(__name__)

PATH: Final = "/opt-outs"
MAX_REASON: Final = 500
MOST_TENANTS: Final = 1_000
ALL: Final = "*"
"""What stands for all tenants; no tenant is called so."""


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

    def __init__(self, desk: OptOutDesk, pages: Pages, marks: Marks) -> None:
        self._desk = desk
        self._pages = pages
        self._marks = marks

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.show), web.post(PATH, self.take)]

    def form(self, mark: str) -> Form:
        """An empty form."""
        return Form(mark, self._desk.tenants())

    async def show(self, request: web.Request) -> web.Response:
        """``GET /opt-outs``."""
        mark, bind = self._marks.of(request)
        response = self._answer(request, self.form(mark))
        bind(response)
        return response

    async def take(self, request: web.Request) -> web.Response:
        """``POST /opt-outs``. Raises HTTPForbidden for a form that is not ours."""
        said = await read_form(request)
        mark, bind = self._marks.of(request)
        form = self.form(mark)
        tenant, number, reason = (said.get(name, "") for name in ("tenant", "number", "reason"))
        if not self._marks.is_marked(request, said):
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
