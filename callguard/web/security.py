"""Who is answered, and what a browser may do with the answer.

The page has no login: it is for those who sit at this machine. So a name that is not this
machine's is refused (a hostile page could point its own name at a loopback address and read the
answer: DNS rebinding), and other sites may link to the page but not draw on it.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

READING: Final = ("GET", "HEAD")
POSTING: Final = ("POST",)

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Refuses before anything is done. ``hosts`` are names answered beside loopback ones;
    ``posting`` are the paths that are posted to, and take a body."""

    def __init__(self, hosts: Collection[str], posting: Collection[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._posting = frozenset(posting)

    def check(self, request: web.Request) -> None:
        """Raises the HTTPException to answer with."""
        posting = request.path in self._posting
        methods = POSTING if posting else READING
        if request.method not in methods:
            raise web.HTTPMethodNotAllowed(request.method, methods)
        host = _host_of(request.headers.getall("Host", ()))
        if host is None:
            raise web.HTTPBadRequest
        if not (host in self._hosts or is_loopback(host)):
            raise web.HTTPMisdirectedRequest
        if request.body_exists and not posting:
            raise web.HTTPRequestEntityTooLarge(0, 1)
        if _from_elsewhere(request, linked=not posting):
            raise web.HTTPForbidden


async def harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Puts the headers of every answer; a signal, so that no answer can go without."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "callguard"


def is_loopback(host: str) -> bool:
    """Whether a host without port names this machine and no other."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
