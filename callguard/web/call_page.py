"""``/calls``: a person at this machine acts on a call under way. The buttons stand beside each call
on the status page too; what they send comes here. ``form.py`` says which forms are taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from callguard.gate.mid_call import Now, Outcome, Result, act
from callguard.gate.mid_call_rules import ACTIONS, Action
from callguard.gate.room import Gate
from callguard.web.call_api import find_call
from callguard.web.door import Refused
from callguard.web.form import Marks, read_form
from callguard.web.pages import CALL_FORM, Pages, language_of
from callguard.web.reader import StatusError, StatusReader
from callguard.web.security import Opening

PATH: Final = "/calls"


@dataclass(frozen=True, slots=True)
class CallForm:
    """What the form shows. ``said`` is what became of the last act, as ``WORDS`` has it, and
    ``well`` whether that is what was asked for. ``sure`` is a call whose recording is erased once
    that is confirmed."""

    mark: str
    path: str = PATH
    id: str = CALL_FORM
    said: str = ""
    well: bool = False
    sure: str = ""


class CallDesk:
    """Acts for the page."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def act(self, action: Action, call_id: str) -> str:
        """What became of it: a key of ``WORDS["act"]``."""
        try:
            call = await find_call(self._gate, call_id)
        except Refused:
            return "failed"
        if call is None:
            return "gone"
        return said_of(action, await act(self._gate, call, action, "page"))


def said_of(action: Action, outcome: Outcome) -> str:
    """What is said of an outcome."""
    if outcome.result is Result.DONE and outcome.now is not Now.UNCHANGED:
        return outcome.now.value
    if outcome.result is Result.FAILED and action == "optout":
        return "not_opted_out"
    return outcome.result.value


class CallPage:
    """The form of the buttons, and the page that answers them."""

    openings: Final = (Opening(PATH, ("GET", "HEAD", "POST"), page=True),)

    def __init__(self, desk: CallDesk, reader: StatusReader, pages: Pages, marks: Marks) -> None:
        self._desk = desk
        self._reader = reader
        self._pages = pages
        self._marks = marks

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self.show), web.post(PATH, self.take)]

    def form(self, mark: str) -> CallForm:
        """A form with nothing said yet."""
        return CallForm(mark)

    async def show(self, request: web.Request) -> web.Response:
        """``GET /calls``: the calls, on a page that does not reload."""
        mark, bind = self._marks.of(request)
        response = await self._answer(request, CallForm(mark))
        bind(response)
        return response

    async def take(self, request: web.Request) -> web.Response:
        """``POST /calls``. Raises what ``read_form`` does."""
        fields = await read_form(request)
        mark, bind = self._marks.of(request)
        named, _, call_id = fields.get("act", "").partition(" ")
        action = next((one for one in ACTIONS if one == named), None)
        if action is None:
            raise web.HTTPBadRequest
        if not self._marks.is_marked(request, fields):
            form = CallForm(mark, said="old")
        elif action == "withdraw" and fields.get("sure") != "yes":
            form = CallForm(mark, sure=call_id)
        else:
            said = await self._desk.act(action, call_id)
            form = CallForm(mark, said=said, well=said in _WELL)
        response = await self._answer(request, form, _STATUS.get(form.said, 200))
        bind(response)
        return response

    async def _answer(
        self, request: web.Request, form: CallForm, status: int = 200
    ) -> web.Response:
        """What was done is told also where the calls cannot be read."""
        try:
            read = await self._reader.read()
        except StatusError:
            read = None
        text = self._pages.calls(form, read, language_of(request))
        return web.Response(text=text, status=status, content_type="text/html")


_WELL: Final = frozenset({*(now.value for now in Now if now is not Now.UNCHANGED)})
_STATUS: Final[Mapping[str, int]] = {
    "gone": 404,
    "old": 403,
    "refused": 409,
    "failed": 503,
    "not_opted_out": 503,
}
