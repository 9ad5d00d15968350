"""Feature codes in the middle of a call: what they do, and what is said to whoever pressed them."""

from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.agi.session import AgiSession
from callguard.gate.announce import MONITOR
from callguard.gate.callbook import Call
from callguard.gate.mid_call import Now, Outcome, Result, act
from callguard.gate.mid_call_rules import ACTIONS, ENDING, Action, Who
from callguard.gate.room import Gate
from callguard.ids import is_call_id
from callguard.storage.faults import one_line

log = structlog.get_logger(__name__)

BEEP: Final = "beep"
FAILURE_BEEP: Final = "beeperr"
"""Both in Asterisk's own core sounds: for done and for not done, where a prompt is missing."""

CONFIRMATION_S: Final = 30.0
"""Longest playing of a confirmation."""

_SAID: Final[dict[Now, str]] = {
    Now.PAUSED: "recording-paused",
    Now.RESUMED: "recording-resumed",
    Now.STOPPED: "recording-stopped",
    Now.ERASED: "recording-erased",
    Now.OPTED_OUT: "optout-done",
    Now.UNCHANGED: "recording-unchanged",
}


async def feature(gate: Gate, session: AgiSession) -> None:
    """Carries out the action named in the AGI address for the call named there; it is in effect
    before anything is said of it."""
    named = session.env.query.get("action", "")
    action = next((one for one in ACTIONS if one == named), None)
    call = await _call(gate, session)
    if call is None or action is None:
        fault = "unknown_feature" if action is None else "feature_without_call"
        gate.counts.fault(fault)
        log.warning(fault, action=named[:16], call=session.env.query.get("call", "")[:36])
        if action in ENDING:
            await _end_here(session)
        await session.stream_file(FAILURE_BEEP, timeout=CONFIRMATION_S)
        return
    who = who_presses(gate, call, session.env.uniqueid, action)
    outcome = await act(gate, call, action, who, session=session)
    name = _SAID[outcome.now]
    if action == "optout" and outcome.result is Result.FAILED:
        name = "optout-failed"
    await _say(gate, session, call, name, outcome)


async def _call(gate: Gate, session: AgiSession) -> Call | None:
    """The call named in the AGI address, if it is one of that Asterisk that goes on."""
    call_id = session.env.query.get("call", "")
    if not is_call_id(call_id):
        return None
    try:
        call = await gate.recall(call_id)
    except (SQLAlchemyError, TimeoutError) as error:
        log.error("call_not_read", call=call_id, reason=one_line(error))
        return None
    return call if call is not None and call.pbx == session.env.query.get("pbx") else None


async def _end_here(session: AgiSession) -> None:
    """Nothing is known of the call; what is recorded on this channel is ended all the same."""
    monitor = await session.get_variable(MONITOR)
    if monitor:
        await session.exec("StopMixMonitor", monitor)


def who_presses(gate: Gate, call: Call, uniqueid: str, action: Action) -> Who:
    """The subject, if it is the leg of the one whom the gate protects, or anybody else outside:
    somebody who was passed on to somebody else too. Of whom nothing is known may be outside, and
    switches nothing on."""
    began = uniqueid == call.uniqueid
    if gate.told.of(call.pbx, uniqueid) is not None or (began and call.direction == "inbound"):
        return "subject"
    outside = gate.recordings.speaks_outside(call.pbx, uniqueid)
    if outside is None:
        outside = not began and (call.direction == "outbound" or action == "resume")
    return "subject" if outside else "agent"


async def _say(gate: Gate, session: AgiSession, call: Call, name: str, outcome: Outcome) -> None:
    tenant = gate.tenants.get(call.tenant)
    language = tenant.settings.language if tenant else "en"
    prompt = gate.prompts.find(name, language, call.tenant)
    sound = gate.sound(call.pbx, prompt) if prompt else None
    if sound is None:
        if prompt is None:
            gate.counts.fault("prompt_missing")
            log.error("prompt_missing", prompt=name, language=language, call=call.id)
        sound = FAILURE_BEEP if outcome.now is Now.UNCHANGED else BEEP
    await session.stream_file(sound, timeout=CONFIRMATION_S)
