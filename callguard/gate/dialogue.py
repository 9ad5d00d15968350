"""The dialogues: what the gate says to a dialplan on each of its questions.

A dialplan trusts nothing but an explicit ``allow``, so leaving without an answer blocks an
outbound call and connects an inbound one unrecorded, as the failure table has it.
"""

from functools import partial

import structlog

from callguard.agi.session import AgiSession
from callguard.gate.announce import After, announce
from callguard.gate.callbook import Call, withdraw
from callguard.gate.decide import Decision, decide, release, still_stands
from callguard.gate.feature import feature
from callguard.gate.line import confirm_claim, optout_line
from callguard.gate.registries import registries_missing
from callguard.gate.request import read_request
from callguard.gate.room import Gate
from callguard.ids import is_call_id
from callguard.optout.claims import find_claim
from callguard.policy.numbers import mask
from callguard.storage.attempts import Conversation, note_answered
from callguard.storage.journal import NotDurableError

log = structlog.get_logger(__name__)


async def answer(gate: Gate, session: AgiSession) -> None:
    """Answers one AGI request, by the name in its address."""
    match session.env.request:
        case "outbound":
            await outbound(gate, session)
        case "answered":
            await answered(gate, session)
        case "inbound":
            await inbound(gate, session)
        case "feature":
            await feature(gate, session)
        case "optout-line":
            await optout_line(gate, session)
        case "call-back":
            await called_back(gate, session)
        case other:
            gate.counts.fault("unknown_request")
            log.warning("unknown_agi_request", request=other[:32])


async def outbound(gate: Gate, session: AgiSession) -> None:
    """May this call be dialled? The verdict is durable before the dialplan hears of it; only an
    emergency call does not wait for that."""
    request = read_request("outbound", session.env.values, session.env.query)
    decision = await decide(gate, request, origin=await gate.origin(request))
    if decision.verdict.emergency:
        gate.journal.post(*decision.rows)
        _entered(gate, decision)
        await session.set_variable("CALLGUARD_VERDICT", "emergency")
        return
    if not await _keep(gate, decision):
        return
    if decision.verdict.allowed and not still_stands(gate, decision):
        release(gate, decision)
        gate.journal.post(work=partial(withdraw, call=decision.call))
        gate.counts.fault("overtaken_by_opt_out")
        log.warning("overtaken_by_opt_out", call=decision.call.id)
        return
    _entered(gate, decision)
    told = {"CALLGUARD_CALL": decision.call.id}
    if not decision.verdict.allowed:
        await _offer_reason(gate, session, decision)
        told["CALLGUARD_CAUSE"] = str(decision.verdict.cause)
    await session.set_variables(told | {"CALLGUARD_VERDICT": decision.verdict.decision})


async def answered(gate: Gate, session: AgiSession) -> None:
    """The called party has answered: notice, consent, recording, before the bridge is made."""
    call = await _answered_call(gate, session)
    if call is None:
        return
    await _conversation(gate, call)
    after = await announce(gate, session, call, gate.tenants.get(call.tenant))
    if after is After.END:
        await session.set_variable("CALLGUARD_AFTER", "end")


async def called_back(gate: Gate, session: AgiSession) -> None:
    """Whoever has the number that was typed on the opt-out line has answered."""
    call = await _answered_call(gate, session)
    claim_id = session.env.query.get("claim", "")
    if call is None or not is_call_id(claim_id):
        return
    claim = await gate.database.read(partial(find_claim, claim_id=claim_id))
    if claim is None or (claim.tenant, claim.subject) != (call.tenant, call.subject):
        gate.counts.fault("call_back_without_claim")
        log.warning("call_back_without_claim", call=call.id)
        return
    await _conversation(gate, call)
    await confirm_claim(gate, session, call, claim)


async def _answered_call(gate: Gate, session: AgiSession) -> Call | None:
    """The allowed outbound call that a dialplan says was answered."""
    call_id = session.env.query.get("call", "")
    call = await gate.recall(call_id) if is_call_id(call_id) else None
    mine = call is not None and call.pbx == session.env.query.get("pbx")
    if call is None or not mine or not call.allowed or call.direction != "outbound":
        gate.counts.fault("answered_without_verdict")
        log.warning("answered_without_verdict", call=call_id[:36])
        return None
    return call


async def _conversation(gate: Gate, call: Call) -> None:
    """From here on the attempt is a conversation, which some rules count apart. What cannot be
    kept is tried again by the follower, and counts meanwhile."""
    if not call.subject:
        return
    conversation = Conversation(call.subject, call.decided_at, call.id, gate.clock.now())
    gate.attempts.answered(conversation)
    note = partial(note_answered, conversation=conversation)
    try:
        await gate.journal.write(note, timeout=gate.durable_s)
    except NotDurableError as error:
        log.error("conversation_not_durable", call=call.id, reason=str(error))
    else:
        gate.attempts.kept(conversation)


async def inbound(gate: Gate, session: AgiSession) -> None:
    """Somebody calls a tenant: the call is connected whatever happens here, recorded only after
    the notice was heard."""
    request = read_request("inbound", session.env.values, session.env.query)
    decision = await decide(gate, request, origin=await gate.origin(request))
    if not await _keep(gate, decision):
        return
    _entered(gate, decision)
    await session.set_variable("CALLGUARD_CALL", decision.call.id)
    # A caller who hangs up in the notice never comes back to the dialplan, which sets this too.
    await session.set_variable("CDR(userfield)", decision.call.id)
    await session.set_variable("CALLGUARD_VERDICT", decision.verdict.decision)
    after = await announce(gate, session, decision.call, decision.tenant)
    if after is After.END:
        await session.set_variable("CALLGUARD_AFTER", "end")


async def _keep(gate: Gate, decision: Decision) -> bool:
    """Makes the verdict durable; whether it is."""
    try:
        await gate.journal.insert(*decision.rows, timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("verdict_not_durable", call=decision.call.id, reason=str(error))
        if decision.call.direction == "outbound":
            release(gate, decision)
            # A commit that was under way may still succeed; the verdict was not given all the same.
            gate.journal.post(work=partial(withdraw, call=decision.call))
        return False
    return True


def _entered(gate: Gate, decision: Decision) -> None:
    call, verdict = decision.call, decision.verdict
    gate.calls.add(call)
    gate.counts.verdict(call.direction, verdict.decision)
    gate.counts.missing(registries_missing(verdict, decision.facts))
    log.info(
        "verdict",
        call=call.id,
        tenant=call.tenant or None,
        direction=call.direction,
        subject=mask(call.subject),
        verdict=verdict.decision,
        rules=[finding.rule.id for finding in verdict.findings if finding.blocks],
    )


async def _offer_reason(gate: Gate, session: AgiSession, decision: Decision) -> None:
    tenant = decision.tenant
    name = decision.verdict.prompt
    if tenant is None or not tenant.settings.blocked_prompt or not name:
        return
    language = tenant.settings.language
    prompt = gate.prompts.find(name, language, tenant.id) or gate.prompts.find(
        "blocked", language, tenant.id
    )
    sound = gate.sound(decision.call.pbx, prompt) if prompt else None
    if sound is not None:
        await session.set_variable("CALLGUARD_PROMPT", sound)
