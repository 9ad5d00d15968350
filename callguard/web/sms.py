"""``POST /api/v1/sms``: a gateway hands in the text messages that people send back.

A message to stop opts out of every call and message of the tenant it was sent to, for revoking in
any reasonable way ends them all (47 CFR 64.1200(a)(10)); one to start lifts that. The answer holds
the text that confirms it, once it is durable and not before: until then the gateway gets 503 and
hands it in again. A message that comes twice counts once.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import structlog
from aiohttp import web

from callguard.config import Sms
from callguard.gate.opt_out import enter_new, enter_once
from callguard.gate.room import Gate
from callguard.optout.events import OptOutError, OptOutEvent
from callguard.optout.words import ENGLISH, Command, read_command, shipped_words
from callguard.policy.numbers import mask, parse_number
from callguard.tenants.tenant import Tenant
from callguard.web.door import (
    FORM,
    JSON,
    Doorkeeper,
    Refused,
    check_type,
    read_body,
    read_object,
)
from callguard.web.security import Opening
from callguard.web.subjects import sender_of

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/sms"
MAX_BODY: Final = 64 * 1024
BODY_S: Final = 10.0
AT_ONCE: Final = 64
IN_WORK: Final = 8
"""Most messages whose wishes are written at a time, so that verdicts of calls are kept between."""

MAX_FIELDS: Final = 128
MAX_NUMBER: Final = 254
MAX_ID: Final = 200
RETRY_S: Final = 5

Sort = Literal["json", "text", "twiml"]


@dataclass(frozen=True, slots=True)
class Message:
    """A text message as the gateway tells it; ``id`` is the gateway's, empty where it gives
    none."""

    sender: str
    to: str
    text: str
    id: str


class SmsDoor:
    """Takes messages in for the gate. ``token_file`` holds what the gateway shows, as a Bearer
    token or as the password of HTTP Basic authentication."""

    openings: Final = (Opening(PATH, ("POST",)),)

    def __init__(self, gate: Gate, settings: Sms, token_file: Path) -> None:
        self._gate = gate
        self._settings = settings
        self._keeper = Doorkeeper(token_file, most=AT_ONCE, name="SMS token", basic=True)
        self._in_work = asyncio.Semaphore(IN_WORK)

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """``POST /api/v1/sms``."""
        try:
            await self._keeper.authorize(request)
            check_type(request, JSON, FORM)
            with self._keeper.place():
                body = await read_body(request, most=MAX_BODY, within=BODY_S)
                sent = _sent(request, body)
                message = read_message(sent, self._settings)
                reply = await self._take(message)
                return answer(reply, _sort(request, sent))
        except Refused as refused:
            return refused.response()

    async def _take(self, message: Message) -> str:
        """The text to send back; empty where there is none. Raises Refused."""
        tenant = self._tenant(message.to)
        languages = () if tenant is None else _languages(tenant)
        command = read_command(message.text, languages)
        if command is None:
            log.info("sms_not_a_command", to=mask_any(message.to))
            return ""
        subjects = sender_of(message.sender, self._gate, tenant)
        if not subjects:
            self._gate.counts.fault("opt_out_without_number")
            log.warning("sms_without_sender", meaning=command.meaning)
            raise Refused(422, "the sender is no number", "from")
        which = await self._obey(command, message, subjects, tenant)
        if not self._settings.confirm or not which:
            return ""
        name = "" if tenant is None else tenant.name
        text = shipped_words()[command.language].reply(which, name)
        return text if name else text.lstrip(" :").strip()

    async def _obey(
        self, command: Command, message: Message, subjects: Sequence[str], tenant: Tenant | None
    ) -> str:
        """Which reply to give."""
        if command.meaning == "help":
            return "help" if tenant is not None else ""
        if tenant is None:
            self._gate.counts.fault("sms_to_unknown_number")
            log.error("sms_to_unknown_number", to=mask_any(message.to), meaning=command.meaning)
            if command.meaning == "start":
                raise Refused(422, "no tenant has the number that it was sent to", "to")
        if command.meaning == "start" and len(subjects) > 1:
            # One of them has said nothing, and what it once wished stands.
            raise Refused(422, "the sender may be two numbers; write it with its plus", "from")
        if command.meaning == "stop":
            await self._enter(command, message, subjects, tenant)
            return "stopped"
        await self._enter(command, message, subjects, tenant)
        assert tenant is not None
        stands = any(self._gate.opt_outs.of(subject, tenant.id) for subject in subjects)
        return "stays" if stands else "started"

    async def _enter(
        self, command: Command, message: Message, subjects: Sequence[str], tenant: Tenant | None
    ) -> None:
        standing = command.meaning == "stop"
        said = f"text message {message.id}" if message.id else None
        if not standing and said is None:
            raise Refused(422, "a message without an id lifts no opt-out: it is no proof", "id")
        at = self._gate.clock.now()
        events = [
            OptOutEvent(
                subject=subject,
                tenant=None if tenant is None else tenant.id,
                standing=standing,
                way="sms",
                actor="subject",
                at=at,
                reason=f'"{command.word}" ({command.language}) by text message',
                evidence=said,
            )
            for subject in subjects
        ]
        try:
            async with self._in_work:
                done = await (enter_once if said else enter_new)(self._gate, events)
        except OptOutError as error:
            raise Refused(422, str(error)) from error
        if done is None:
            headers = {"Retry-After": str(RETRY_S)}
            raise Refused(503, "it could not be kept; send it again", headers=headers)

    def _tenant(self, to: str) -> Tenant | None:
        """Whose number a message was sent to."""
        tenants, settings = self._gate.tenants, self._settings
        named = settings.numbers.get(to.strip())
        if named is None:
            for reading in (
                parse_number(to, self._gate.home_region),
                parse_number(f"+{to.strip()}", ""),
            ):
                owner = tenants.by_number(reading.key) if reading.known else None
                if owner is not None:
                    return owner
            named = settings.tenant
        return None if named is None else tenants.get(named)


def read_message(sent: Mapping[str, object], settings: Sms) -> Message:
    """The message in what a gateway sent. Raises Refused."""
    sender = _found(sent, settings.from_field, MAX_NUMBER, "from")
    text = _found(sent, settings.text_field, MAX_BODY, "text")
    to = _found(sent, settings.to_field, MAX_NUMBER, "to")
    number = _found(sent, settings.id_field, MAX_ID, "id") or ""
    if sender is None:
        raise Refused(400, "there is no sender", settings.from_field[0])
    if text is None:
        raise Refused(400, "there is no text", settings.text_field[0])
    return Message(sender, to or "", text, number.strip())


def answer(reply: str, sort: Sort) -> web.Response:
    """The reply as the gateway wants it."""
    reply = "".join(sign for sign in reply if sign.isprintable())  # a tenant's name is in it
    if sort == "text":
        return web.Response(text=reply, content_type="text/plain", charset="utf-8")
    if sort == "twiml":
        inside = f"<Message>{escape(reply)}</Message>" if reply else ""
        text = f'<?xml version="1.0" encoding="UTF-8"?><Response>{inside}</Response>'
        return web.Response(text=text, content_type="text/xml", charset="utf-8")
    told = json.dumps({"reply": reply or None}, ensure_ascii=False)
    return web.Response(text=told, content_type=JSON, charset="utf-8")


def mask_any(number: str) -> str:
    """A number that may be none, fit for the log."""
    kept = "".join(sign for sign in number if sign.isascii() and sign.isdigit())
    return mask(f"+{kept}") if kept else "no number"


def _sort(request: web.Request, sent: Mapping[str, object]) -> Sort:
    """What the gateway asks for, or what its kind is known to read: TwiML where it names a
    MessageSid in a form, JSON otherwise."""
    wanted = request.headers.get("Accept", "").lower()
    for part in wanted.split(","):
        match part.partition(";")[0].strip():
            case "text/plain":
                return "text"
            case "text/xml" | "application/xml":
                return "twiml"
            case "application/json":
                return "json"
            case _:
                continue
    twilio = request.content_type == FORM and ("MessageSid" in sent or "SmsSid" in sent)
    return "twiml" if twilio else "json"


def _sent(request: web.Request, body: bytes) -> Mapping[str, object]:
    if request.content_type == JSON:
        return read_object(body)
    try:
        given = _form(body.decode("ascii"))
    except ValueError as error:
        raise Refused(400, "the form cannot be read") from error
    if twice := next((name for name, values in given.items() if len(values) > 1), None):
        raise Refused(400, "a field comes twice", twice[:64])
    return {name: values[0] for name, values in given.items()}


def _form(text: str) -> dict[str, list[str]]:
    """Raises ValueError. Some gateways still send the older Western encoding; the words to stop are
    the same in both but for their accents."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except UnicodeDecodeError:
        return parse_qs(
            text,
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            encoding="cp1252",
            errors="strict",
        )


def _found(sent: Mapping[str, object], names: Sequence[str], longest: int, what: str) -> str | None:
    for name in names:
        value = _at(sent, name)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int):
            value = str(value) if value.bit_length() < 512 else ""
        if not isinstance(value, str):
            raise Refused(400, f"the {what} is not text", name)
        if len(value) > longest:
            raise Refused(400, f"the {what} is too long", name)
        if what != "text" and not value.isprintable():
            raise Refused(400, f"the {what} has a control character in it", name)
        return value
    return None


def _at(sent: Mapping[str, object], name: str) -> object:
    """The value of a name, which may lead into objects: ``data.payload.text``."""
    if name in sent:
        return sent[name]
    here: object = sent
    for step in name.split("."):
        if not isinstance(here, Mapping):
            return None
        here = here.get(step)
    return here


def _languages(tenant: Tenant) -> tuple[str, ...]:
    return tuple(tenant.settings.languages) or (tenant.settings.language or ENGLISH,)
