"""Who is answered, and what a browser may do with the answer.

The page has no login: it is for those who sit at this machine. So a name that is not this
machine's is refused (a hostile page could point its own name at a loopback address and read the
answer: DNS rebinding), and other sites may link to the page but not draw on it.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from callguard.loopback import is_loopback

READING: Final = ("GET", "HEAD")
BODIES: Final = ("POST",)
"""The methods that may bring a body."""

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Opening:
    """A path that is more than read. ``path`` may hold parts in braces, as aiohttp's routes do;
    ``methods`` are those it answers. ``page`` is whether people come there by links and read the
    answer: then it may be linked to from elsewhere, and refusals are pages; programs get JSON."""

    path: str
    methods: tuple[str, ...]
    page: bool = False


class Guard:
    """Refuses before anything is done. ``hosts`` are names answered beside loopback ones;
    whatever path is none of the ``openings`` is only read."""

    def __init__(self, hosts: Collection[str], openings: Iterable[Opening] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._openings = tuple((_matcher(opening.path), opening) for opening in openings)

    def opening(self, path: str) -> Opening | None:
        """The opening that a path belongs to."""
        return next((found for match, found in self._openings if match.fullmatch(path)), None)

    def check(self, request: web.Request) -> None:
        """Raises the HTTPException to answer with."""
        opening = self.opening(request.path)
        methods = READING if opening is None else opening.methods
        if request.method not in methods:
            raise web.HTTPMethodNotAllowed(request.method, methods)
        host = _host_of(request.headers.getall("Host", ()))
        if host is None:
            raise web.HTTPBadRequest
        if not (host in self._hosts or is_loopback(host)):
            raise web.HTTPMisdirectedRequest
        if request.body_exists and (opening is None or request.method not in BODIES):
            raise web.HTTPRequestEntityTooLarge(0, 1)
        linked = (opening is None or opening.page) and request.method in READING
        if _from_elsewhere(request, linked=linked):
            raise web.HTTPForbidden


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Puts the headers of every answer; a signal, so that no answer can go without."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "callguard"


def is_own(request: web.Request) -> bool:
    """Whether a form was sent by a page of ours, as far as the browser tells: it names the site
    that sent it, or else the origin. A browser that tells neither is not taken at its word. The
    origin of our own pages is ``null``, because they send no referrer (Fetch, section 3.2)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin in ("null", f"http://{request.host}")


def _matcher(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^{}]*\}", path)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))


def _host_of(headers: Collection[str]) -> str | None:
    """The host without port, or None where there is not exactly one."""
    if len(headers) != 1:
        return None
    (text,) = headers
    try:
        parts = urlsplit(f"//{text}")
        valid = parts.netloc == text and "@" not in text and parts.port != 0
    except ValueError:
        return None
    return (parts.hostname or "").removesuffix(".") or None if valid else None


def _from_elsewhere(request: web.Request, *, linked: bool) -> bool:
    """Whether a page of another site draws on us; following a link to us is no such thing, where
    that is what the path is for (``linked``)."""
    headers = request.headers
    following = linked and headers.get("Sec-Fetch-Mode") == "navigate"
    return headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not following
