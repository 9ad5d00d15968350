"""Before somebody outside joins a conversation: what they are told of its recording, what they
answer, and what follows from that, in the order that the evidence asks for."""

from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.agi.link import ChannelDead, ConnectionLost
from callguard.agi.session import AgiSession
from callguard.agi.wire import AgiError
from callguard.consent.dialogue import Outcome
from callguard.consent.evidence import used
from callguard.consent.given import ConsentError
from callguard.consent.language import language_of
from callguard.consent.ledger import Consent, Evidence, as_row, enter_remembered, evidence_of
from callguard.consent.modes import Mode, choose, law_of
from callguard.consent.states import ConsentState
from callguard.contacts.contact import ContactError
from callguard.gate.callbook import Call
from callguard.gate.coding import choose_coding
from callguard.gate.opt_out import opt_out
from callguard.gate.room import Gate
from callguard.gate.telling import Telling
from callguard.gate.told import Told
from callguard.ids import uuid7
from callguard.policy.numbers import parse_number
from callguard.policy.rules import Obligation
from callguard.storage.faults import one_line
from callguard.storage.journal import NotDurableError
from callguard.tenants.keeping import Concern, keeping_evidence
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

MONITOR = "CALLGUARD_MONITOR"
"""The channel variable in which MixMonitor leaves its id."""


class After(Enum):
    """How the call goes on after the dialogue."""

    CONNECT = "connect"
    END = "end"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for: the mode, the rules that want it, each with its citation, and the
    evidence of a consent that stands already."""

    mode: Mode
    rules: tuple[str, ...] = ()
    evidence: Evidence | None = None


async def announce(gate: Gate, session: AgiSession, call: Call, tenant: Tenant | None) -> After:
    """Holds the dialogue that the call asks for, writes the ledger, and starts the recording where
    consent stands.

    Nothing that fails here starts a recording; the call itself goes on, unless something that
    runs already cannot be made silent for somebody who did not consent.
    """
    asked = await _asked(gate, call, tenant)
    if tenant is None or asked.mode is Mode.NONE or not gate.calls.announce_once(call):
        return await _let_in(gate, session, call)
    telling = Telling(gate, session, call, tenant, _language(call, tenant))
    try:
        after = await _told(telling, asked)
    except AgiError as error:
        gone = isinstance(error, ChannelDead) and not isinstance(error, ConnectionLost)
        if not gone and not _may_be_recorded(gate, session, call):
            # The dialplan goes on without us, and connects.
            await gate.recordings.hush(call, session.env.uniqueid)
        raise
    return await _let_in(gate, session, call) if after is After.CONNECT else after


async def _asked(gate: Gate, call: Call, tenant: Tenant | None) -> Asked:
    """The law of both ends and the tenant's wish; where the consent by which the verdict went is
    no more, or has no evidence, the strictest there is."""
    if tenant is None or gate.tenants.serving(tenant.id) is None:  # its contract has ended
        return Asked(Mode.NONE)
    law, wish = law_of(call.obligations), Mode(tenant.settings.recording_mode)
    mode = choose(law, wish, record=tenant.settings.record)
    rules = call.asking
    if mode not in (law, Mode.NONE):
        rules += (f"tenant {tenant.id}: recording_mode = {wish.value}",)
    if law is not Mode.PRIOR or mode is Mode.NONE:
        return Asked(mode, rules)
    evidence = await _evidence(gate, call)
    if evidence is None:
        return Asked(Mode.ASK, (*call.asking, "callguard: no evidence of the consent on file"))
    return Asked(mode, rules, evidence)


async def _told(telling: Telling, asked: Asked) -> After:
    """The dialogue, its evidence, and only then what follows. Raises AgiError."""
    gate, call = telling.gate, telling.call
    outcome = await telling.hold(asked.mode)
    if outcome is Outcome.GRANTED and asked.evidence is not None:
        asked = replace(asked, evidence=await _evidence(gate, call))
        if asked.evidence is None:
            # It ended during the notice, which alone may be less than the law asks.
            ended = "callguard: the consent on file ended meanwhile"
            outcome, asked = Outcome.INCOMPLETE, replace(asked, rules=(*asked.rules, ended))
    opted_out = outcome is Outcome.OPTED_OUT and await opt_out(
        gate, call, way="call", prompt=telling.prompt.evidence if telling.prompt else None
    )
    kept = await _keep(telling, asked, outcome)
    if telling.failure is not None:
        raise telling.failure
    match outcome:
        case Outcome.GRANTED if kept:
            if telling.answer is not None:
                await telling.say("granted")
            await _record(telling)
        case Outcome.OPTED_OUT:
            return await _confirm(telling, opted_out=opted_out)
        case Outcome.REFUSED:
            return await _decline(telling)
        case _:
            pass
    return After.CONNECT


async def _let_in(gate: Gate, session: AgiSession, call: Call) -> After:
    """Somebody joins: if they did not consent, what is recorded there falls silent first, or else
    they do not join."""
    if _may_be_recorded(gate, session, call):
        return After.CONNECT
    if await gate.recordings.hush(call, session.env.uniqueid):
        return After.CONNECT
    gate.counts.fault("recording_not_silenced")
    log.error("recording_not_silenced", call=call.id)
    return After.END


def _may_be_recorded(gate: Gate, session: AgiSession, call: Call) -> bool:
    told = gate.told.of(call.pbx, session.env.uniqueid)
    return told is not None and told.call_id == call.id and told.may_be_recorded


def _language(call: Call, tenant: Tenant) -> str:
    settings = tenant.settings
    region = parse_number(call.subject, settings.home_region).region
    return language_of(region, settings.languages, settings.language)


async def _evidence(gate: Gate, call: Call) -> Evidence | None:
    """The consent by which the law asks for nothing more; None where it cannot be had,
    for whatever reason."""
    if not call.subject:
        return None
    find = partial(evidence_of, tenant=call.tenant, subject=call.subject, at=gate.clock.now())
    try:
        return await gate.database.read(find)
    except (SQLAlchemyError, TimeoutError) as error:
        gate.counts.fault("consent_not_read")
        log.error("consent_not_read", call=call.id, reason=one_line(error))
        return None


async def _keep(telling: Telling, asked: Asked, outcome: Outcome) -> bool:
    """Writes the ledger's row; whether it is durable. Only then it is known of whoever is on the
    channel that they consented."""
    gate, call, tenant = telling.gate, telling.call, telling.tenant
    state, evidence = outcome.state, asked.evidence
    assert state is not None
    at = gate.clock.now()
    entry = Consent(
        id=str(uuid7(at)),
        tenant=tenant.id,
        call_id=call.id,
        subject=call.subject,
        state=state,
        mode=asked.mode,
        rules=asked.rules,
        pbx=call.pbx,
        channel_uniqueid=telling.session.env.uniqueid,
        prompt=telling.prompt,
        language=telling.language,
        asked=telling.asked,
        played=telling.played,
        answer=telling.answer,
        proof=evidence.proof if evidence else None,
        at=at,
        expires_at=keeping_evidence(tenant, call.concern)(at),
        until=evidence.until if evidence and state is ConsentState.GRANTED else None,
    )
    gate.counts.notice(state.value)
    log.info(
        "notice",
        call=call.id,
        mode=asked.mode.value,
        state=state.value,
        samples=telling.played.endpos,
    )
    kept = True
    try:
        await _write(gate, entry, tenant, call.concern)
    except NotDurableError as error:
        kept = False
        gate.counts.not_durable += 1
        log.error("consent_not_durable", call=call.id, reason=str(error))
        # A no is obeyed all the same; what was granted on that channel before is asked anew.
        state = ConsentState.INCOMPLETE if state is ConsentState.GRANTED else state
    if kept and entry.proof and state is ConsentState.GRANTED:
        keep = keeping_evidence(tenant, call.concern)
        gate.journal.post(work=partial(used, tenant=tenant.id, proof=entry.proof, at=at, keep=keep))
    known = Told(tenant.id, call.id, call.subject, state, entry.until)
    gate.told.enter(call.pbx, telling.session.env.uniqueid, known)
    return kept


async def _write(gate: Gate, entry: Consent, tenant: Tenant, concern: Concern) -> None:
    """Raises NotDurableError."""
    days = tenant.settings.remember_days
    if (
        entry.mode is Mode.ASK
        and entry.answer == tenant.settings.accept_digit
        and entry.state is ConsentState.GRANTED
        and entry.subject
        and days
    ):
        keep = keeping_evidence(tenant, concern)
        work = partial(enter_remembered, entry=entry, days=days, keep=keep)
        try:
            await gate.journal.write(work, timeout=gate.durable_s)
        except (ConsentError, ContactError) as error:
            gate.counts.fault("consent_not_remembered")
            log.error("consent_not_remembered", call=entry.call_id, reason=one_line(error))
        else:
            return
    await gate.journal.insert(as_row(entry), timeout=gate.durable_s)


async def _confirm(telling: Telling, *, opted_out: bool) -> After:
    """Says that the opt-out is done, once it is durable, or that it is not; who has no number to
    enter is told neither. Where it is not done, an agent can still be told of it."""
    if telling.call.subject:
        await telling.say("optout-done" if opted_out else "optout-failed")
    ends = opted_out and telling.tenant.settings.on_opt_out == "end"
    return After.END if ends else After.CONNECT


async def _decline(telling: Telling) -> After:
    """Says what follows from a no: the call goes on without a recording, or it ends."""
    if telling.tenant.settings.on_refusal == "end":
        await telling.say("refused-end")
        return After.END
    await telling.say("refused")
    return After.CONNECT


async def _record(telling: Telling) -> None:
    gate, session, call = telling.gate, telling.session, telling.call
    outbound = call.direction == "outbound"
    coding = await choose_coding(session, telling.tenant, outbound=outbound)
    file = await gate.recordings.begin(telling.tenant, call, session.env.uniqueid, coding.name)
    if file is None:
        return
    if coding.instead is not None:
        gate.counts.fault("recorded_in_mono")
        log.warning("recorded_in_mono", call=call.id, reason=coding.instead)
    if gate.acts.ended(call.id) or not _may_be_recorded(gate, session, call):
        # Somebody stopped it, or withdrew, before it began.
        gate.recordings.abandon(file)
        return
    beep = Obligation.BEEP in call.obligations
    tone = f"B({telling.tenant.settings.beep_s})" if beep else ""
    try:
        # The file name is opaque and ours: the arguments of MixMonitor can run a shell.
        options = gate.recordings.monitor_options(file)
        await session.exec("MixMonitor", file, f"b{options}{tone}i({MONITOR})")
        monitor = await session.get_variable(MONITOR)
        gate.recordings.running(file, monitor, coding.instead)
        if gate.acts.ended(call.id):
            for recording in gate.recordings.in_progress(call, session.env.uniqueid):
                await gate.recordings.stop(recording)
    except AgiError as error:
        gate.counts.fault("mixmonitor_refused")
        log.error("recording_not_started", call=call.id, reason=str(error))
        gate.recordings.abandon(file)
        raise
