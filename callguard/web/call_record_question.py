"""What a request about call records says: which ones, in which form, who asks and why."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

from aiohttp import web
from pydantic import StringConstraints

from callguard.cdr.disclosure import Disclosure, check_held, check_reason
from callguard.cdr.export import ExportError, Form, Format, read_format
from callguard.cdr.reading import Wanted
from callguard.policy.numbers import key_of
from callguard.recording.age import AgeError, parse_recipient
from callguard.recording.playback.access import AccessError
from callguard.web.door import MAX_NUMBER, Question, Refused, Text, understand
from callguard.web.recording_question import check_query, read_named_ground, read_reader

W = TypeVar("W", bound="Which")

MOST: Final = 1_000

Moment = Annotated[str, StringConstraints(max_length=40)]
Words = Annotated[str, StringConstraints(max_length=4_096)]

_ACCEPTED: Final[Mapping[str, Format]] = {
    "text/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}


class Which(Question):
    """Which records. ``since`` and ``until`` have an offset from UTC."""

    tenant: Text = ""
    since: Moment = ""
    until: Moment = ""
    call: Text = ""
    number: Annotated[str, StringConstraints(max_length=MAX_NUMBER)] = ""
    direction: Text = ""
    purpose: Text = ""
    campaign: Text = ""
    agent: Text = ""
    disposition: Text = ""
    held: Annotated[str, StringConstraints(pattern=r"^(yes|no)$")] = "no"
    ground: str = ""
    reason: str = ""
    actor: str = ""


class Listing(Which):
    """A page of them: ``cursor`` is the ``next`` of the page before."""

    cursor: Annotated[str, StringConstraints(max_length=512)] = ""
    limit: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}$")] = "100"


class Exporting(Which):
    """A file of them. ``mask`` is without numbers; ``recipient`` are public keys of age, with
    commas between them, for which it is sealed."""

    format: Text = ""
    mask: Annotated[str, StringConstraints(pattern=r"^(yes|no)$")] = "no"
    as_is: Annotated[str, StringConstraints(pattern=r"^(yes|no)$")] = "no"
    recipient: Words = ""


class One(Question):
    """One call."""

    ground: str = ""
    reason: str = ""
    actor: str = ""


def read_listing(request: web.Request) -> tuple[Disclosure, Listing]:
    """A page of the list; numbers are shown where a reason is given. Raises Refused."""
    asked = _ask(Listing, request)
    return _disclosure(request, asked), asked


def read_export(request: web.Request) -> tuple[Disclosure, Form]:
    """An export, and its form. Raises Refused."""
    asked = _ask(Exporting, request)
    taken = _disclosure(request, asked)
    _check(taken.reason)
    try:
        form = read_format(asked.format) if asked.format else _accepted(request)
    except ExportError as error:
        raise Refused(400, str(error), "format") from error
    try:
        recipients = [parse_recipient(one) for one in asked.recipient.split(",") if one]
    except AgeError as error:
        raise Refused(400, str(error), "recipient") from error
    return taken, Form(form, asked.mask == "yes", asked.as_is == "yes", tuple(recipients))


def read_one(request: web.Request) -> Disclosure:
    """One call; numbers are shown where a reason is given. Raises Refused."""
    check_query(request)
    asked = understand(One, dict(request.query))
    reader, reason = read_reader(request, asked.reason, asked.actor)
    if reason:
        _check(reason)
    wanted = Wanted(call=request.match_info["id"], ground=read_named_ground(request, asked.ground))
    return Disclosure(reader, wanted, reason)


def _ask(model: type[W], request: web.Request) -> W:
    check_query(request)
    return understand(model, dict(request.query))


def _disclosure(request: web.Request, asked: Which) -> Disclosure:
    """The number as it was given: whose it is depends on the tenant. Raises Refused."""
    reader, reason = read_reader(request, asked.reason, asked.actor)
    if reason:
        _check(reason)
    wanted = Wanted(
        tenant=asked.tenant or None,
        since=_moment(asked.since, "since"),
        until=_moment(asked.until, "until"),
        call=asked.call,
        number=asked.number,
        direction=asked.direction,
        purpose=asked.purpose,
        campaign=asked.campaign,
        agent=asked.agent,
        disposition=asked.disposition,
        held=asked.held == "yes",
        ground=read_named_ground(request, asked.ground),
    )
    try:
        check_held(reader, wanted, reason)
    except AccessError as error:
        raise Refused(400, str(error), "reason") from error
    return Disclosure(reader, wanted, reason)


def with_number(asked: Disclosure, region: str) -> Disclosure:
    """The number that is asked for as it is dialled in that region. Raises Refused."""
    number = asked.wanted.number
    if not number:
        return asked
    if not (key := key_of(number, region)):
        raise Refused(400, "it is no telephone number", "number")
    return replace(asked, wanted=replace(asked.wanted, number=key))


def _moment(text: str, where: str) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise Refused(400, "the time has no offset from UTC (a + in an address is %2B)", where)
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refused(400, "it is no ISO 8601 time", where) from error


def _accepted(request: web.Request) -> Format:
    """The first form that the client takes; CSV where it says nothing of them."""
    for part in request.headers.get("Accept", "").lower().split(","):
        media = part.partition(";")[0].strip()
        if media in _ACCEPTED:
            return _ACCEPTED[media]
    return "csv"


def _check(reason: str) -> None:
    try:
        check_reason(reason)
    except AccessError as error:
        raise Refused(400, str(error), "reason") from error
