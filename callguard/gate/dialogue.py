"""The dialogues: what the gate says to a dialplan on each of its four questions.

A dialplan trusts nothing but an explicit ``allow``, so leaving without an answer blocks an
outbound call and connects an inbound one unrecorded, as the failure table has it.
"""

import asyncio

import structlog

from callguard.agi.session import AgiSession
from callguard.gate.announce import After, announce
from callguard.gate.decide import Decision, decide
from callguard.gate.feature import feature
from callguard.gate.request import read_request
from callguard.gate.room import Gate
from callguard.ids import is_call_id
from callguard.policy.numbers import mask
from callguard.policy.rules import Obligation
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
        case other:
            gate.counts.fault("unknown_request")
            log.warning("unknown_agi_request", request=other[:32])


async def outbound(gate: Gate, session: AgiSession) -> None:
    """May this call be dialled? The verdict is durable before the dialplan hears of it; only an
    emergency call does not wait for that."""
    request = read_request("outbound", session.env.values, session.env.query)
    decision = decide(gate, request)
    if decision.verdict.emergency:
        await session.set_variable("CALLGUARD_CALL", decision.call_id)
        await session.set_variable("CALLGUARD_VERDICT", "allow")
        await _keep(gate, decision)
        return
    # The dialplan heeds the call id only beside a verdict, so it may be told while that is kept.
    keeping = asyncio.ensure_future(_keep(gate, decision))
    try:
        await session.set_variable("CALLGUARD_CALL", decision.call_id)
    finally:
        kept = await keeping
    if not kept:
        return
    if not decision.verdict.allowed:
        await session.set_variable("CALLGUARD_CAUSE", str(decision.verdict.cause))
        await _offer_reason(gate, session, decision)
    await session.set_variable("CALLGUARD_VERDICT", decision.verdict.decision)


async def answered(gate: Gate, session: AgiSession) -> None:
    """The called party has answered: notice, consent, recording, before the bridge is made."""
    call_id = session.env.query.get("call", "")
    call = await gate.recall(call_id) if is_call_id(call_id) else None
    if call is None or not call.allowed:
        gate.counts.fault("answered_without_verdict")
        log.warning("answered_without_verdict", call=call_id[:36])
        return
    tenant = gate.tenants.get(call.tenant)
    if tenant is None or Obligation.DO_NOT_RECORD in call.obligations:
        return
    after = await announce(gate, session, call, tenant)
    if after is After.END:
        await session.set_variable("CALLGUARD_AFTER", "end")


async def inbound(gate: Gate, session: AgiSession) -> None:
    """Somebody calls a tenant: the call is connected whatever happens here, recorded only after
    the notice was heard."""
    request = read_request("inbound", session.env.values, session.env.query)
    decision = decide(gate, request)
    if not await _keep(gate, decision):
        return
    await session.set_variable("CALLGUARD_CALL", decision.call_id)
    # A caller who hangs up in the notice never comes back to the dialplan, which sets this too.
    await session.set_variable("CDR(userfield)", decision.call_id)
    tenant = decision.tenant
    if tenant is None or not decision.verdict.allowed:
        return
    await session.set_variable("CALLGUARD_VERDICT", "allow")
    if not tenant.settings.record:
        return
    await session.answer()
    after = await announce(gate, session, decision.call, tenant)
    if after is After.END:
        await session.set_variable("CALLGUARD_AFTER", "end")


async def _keep(gate: Gate, decision: Decision) -> bool:
    """Makes the verdict durable; whether it is."""
    call, verdict = decision.call, decision.verdict
    try:
        await gate.journal.insert(decision.row, timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("verdict_not_durable", call=call.id, reason=str(error))
        return False
    gate.calls.add(call)
    gate.counts.verdict(call.direction, verdict.decision)
    log.info(
        "verdict",
        call=call.id,
        tenant=call.tenant or None,
        direction=call.direction,
        subject=mask(call.subject),
        verdict=verdict.decision,
        rules=[finding.rule for finding in verdict.findings if finding.blocks],
    )
    return True


async def _offer_reason(gate: Gate, session: AgiSession, decision: Decision) -> None:
    tenant = decision.tenant
    if tenant is None or not tenant.settings.blocked_prompt:
        return
    prompt = gate.prompts.find("blocked", tenant.settings.language)
    sound = gate.sound(decision.call.pbx, prompt) if prompt else None
    if sound is not None:
        await session.set_variable("CALLGUARD_PROMPT", sound)
