"""Feature codes in the middle of a call: stop the recording, opt out."""

import structlog

from callguard.agi.session import AgiSession
from callguard.gate.callbook import Call
from callguard.gate.opt_out import opt_out
from callguard.gate.room import Gate
from callguard.ids import is_call_id

log = structlog.get_logger(__name__)

BEEP = "beep"
"""In Asterisk's own core sounds."""

CONFIRMATION_S = 30.0
"""Longest playing of a confirmation."""


async def feature(gate: Gate, session: AgiSession) -> None:
    """Carries out the action named in the AGI address for the call named there."""
    call_id = session.env.query.get("call", "")
    action = session.env.query.get("action", "")
    call = await gate.recall(call_id) if is_call_id(call_id) else None
    if call is None:
        gate.counts.fault("feature_without_call")
        log.warning("feature_without_call", action=action[:16], call=call_id[:36])
        return
    match action:
        case "stop":
            await _stop(gate, session, call)
        case "optout":
            done = await opt_out(gate, call, way="feature_code", prompt=None)
            await _say(gate, session, call, "optout-done" if done else "optout-failed")
        case _:
            gate.counts.fault("unknown_feature")
            log.warning("unknown_feature", action=action[:16], call=call.id)


async def _stop(gate: Gate, session: AgiSession, call: Call) -> None:
    """Stops every recording of the conversation; a beep says that all have stopped. On the
    recorded channel itself that needs no manager connection."""
    here = session.env.uniqueid
    every = True
    for recording in gate.recordings.in_progress(call, here):
        if recording.channel_uniqueid == here and recording.monitor:
            await session.exec("StopMixMonitor", recording.monitor)
            gate.recordings.stopped(recording)
        else:
            every = await gate.recordings.stop(recording) and every
    if every:
        await session.stream_file(BEEP, timeout=CONFIRMATION_S)
    else:
        gate.counts.fault("recording_not_stopped")
        log.error("recording_not_stopped", call=call.id)


async def _say(gate: Gate, session: AgiSession, call: Call, name: str) -> None:
    tenant = gate.tenants.get(call.tenant)
    prompt = gate.prompts.find(name, tenant.settings.language) if tenant else None
    sound = gate.sound(call.pbx, prompt) if prompt else None
    if sound is not None:
        await session.stream_file(sound, timeout=CONFIRMATION_S)
