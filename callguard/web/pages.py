"""What is shown, as HTML: the page, the parts of it that live, and the error pages."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Final, Protocol

import aiohttp_jinja2
import jinja2
from aiohttp import web
from babel.numbers import format_decimal
from markupsafe import Markup

from callguard.clock import Clock
from callguard.web.assets import Assets
from callguard.web.form import Marks
from callguard.web.language import LANGUAGES, Language, choose, translations
from callguard.web.reader import StatusError, StatusReader
from callguard.web.status import Status
from callguard.web.words import WORDS

SHOWN_CALLS: Final = 100
SHOWN_VERDICTS: Final = 50
"""Most rows of a table: a page is read by a person, and rendered between two calls."""

SHOWN_PREFIXES: Final = 3
"""Most prefixes of a registry that are named."""

CALL_FORM: Final = "calls-form"
"""By which the buttons beside the calls belong to the form that sends them, wherever it stands."""

RELOAD_S: Final = 10
"""How often a browser without scripts asks again."""

LEASE_S: Final = 3.0
"""The age at which the dialplan no longer trusts the lease."""


def language_of(request: web.Request) -> Language:
    """The language to answer in."""
    return choose(request.query.get("lang", ""), request.headers.get("Accept-Language", ""))


def look(status: Status) -> tuple[Status, bool]:
    """What decides how the live parts look: the status without what differs each second and is
    not shown. Two that are equal render the same."""
    today = status.at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    pbxs = tuple(replace(pbx, lease_age_s=_shown_age(pbx.lease_age_s)) for pbx in status.pbxs)
    return replace(status, at=today, pbxs=pbxs), status.next_purge < status.at


def _shown_age(age: float | None) -> float | None:
    if age is None:
        return None
    return float(round(age)) if age > LEASE_S else 0.0


class Pages:
    """Renders; holds no state of the service. ``acts`` is whether calls have buttons."""

    def __init__(
        self, environment: jinja2.Environment, assets: Assets, *, acts: bool = False
    ) -> None:
        self._environment = environment
        self._assets = assets
        self._acts = acts
        self._warm()

    def context(self, language: Language) -> dict[str, object]:
        """What every template may use."""
        catalog = translations(language.code)

        def word(kind: str, value: str) -> str:
            known = WORDS[kind].get(value)
            return value if known is None else catalog.gettext(known)

        return {
            "language": language,
            "languages": tuple(LANGUAGES.values()),
            "gettext": catalog.gettext,
            "ngettext": catalog.ngettext,
            "word": word,
            "number": lambda value: format_decimal(value, locale=language.code),
            "moment": moment,
            "day": day,
            "asset": self._assets.address,
            "call_buttons": CALL_FORM if self._acts else "",
            "lease_s": LEASE_S,
            "reload_s": RELOAD_S,
            "shown_calls": SHOWN_CALLS,
            "shown_verdicts": SHOWN_VERDICTS,
            "shown_prefixes": SHOWN_PREFIXES,
        }

    def parts(self, status: Status | None, language: Language) -> str:
        """The sections that live updates replace; of an unknown status, only the alarm."""
        return self._render("parts.html", {**self.context(language), "status": status})

    def opt_outs(self, form: object, language: Language) -> str:
        """The page with the form by which a number is opted out, and nothing that reloads."""
        context = {**self.context(language), "form": form, "reloading": False}
        return self._render("opt_outs.html", context)

    def calls(self, form: object, status: Status | None, language: Language) -> str:
        """The page of the calls under way, with what became of an act on one of them."""
        context = {**self.context(language), "call_form": form, "status": status}
        return self._render("calls_page.html", context)

    def error(self, code: int, language: Language, at: datetime) -> str:
        """An error page. ``code`` without words of its own gets the standard ones."""
        text = WORDS["error"].get(str(code))
        phrase = (
            HTTPStatus(code).phrase if text is None else translations(language.code).gettext(text)
        )
        context: Mapping[str, object] = {"code": code, "text": phrase, "at": at}
        return self._render("error.html", {**self.context(language), **context})

    def _warm(self) -> None:
        """Compiles at the start what would else hold up the calls at the first request."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)
        for language in LANGUAGES.values():
            self.parts(None, language)
            format_decimal(0, locale=language.code)

    def _render(self, name: str, context: Mapping[str, object]) -> str:
        return self._environment.get_template(name).render(context)


def moment(at: datetime, near: datetime | None = None) -> Markup:
    """A UTC time, with its day where that is not the day of ``near``."""
    utc = at.astimezone(UTC)
    today = near is not None and utc.date() == near.astimezone(UTC).date()
    text = utc.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")
    iso = utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" dir="ltr">{}</time>').format(iso, text)


def day(date: datetime | date) -> Markup:
    """A day, as everybody reads it in the same way."""
    return Markup('<time datetime="{0}" dir="ltr">{0}</time>').format(date.strftime("%Y-%m-%d"))


class Forms(Protocol):
    """Who has a form that stands on the status page."""

    def form(self, mark: str) -> object:
        """What the form shows, with the mark of whoever asks."""
        ...


class StatusPage:
    """``GET /``. Of the forms those stand on it that there are."""

    def __init__(
        self,
        reader: StatusReader,
        pages: Pages,
        marks: Marks,
        *,
        opt_out: Forms | None = None,
        calls: Forms | None = None,
    ) -> None:
        self._reader = reader
        self._pages = pages
        self._marks = marks
        self._forms = {"form": opt_out, "call_form": calls}

    async def show(self, request: web.Request) -> web.Response:
        """Raises HTTPServiceUnavailable while the state cannot be read."""
        try:
            status = await self._reader.read()
        except StatusError as error:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": str(RELOAD_S)}) from error
        context = {**self._pages.context(language_of(request)), "status": status}
        mark, bind = self._marks.of(request)
        forms = {name: one.form(mark) if one else None for name, one in self._forms.items()}
        context |= {"reloading": True, **forms}
        response = aiohttp_jinja2.render_template("page.html", request, context)
        if any(forms.values()):
            bind(response)
        return response


class ErrorPages:
    """Turns refusals and failures into pages."""

    def __init__(self, pages: Pages, clock: Clock) -> None:
        self._pages = pages
        self._clock = clock

    def answer(self, request: web.Request, error: web.HTTPException) -> web.Response:
        """The page of that error, with the headers that it carries."""
        text = self._pages.error(error.status, language_of(request), self._clock.now())
        headers = {k: v for k, v in error.headers.items() if k in ("Allow", "Retry-After")}
        return web.Response(
            status=error.status, text=text, content_type="text/html", headers=headers
        )
