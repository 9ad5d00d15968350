"""A callguard that stands still and has no watchdog: the lease alone protects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.asterisk import Asterisk
from tests.lab.calls import Telephony
from tests.lab.guarded import GuardedPbx, eventually, new_number
from tests.lab.ports import PortRange
from tests.lab.sipp import Talk

pytestmark = pytest.mark.lab

LEASE_S = 3.0
"""The age at which the dialplan takes a lease for stale."""


@pytest.fixture(scope="module")
def unwatched(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPbx]:
    beside = GuardedPbx(pbx, tmp_path_factory.mktemp("unwatched"), watchdog_s=0)
    try:
        yield beside.open(furnished)
    finally:
        beside.close()


def test_a_call_inside_the_gate_is_held_and_then_decided(
    unwatched: GuardedPbx, tmp_path: Path, ports: PortRange
) -> None:
    """Later calls do not wait: the lease is stale by then."""
    held, late, caller = new_number(), new_number(), new_number()
    another = Telephony(unwatched.pbx, tmp_path, agent_port=ports.take())
    unwatched.callguard.freeze()
    frozen_at = time.monotonic()
    with unwatched.telephony.party_answers() as party:
        agent = unwatched.telephony.agent_calls(held)
        time.sleep(frozen_at + LEASE_S + 1.1 - time.monotonic())  # for the lease to run out
        assert agent.outcome().final_code == 0
        assert party.outcome().trace == ()
        blocked = another.agent_calls(late).finish()
        assert blocked.final_code == 503
        assert party.outcome().trace == ()
        unwatched.callguard.thaw()
        assert agent.finish().final_code == 200
        assert party.finish().connected
    inbound = unwatched.inbound(caller, talk_ms=300)

    assert [call["verdict"] for call in unwatched.settled(held).calls] == ["allow"]
    assert unwatched.so_far(late).calls == []
    assert inbound.party.connected
    assert len(unwatched.settled(caller).recordings) == 1, "all is as before"


def test_when_it_is_killed_the_held_outbound_call_is_blocked(unwatched: GuardedPbx) -> None:
    unwatched.callguard.freeze()
    with unwatched.telephony.party_answers() as party:
        agent = unwatched.telephony.agent_calls(new_number())
        eventually(lambda: agent.outcome().trace)
        time.sleep(0.3)  # it would have been decided by now
        assert agent.outcome().final_code == 0
        unwatched.callguard.kill()
        outcome = agent.finish()

        assert outcome.final_code == 503
        assert party.outcome().trace == ()
    unwatched.mend()


def test_a_caller_is_connected_unrecorded_before_and_after_the_lease_runs_out(
    unwatched: GuardedPbx,
) -> None:
    unwatched.callguard.freeze()
    frozen_at = time.monotonic()
    with unwatched.telephony.agent_answers() as phone:
        held = unwatched.telephony.outsider_calls(caller=new_number(), steps=(Talk(300),))
        time.sleep(frozen_at + LEASE_S + 1.1 - time.monotonic())  # for the lease to run out
        assert phone.outcome().trace == (), "held by the gate"
        unwatched.callguard.kill()
        assert held.finish().connected
        assert phone.finish().connected
    after = unwatched.inbound(new_number(), steps=(Talk(300),))
    assert after.party.connected
    assert unwatched.callguard.spooled() == []
    unwatched.mend()
