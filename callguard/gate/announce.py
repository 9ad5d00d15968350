"""The notice on the protected party's leg, what they answer, and the start of the recording."""

from enum import Enum

import structlog

from callguard.agi.session import AgiSession
from callguard.agi.wire import AgiError
from callguard.consent.ledger import Consent, as_row
from callguard.consent.notice import OPT_OUT_DIGIT, Played, consent_by_notice
from callguard.consent.prompts import RATE, Prompt
from callguard.consent.states import ConsentState
from callguard.gate.callbook import Call
from callguard.gate.opt_out import opt_out
from callguard.gate.room import Gate
from callguard.ids import uuid7
from callguard.policy.rules import Obligation
from callguard.retention.schedule import expires_at
from callguard.storage.journal import NotDurableError
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

MONITOR = "CALLGUARD_MONITOR"
"""The channel variable in which MixMonitor leaves its id."""

SLACK_S = 10.0
"""How much longer than its own length the playing of a prompt may take."""


class After(Enum):
    """How the call goes on after the notice."""

    CONNECT = "connect"
    END = "end"


_SILENCING = frozenset({Obligation.DO_NOT_RECORD, Obligation.ASK_CONSENT})
"""Where a yes must be asked for there is no recording: a notice does not ask."""


def is_announced(call: Call, tenant: Tenant) -> bool:
    """Whether this call is one that may be recorded, so that its notice is played."""
    return tenant.settings.record and not (_SILENCING & call.obligations)


async def announce(gate: Gate, session: AgiSession, call: Call, tenant: Tenant) -> After:
    """Plays the notice, writes the ledger, and starts the recording where consent stands.

    Nothing that fails here starts a recording; the call itself goes on.
    """
    if not is_announced(call, tenant) or not gate.calls.announce_once(call):
        return After.CONNECT
    language = tenant.settings.language
    prompt = gate.prompts.find("notice", language)
    played = Played(0, None, hung_up=False)
    failure: AgiError | None = None
    if prompt is None:
        gate.counts.fault("prompt_missing")
        log.error("prompt_missing", prompt="notice", language=language, call=call.id)
    else:
        try:
            played = await _play(gate, session, call, prompt, OPT_OUT_DIGIT)
        except AgiError as error:
            failure = error
    state = consent_by_notice(played, prompt.samples if prompt else 0)
    opted_out = state is ConsentState.REFUSED and await opt_out(
        gate, call, way="call", prompt=prompt.evidence if prompt else None
    )
    kept = await _keep(gate, call, tenant, state, prompt, played)
    if failure is not None:
        raise failure
    if state is ConsentState.REFUSED:
        return await _confirm(gate, session, call, tenant, opted_out=opted_out)
    if kept and state is ConsentState.GRANTED:
        await _record(gate, session, call, tenant)
    return After.CONNECT


async def _play(gate: Gate, session: AgiSession, call: Call, prompt: Prompt, digits: str) -> Played:
    sound = gate.sound(call.pbx, prompt)
    if sound is None:
        gate.counts.fault("unknown_pbx")
        log.error("unknown_pbx", pbx=call.pbx, call=call.id)
        return Played(0, None, hung_up=False)
    limit = prompt.samples / RATE + SLACK_S
    streamed = await session.stream_file(sound, digits, timeout=limit)
    return Played(streamed.endpos, streamed.digit, streamed.hung_up)


async def _keep(
    gate: Gate,
    call: Call,
    tenant: Tenant,
    state: ConsentState,
    prompt: Prompt | None,
    played: Played,
) -> bool:
    """Writes the ledger entry; whether it is durable."""
    at = gate.clock.now()
    entry = Consent(
        id=str(uuid7(at)),
        tenant=tenant.id,
        call_id=call.id,
        subject=call.subject,
        state=state,
        prompt=prompt,
        language=tenant.settings.language,
        played=played,
        at=at,
        expires_at=expires_at(at, tenant.days("consent")),
    )
    gate.counts.notice(state.value)
    log.info("notice", call=call.id, state=state.value, samples=played.endpos)
    try:
        await gate.journal.insert(as_row(entry), timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("consent_not_durable", call=call.id, reason=str(error))
        return False
    return True


async def _confirm(
    gate: Gate, session: AgiSession, call: Call, tenant: Tenant, *, opted_out: bool
) -> After:
    """Says that the opt-out is done, once it is durable, or that it is not; who has no number to
    enter is told neither. Where it is not done, an agent can still be told of it."""
    if call.subject:
        name = "optout-done" if opted_out else "optout-failed"
        prompt = gate.prompts.find(name, tenant.settings.language)
        if prompt is not None:
            await _play(gate, session, call, prompt, "")
    return After.END if opted_out and tenant.settings.on_opt_out == "end" else After.CONNECT


async def _record(gate: Gate, session: AgiSession, call: Call, tenant: Tenant) -> None:
    file = await gate.recordings.begin(tenant, call, session.env.uniqueid)
    if file is None:
        return
    try:
        # The file name is opaque and ours: the arguments of MixMonitor can run a shell.
        await session.exec("MixMonitor", file, f"bi({MONITOR})")
        gate.recordings.running(file, await session.get_variable(MONITOR))
    except AgiError as error:
        gate.counts.fault("mixmonitor_refused")
        log.error("recording_not_started", call=call.id, reason=str(error))
        gate.recordings.abandon(file)
        raise
