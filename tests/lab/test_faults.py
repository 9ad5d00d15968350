"""The failure table on a real Asterisk: callguard stopped, frozen, or without its database."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.guarded import NOTICE_S, GuardedPbx, Placed, eventually, new_number
from tests.lab.sipp import Talk

pytestmark = pytest.mark.lab

EMERGENCY = "911"
DURABLE_S = 2.0
"""How long the gate waits for a verdict to be durable."""

PASSED_BY = (Talk(300),)
"""For a caller who is connected without a notice."""


@pytest.fixture(autouse=True)
def mended(guarded: GuardedPbx) -> Iterator[None]:
    """Each test finds callguard serving, whatever the one before did to it."""
    yield
    guarded.mend()


@contextmanager
def locked_database(guarded: GuardedPbx) -> Iterator[None]:
    """Somebody else holds the database for writing."""
    other = sqlite3.connect(guarded.callguard.data / "callguard.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


def answered_after(placed: Placed) -> float:
    """Seconds from the agent's INVITE to its final answer."""
    invite, *_, _ack = (m.at for m in placed.agent.trace)
    final = next(m.at for m in placed.agent.trace if m.status >= 200)
    return final - invite


def readiness(guarded: GuardedPbx) -> tuple[int, list[str]]:
    status, text = guarded.callguard.get("/readyz")
    return status, json.loads(text)["reasons"]


def recordings_on_the_spool(guarded: GuardedPbx) -> list[str]:
    return list(guarded.callguard.spooled())


def test_a_stopped_callguard_blocks_outbound_and_connects_the_rest(guarded: GuardedPbx) -> None:
    guarded.callguard.stop()

    outbound = guarded.outbound(new_number())
    inbound = guarded.inbound(new_number(), steps=PASSED_BY)
    emergency = guarded.outbound(EMERGENCY)

    assert (outbound.code, outbound.dialled) == (503, 0)
    assert answered_after(outbound) < 0.5
    assert inbound.party.connected
    assert (emergency.code, emergency.dialled) == (200, 1)
    assert recordings_on_the_spool(guarded) == []


def test_a_frozen_callguard_is_ended_and_holds_no_call_for_three_seconds(
    guarded: GuardedPbx,
) -> None:
    guarded.callguard.freeze()
    frozen_at = time.time()
    placed = guarded.outbound(new_number())
    emergency = guarded.outbound(EMERGENCY)

    assert (placed.code, placed.dialled) == (503, 0)
    final = next(m.at for m in placed.agent.trace if m.status >= 200)
    assert final - frozen_at < 3.0
    guarded.callguard.wait_until_gone()
    assert (emergency.code, emergency.dialled) == (200, 1)


def test_a_caller_inside_the_gate_at_the_freeze_is_connected_unrecorded(
    guarded: GuardedPbx,
) -> None:
    guarded.callguard.freeze()
    placed = guarded.inbound(new_number(), steps=PASSED_BY)

    assert placed.agent.connected
    assert placed.party.connected
    assert recordings_on_the_spool(guarded) == []


def test_a_locked_database_blocks_outbound_and_connects_the_rest(guarded: GuardedPbx) -> None:
    number, caller = new_number(), new_number()
    with locked_database(guarded):
        outbound = guarded.outbound(number)
        assert readiness(guarded)[0] == 503
        emergency = guarded.outbound(EMERGENCY)
        inbound = guarded.inbound(caller, steps=PASSED_BY)

    assert (outbound.code, outbound.dialled) == (503, 0)
    assert answered_after(outbound) < DURABLE_S + 0.5
    assert (emergency.code, emergency.dialled) == (200, 1)
    assert inbound.party.connected
    assert recordings_on_the_spool(guarded) == []


def test_once_the_database_is_free_calls_are_decided_and_recorded_again(
    guarded: GuardedPbx,
) -> None:
    with locked_database(guarded):
        guarded.outbound(new_number())
    number = new_number()
    placed = guarded.outbound(number)

    assert (placed.code, placed.dialled) == (200, 1)
    story = guarded.settled(number)
    assert [recording["state"] for recording in story.recordings] == ["sealed"]
    eventually(lambda: readiness(guarded) == (200, []))


def test_a_database_that_locks_during_the_talk_loses_nothing(guarded: GuardedPbx) -> None:
    """The recording ends while nothing can be written; it is sealed when it can."""
    number = new_number()
    with guarded.telephony.party_answers() as party:
        agent = guarded.telephony.agent_calls(number, steps=(Talk(1200),))
        eventually(lambda: guarded.so_far(number).recordings)
        with locked_database(guarded):
            talked = agent.finish().talks[0]
            party.finish()
            time.sleep(DURABLE_S)  # the lock itself is what is tested
    story = guarded.settled(number)

    assert [guarded.seconds(r) for r in story.recordings] == [pytest.approx(talked, abs=0.2)]
    assert len(story.records) == 1


def test_a_stop_in_order_in_the_middle_of_a_call_leaves_the_call_alone(
    guarded: GuardedPbx,
) -> None:
    number = new_number()
    with guarded.telephony.party_answers() as party:
        agent = guarded.telephony.agent_calls(number, steps=(Talk(int(NOTICE_S * 1000) + 1500),))
        eventually(lambda: guarded.so_far(number).recordings)
        assert guarded.callguard.stop() == 0
        talked = agent.finish().talks[0]
        party.finish()
    guarded.mend()

    story = guarded.settled(number)
    assert [guarded.seconds(r) for r in story.recordings] == [pytest.approx(talked, abs=0.2)]
    assert len(story.records) == 1
