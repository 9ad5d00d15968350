"""A party says, in the call, that they do not want to be called: durable first, then confirmed."""

import structlog

from callguard.gate.callbook import Call
from callguard.gate.room import Gate
from callguard.optout.events import OptOutEvent, add
from callguard.policy.numbers import mask
from callguard.storage.journal import NotDurableError

log = structlog.get_logger(__name__)


async def opt_out(gate: Gate, call: Call, *, way: str, prompt: str | None) -> bool:
    """Enters the opt-out of the call's subject against its tenant; whether it is durable.

    A subject without a number cannot be recognised again, so nothing is entered and nothing
    confirmed.
    """
    if not call.subject:
        gate.counts.fault("opt_out_without_number")
        log.warning("opt_out_without_number", call=call.id)
        return False
    event = OptOutEvent(
        subject=call.subject,
        tenant=call.tenant,
        standing=True,
        way=way,
        actor="subject",
        at=gate.clock.now(),
        call_id=call.id,
        prompt=prompt,
    )
    try:
        sequence = await gate.journal.write(lambda c: add(c, event), timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        log.error("opt_out_not_durable", call=call.id, reason=str(error))
        return False
    gate.opt_outs.apply(sequence, event)
    log.info("opted_out", call=call.id, subject=mask(call.subject), way=way)
    return True
