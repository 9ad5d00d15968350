"""What a request about a recording says: who reads, why and on which ground; and how a refusal is
answered."""

from typing import Final, NoReturn
from urllib.parse import unquote

from aiohttp import web

from callguard.recording.playback.access import (
    MAX_ACTOR,
    AccessError,
    Asked,
    Form,
    Ground,
    Reader,
    Refusal,
    Why,
    is_plain,
    read_ground,
)
from callguard.web.door import Question, Refused, understand

REASON: Final = "Callguard-Reason"
GROUND: Final = "Callguard-Ground"
ACTOR: Final = "Callguard-Actor"

_STATUS: Final = {
    Why.ABSENT: 404,
    Why.ERASED: 410,
    Why.ROLE: 403,
    Why.REASON: 400,
    Why.STATE: 409,
    Why.RESTRICTED: 403,
    Why.KEY: 409,
}
_WHERE: Final = {Why.REASON: "reason", Why.RESTRICTED: "ground"}


class Reading(Question):
    """What may stand in the address instead of a header."""

    reason: str = ""
    ground: str = ""
    actor: str = ""


def read_asked(request: web.Request, form: Form) -> Asked:
    """The reading that is asked for; whoever has the token is the operator. Raises Refused."""
    check_query(request)
    given = understand(Reading, dict(request.query))
    reader, reason = read_reader(request, given.reason, given.actor)
    return Asked(reader, form, reason, read_named_ground(request, given.ground))


def read_named_ground(request: web.Request, in_address: str) -> Ground | None:
    """On which ground what is only stored is read: what the header says, or the address. Raises
    Refused."""
    try:
        return read_ground(_said(request, GROUND, in_address, "ground"))
    except AccessError as error:
        raise Refused(400, str(error), "ground") from error


def read_reader(request: web.Request, reason: str, actor: str) -> tuple[Reader, str]:
    """Who reads and why: what the headers say, or what stands in the address. Raises Refused."""
    why = _said(request, REASON, reason, "reason").strip()
    who = " ".join(_said(request, ACTOR, actor, "actor").split())
    if len(who) > MAX_ACTOR or not is_plain(who):
        raise Refused(400, f"an actor is at most {MAX_ACTOR} plain characters", "actor")
    return Reader(f"api:{who}" if who else "api"), why


def check_query(request: web.Request) -> None:
    """Raises Refused."""
    if len(set(request.query)) != len(request.query):
        raise Refused(400, "a key comes twice")


def refuse(found: Refusal) -> NoReturn:
    """Raises Refused for a reading that may not happen."""
    raise Refused(_STATUS[found.why], found.line, _WHERE.get(found.why, "id"))


def _said(request: web.Request, header: str, in_address: str, name: str) -> str:
    """What a header says in percent-encoded UTF-8, with or without the ``UTF-8''`` of RFC 8187; or
    the address. Raises Refused."""
    given = request.headers.getall(header, [])
    if len(given) + bool(in_address) > 1:
        raise Refused(400, f"the {name} comes twice", name)
    if not given:
        return in_address
    charset, _, rest = given[0].partition("'")
    language, _, text = rest.partition("'")
    extended = charset.lower() == "utf-8" and language.replace("-", "").isalnum() | (not language)
    try:
        said = unquote(text if extended else given[0], errors="strict")
        said.encode()  # bytes that are no UTF-8 come as surrogates
    except UnicodeError:
        raise Refused(400, f"the {name} is not UTF-8", name) from None
    return said
