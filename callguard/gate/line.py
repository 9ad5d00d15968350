"""The opt-out line: calls whose only dialogue is opting out, or in again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection, select

from callguard.agi.link import ChannelDead, ConnectionLost
from callguard.agi.session import AgiSession
from callguard.consent.prompts import RATE, Prompt
from callguard.consent.texts import DIGITS
from callguard.gate.callbook import Call
from callguard.gate.decide import call_values
from callguard.gate.line_dialogue import (
    Action,
    Ask,
    Dialogue,
    End,
    Enter,
    Event,
    HungUp,
    Keys,
    Outcome,
    Part,
    ReadNumber,
    Written,
    begin,
    begin_call_back,
    step,
)
from callguard.gate.opt_out import enter
from callguard.gate.parties import Parties, find_tenant, parties_of
from callguard.gate.request import read_request
from callguard.gate.room import Gate
from callguard.gate.typed_number import read_typed
from callguard.ids import uuid7
from callguard.optout.claims import LEFT_ALONE, Claim, State, file_claim, settle
from callguard.optout.events import OptOutError, OptOutEvent
from callguard.policy.numbers import mask, parse_number
from callguard.policy.rules import unrecorded
from callguard.retention.schedule import later
from callguard.storage.bulk import insert_rows
from callguard.storage.journal import NotDurableError, Row
from callguard.storage.schema import calls
from callguard.tenants.keeping import Concern, kept_until
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

PROMPTS = (
    "line-language",
    "line-offer",
    "line-type",
    "line-bad-number",
    "line-read-back",
    "line-confirm",
    "line-in-ask",
    "line-in-done",
    "line-callback",
    "line-unchanged",
    "line-goodbye",
    "callback-ask",
    "optout-done",
    "optout-failed",
    *DIGITS,
)
"""All that a dialogue may say; a language that lacks one of them is not offered."""

KEY_S = 4.0
"""How long the line waits for a key after its prompts."""

NEXT_KEY_S = 6.0
"""How long Asterisk waits for the next digit, at most; the dialplan's ``TIMEOUT(digit)`` is 5."""

SLACK_S = 10.0
"""How much longer than its own length a prompt may take."""

KEYS = "CALLGUARD_KEYS"
"""The channel variable in which Read leaves what was pressed."""


@dataclass(frozen=True, slots=True)
class Line:
    """One call to the line. ``row`` is the call's own, which any opt-out in it refers to."""

    tenant: Tenant
    parties: Parties
    call: Call
    row: Row

    @property
    def caller(self) -> str:
        """The key of the caller's number; "" where no wish can be entered for it."""
        number = self.parties.caller
        return "" if number.e164 is None or number.emergency else number.e164


async def optout_line(gate: Gate, session: AgiSession) -> None:
    """A call to the opt-out line. Without an answer from here the dialplan refuses the call."""
    line = _arrived(gate, session)
    if line is None:
        return
    call, tenant = line.call, line.tenant
    languages = _spoken(gate, tenant)
    if not languages or call.pbx not in gate.prompt_folders:
        gate.counts.fault("line_cannot_speak")
        log.error("line_cannot_speak", tenant=tenant.id, pbx=call.pbx, call=call.id)
        return
    kept = await _keep(gate, call, gate.journal.insert(line.row, timeout=gate.durable_s))
    gate.calls.add(call)
    gate.counts.verdict(call.direction, "allow")
    log.info("optout_line", call=call.id, tenant=tenant.id, subject=mask(call.subject))
    await session.set_variable("CALLGUARD_CALL", call.id)
    await session.set_variable("CDR(userfield)", call.id)
    await session.answer()

    def is_own(e164: str) -> bool:
        return _is_own(gate, line, e164)

    read = partial(read_typed, region=tenant.settings.home_region, is_own=is_own)
    caller = "" if is_own(line.caller) else line.caller
    end = await _converse(
        gate,
        session,
        call,
        begin(languages, caller),
        read,
        lambda wish: _enter(gate, line, wish, kept=kept),
    )
    await _say(gate, session, call, end)
    log.info("optout_line_ended", call=call.id, outcome=end.outcome.value)


async def confirm_claim(gate: Gate, session: AgiSession, call: Call, claim: Claim) -> None:
    """The person whose number was typed has answered the call back."""
    end = await _converse(
        gate,
        session,
        call,
        begin_call_back(claim.language, claim.subject),
        lambda _: None,
        lambda wish: _confirm(gate, call, claim, wish),
    )
    # First of all: whatever becomes of the farewell, who has refused is not called again.
    match end.outcome:
        case Outcome.ENTERED:
            await settle_claim(gate, claim, "confirmed", "confirmed in the call back")
        case Outcome.DECLINED | Outcome.HUNG_UP:
            reason = f"not confirmed in the call back: {end.outcome.value}"
            await settle_claim(gate, claim, "refused", reason)
        case _:
            pass  # a machine answered, or nothing could be written: called again another time
    await _say(gate, session, call, end)
    log.info("call_back_ended", call=call.id, claim=claim.id, outcome=end.outcome.value)


async def settle_claim(gate: Gate, claim: Claim, state: State, reason: str) -> None:
    """Ends a claim; one that cannot be ended, even late, stays pending and is looked at again."""
    at = gate.clock.now()
    owner, concern = gate.tenants.get(claim.tenant), Concern(claim.subject)
    until = kept_until(owner, "consent", at, concern=concern)
    if state == "refused":  # no retention makes it forgotten while its number is left alone
        until = later(until, at + LEFT_ALONE)
    work = partial(settle, claim=claim, state=state, reason=reason, at=at, expires_at=until)
    try:
        await gate.journal.write(work, timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("claim_not_settled", claim=claim.id, state=state, reason=str(error))
        gate.journal.post(work=work)  # who has refused is not to be called again for that
    else:
        log.info("claim_settled", claim=claim.id, state=state, reason=reason)


def _arrived(gate: Gate, session: AgiSession) -> Line | None:
    request = read_request("inbound", session.env.values, session.env.query)
    tenant = find_tenant(gate, request)
    if tenant is None:
        gate.counts.fault("line_without_tenant")
        log.warning("line_without_tenant", tenant=request.tenant[:63])
        return None
    parties = parties_of(gate, request, tenant)
    at = gate.clock.now()
    verdict = unrecorded("gate.optout-line", "a call to the opt-out line")
    call = Call(
        id=str(uuid7(at)),
        tenant=tenant.id,
        pbx=request.pbx,
        uniqueid=request.uniqueid,
        direction="inbound",
        purpose="service",
        subject=parties.subject.key,
        allowed=True,
        obligations=verdict.obligations,
        decided_at=at,
    )
    values = call_values(call, request, tenant, verdict, parties)
    return Line(tenant, parties, call, Row(calls, values))


def _spoken(gate: Gate, tenant: Tenant) -> tuple[str, ...]:
    """The languages of the tenant's line in which everything can be said, or else its own."""
    offered = _whole(gate, tenant, tenant.settings.languages)
    return offered or _whole(gate, tenant, (tenant.settings.language,))


def _whole(gate: Gate, tenant: Tenant, languages: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        language
        for language in dict.fromkeys(languages)
        if all(gate.prompts.find(prompt, language, tenant.id) for prompt in PROMPTS)
    )


def _is_own(gate: Gate, line: Line, e164: str) -> bool:
    """Whether it is a number of the tenant's, or the line itself: nobody's who is called."""
    shown = parse_number(line.tenant.settings.shown_number, line.tenant.settings.home_region)
    owner = gate.tenants.by_number(e164)
    own = owner is not None and owner.id == line.tenant.id
    return own or e164 in (line.parties.called.e164, shown.e164)


async def _keep(gate: Gate, call: Call, writing: Awaitable[None]) -> bool:
    try:
        await writing
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("line_call_not_durable", call=call.id, reason=str(error))
        return False
    return True


def _keep_late(connection: Connection, row: Row) -> None:
    """Writes the row of a call whose writing was given up, and may have succeeded all the same."""
    known = select(row.table.c.id).where(row.table.c.id == row.values["id"])
    if connection.execute(known).first() is None:
        insert_rows(connection, row.table, [row.values])


async def _enter(gate: Gate, line: Line, wish: Enter, *, kept: bool) -> Outcome:
    """Enters what was wished on the line. Without the call's own row it would refer to nothing."""
    late = partial(_keep_late, row=line.row)
    if not kept and not await _keep(
        gate, line.call, gate.journal.write(late, timeout=gate.durable_s)
    ):
        return Outcome.FAILED
    if not wish.typed:
        return await _entered(gate, _event(gate, line.call, wish, way="line", actor="subject"))
    if not gate.typed_numbers.take(gate.clock.monotonic()):
        gate.counts.fault("too_many_typed_numbers")
        log.warning("too_many_typed_numbers", call=line.call.id)
        return Outcome.FAILED
    if line.tenant.settings.typed_opt_out == "call_back":
        return await _claim(gate, line, wish)
    evidence = "the number was typed on the opt-out line; the call did not come from it"
    event = _event(gate, line.call, wish, way="line", actor="caller", evidence=evidence)
    return await _entered(gate, event)


async def _claim(gate: Gate, line: Line, wish: Enter) -> Outcome:
    at = gate.clock.now()
    claim = Claim(
        id=str(uuid7(at)),
        tenant=line.tenant.id,
        subject=wish.subject,
        pbx=line.call.pbx,
        call_id=line.call.id,
        prompt=_evidence(gate, line.call, wish.asked),
        language=wish.asked.language,
        at=at,
    )
    try:
        promised = await gate.journal.write(lambda c: file_claim(c, claim), timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("claim_not_durable", call=line.call.id, reason=str(error))
        return Outcome.FAILED
    log.info("opt_out_claimed", call=line.call.id, subject=mask(wish.subject), called=promised)
    return Outcome.PROMISED if promised else Outcome.FAILED


async def _confirm(gate: Gate, call: Call, claim: Claim, wish: Enter) -> Outcome:
    evidence = f"confirmed by call back; the number was typed in the call {claim.call_id}"
    event = _event(gate, call, wish, way="callback", actor="subject", evidence=evidence)
    return await _entered(gate, event)


async def _entered(gate: Gate, event: OptOutEvent) -> Outcome:
    try:
        return Outcome.ENTERED if await enter(gate, event) else Outcome.FAILED
    except OptOutError as error:
        gate.counts.fault("line_wish_refused")
        log.error("line_wish_refused", call=event.call_id, reason=str(error))
        return Outcome.FAILED


def _event(
    gate: Gate, call: Call, wish: Enter, *, way: str, actor: str, evidence: str | None = None
) -> OptOutEvent:
    prompt = _evidence(gate, call, wish.asked)
    return OptOutEvent(
        subject=wish.subject,
        tenant=call.tenant,
        standing=wish.standing,
        way=way,
        actor=actor,
        at=gate.clock.now(),
        call_id=call.id,
        prompt=prompt,
        reason=None if wish.standing else "asked for on the opt-out line",
        evidence=evidence if wish.standing else f"call {call.id}, key 1 after {prompt}",
    )


def _evidence(gate: Gate, call: Call, part: Part) -> str | None:
    prompt = gate.prompts.find(part.prompt, part.language, call.tenant)
    return prompt.evidence if prompt is not None else None


async def _converse(
    gate: Gate,
    session: AgiSession,
    call: Call,
    begun: tuple[Dialogue, Action],
    read: ReadNumber,
    write: Callable[[Enter], Awaitable[Outcome]],
) -> End:
    """Plays a dialogue to its end, whose prompts are still to be said."""
    dialogue, action = begun
    while not isinstance(action, End):
        event: Event
        if isinstance(action, Enter):
            event = Written(await write(action))
        else:
            event = await _asked(gate, session, call, action)
        dialogue, action = step(dialogue, event, read)
    return action


async def _say(gate: Gate, session: AgiSession, call: Call, end: End) -> None:
    try:
        for prompt, sound in _sounds(gate, call, end.parts):
            await session.stream_file(sound, timeout=prompt.samples / RATE + SLACK_S)
    except ChannelDead:
        pass  # who hangs up in the farewell has been told as much as they wanted


async def _asked(gate: Gate, session: AgiSession, call: Call, ask: Ask) -> Event:
    """Plays and listens in one step of Asterisk's, so that no key falls between two."""
    prompts = _sounds(gate, call, ask.parts)
    if len(prompts) < len(ask.parts):
        return Written(Outcome.FAILED)  # half a question, or half a number, is none
    files = "&".join(sound for _, sound in prompts)
    length = sum(prompt.samples for prompt, _ in prompts) / RATE
    limit = length + KEY_S + ask.most * NEXT_KEY_S + SLACK_S
    try:
        await session.exec("Read", KEYS, files, str(ask.most), "", "1", f"{KEY_S:g}", timeout=limit)
        status = await session.get_variable("READSTATUS")
        keys = await session.get_variable(KEYS)
    except ConnectionLost:
        return Written(Outcome.FAILED)  # nobody has hung up, so nothing is refused
    except ChannelDead:
        return HungUp()
    if status == "HANGUP" or (session.hung_up and not keys):
        return HungUp()  # who is gone since they pressed a key has answered all the same
    if status not in ("OK", "TIMEOUT"):
        gate.counts.fault("prompt_not_played")
        log.error("prompt_not_played", pbx=call.pbx, prompts=[part.prompt for part in ask.parts])
        return Written(Outcome.FAILED)
    return Keys(keys or "")


def _sounds(gate: Gate, call: Call, parts: tuple[Part, ...]) -> list[tuple[Prompt, str]]:
    found = []
    for part in parts:
        prompt = gate.prompts.find(part.prompt, part.language, call.tenant)
        sound = gate.sound(call.pbx, prompt) if prompt is not None else None
        if prompt is None or sound is None:
            gate.counts.fault("prompt_missing")
            log.error("prompt_missing", prompt=part.prompt, language=part.language)
            continue
        found.append((prompt, sound))
    return found
