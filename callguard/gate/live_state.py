"""How the calls under way stand: what is recorded of them, and what the ledger says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select

from callguard.gate.callbook import Call, read_call
from callguard.gate.hearing import PAUSED
from callguard.gate.room import Gate
from callguard.recording.recorder import OpenRecording
from callguard.storage.schema import consents

State = Literal["recorded", "paused", "silent", "none"]
ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class LastConsent:
    """The last row of a call in the ledger, and the last mode in which somebody was told."""

    state: str
    mode: str


@dataclass(frozen=True, slots=True)
class Live:
    """The calls under way, the oldest first, and what the ledger says of them, by call."""

    calls: tuple[Call, ...]
    consents: dict[str, LastConsent]


def read_live(
    connection: Connection, known: Sequence[Call], running: Iterable[OpenRecording]
) -> Live:
    """Those that the gate knows, and those whose first channel is gone, and with it what the gate
    remembers of them, but that are recorded still: they were passed on."""
    there = {call.id for call in known}
    ids = sorted({one.call_id for one in running} - there)
    passed_on = [call for call_id in ids if (call := read_call(connection, call_id)) is not None]
    calls = tuple(sorted([*passed_on, *known], key=lambda call: call.decided_at))
    return Live(calls, _last_consents(connection, calls))


def _last_consents(connection: Connection, calls: Sequence[Call]) -> dict[str, LastConsent]:
    """Of those that have rows."""
    found: dict[str, LastConsent] = {}
    ids = [call.id for call in calls]
    for start in range(0, len(ids), ASKED_AT_ONCE):
        rows = connection.execute(
            select(consents.c.call_id, consents.c.state, consents.c.mode)
            .where(
                consents.c.call_id.in_(ids[start : start + ASKED_AT_ONCE]),
                consents.c.purpose == "recording",
            )
            .order_by(consents.c.id)
        )
        for row in rows:
            before = found.get(row.call_id)
            found[row.call_id] = LastConsent(row.state, row.mode or (before.mode if before else ""))
    return found


def recording_state(
    gate: Gate, call: Call, running: Iterable[OpenRecording]
) -> tuple[State, tuple[str, ...]]:
    """What is recorded of a call, and why it is silent where it is. One that is heard counts
    before those that are not."""
    acts = gate.acts.of(call.id)
    stopped = acts.stopped if acts is not None else ()
    reasons: set[str] = set()
    states: set[State] = set()
    for recording in running:
        if recording.id in stopped:
            continue
        why = gate.recordings.silent_for(recording)
        reasons |= why
        paused = gate.recordings.paused(recording)
        states.add("paused" if paused else "silent" if why else "recorded")
    loudest: tuple[State, ...] = ("recorded", "silent", "paused", "none")
    state = next(one for one in loudest if one in states or one == "none")
    return state, tuple(sorted(reasons - {PAUSED}))
