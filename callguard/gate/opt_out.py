"""Wishes enter at the gate, in a call or from outside one: durable first, then obeyed, and only
then confirmed to whoever uttered them."""

from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import Connection

from callguard.gate.callbook import Call
from callguard.gate.room import Gate
from callguard.optout.events import OptOutEvent, add
from callguard.optout.known import came_already, stands_already
from callguard.optout.standing import history
from callguard.policy.numbers import mask
from callguard.storage.journal import NotDurableError

log = structlog.get_logger(__name__)

LOT = 50
"""Most wishes of one write, between which the verdicts of calls are kept."""

Known = Callable[[Connection, OptOutEvent], bool]
_Entered = tuple[bool, list[tuple[int, OptOutEvent]]]
"""Whether a wish is new, and the rows by which it stands."""


async def enter(gate: Gate, event: OptOutEvent) -> bool:
    """Makes the wish durable, then part of what every call is decided by; whether it is durable.

    What returns False must not be confirmed to anybody. Raises OptOutError where the event is one
    that cannot be entered; then nothing was written.
    """
    return await _enter(gate, [event]) is not None


async def enter_new(gate: Gate, events: Sequence[OptOutEvent]) -> tuple[bool, ...] | None:
    """Enters those of these opt-outs that do not stand yet; which were new. None where they are
    not all durable: then none may be confirmed, and all may be asked for again.

    Raises OptOutError where one of them cannot be entered.
    """
    entered: list[bool] = []
    for start in range(0, len(events), LOT):
        lot = await _enter(gate, events[start : start + LOT], stands_already)
        if lot is None:
            return None
        entered += lot
    return tuple(entered)


async def enter_once(gate: Gate, events: Sequence[OptOutEvent]) -> tuple[bool, ...] | None:
    """Enters those of these few wishes of which the evidence is not there yet, together; which
    were new. None where they are not durable. Raises OptOutError as ``enter`` does."""
    return await _enter(gate, events, came_already)


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
    return await enter(gate, event)


async def _enter(
    gate: Gate, events: Sequence[OptOutEvent], known: Known | None = None
) -> tuple[bool, ...] | None:
    def work(connection: Connection) -> list[_Entered]:
        # Each sees what those before it wrote.
        entered: list[_Entered] = []
        for event in events:
            if known is not None and known(connection, event):
                # It may be of a write that was given up and kept all the same.
                entered.append((False, history(connection, event.subject)))
            else:
                entered.append((True, [(add(connection, event), event)]))
        return entered

    try:
        entered = await gate.journal.write(work, timeout=gate.durable_s)
    except NotDurableError as error:
        gate.counts.not_durable += 1
        first = events[0]
        log.error("opt_out_not_durable", call=first.call_id, way=first.way, reason=str(error))
        return None
    for new, rows in entered:
        for sequence, event in rows:
            gate.opt_outs.apply(sequence, event)
        if new:
            _tell(rows[0][1])
    return tuple(new for new, _ in entered)


def _tell(event: OptOutEvent) -> None:
    log.info(
        "opted_out" if event.standing else "opted_in",
        call=event.call_id,
        subject=mask(event.subject),
        tenant=event.tenant,
        way=event.way,
    )
