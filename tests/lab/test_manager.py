"""The manager connection is lost, refused, or comes back: calls are judged all the while."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab.asterisk import Asterisk
from tests.lab.guarded import GuardedPbx, eventually, new_number
from tests.lab.proxy import Proxy
from tests.lab.sipp import Talk

pytestmark = pytest.mark.lab

OUTAGE_S = 4.5
"""Longer than the lease over AMI lasts."""
LOOK_S = 2.5
DOWN = "the manager connection is down"


@pytest.fixture(scope="module")
def network(pbx: Asterisk) -> Iterator[Proxy]:
    with Proxy(pbx.ami.port) as between:
        yield between


@pytest.fixture(scope="module")
def remote(
    pbx: Asterisk,
    network: Proxy,
    furnished: GuardedPbx,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GuardedPbx]:
    """callguard that reaches the AMI over that network."""
    beside = GuardedPbx(pbx, tmp_path_factory.mktemp("remote"), ami_port=network.port)
    try:
        yield beside.open(furnished)
    finally:
        beside.close()


def alarmed(guarded: GuardedPbx) -> bool:
    return DOWN in guarded.callguard.get("/")[1]


def test_a_cut_in_the_middle_of_a_call_costs_nothing(remote: GuardedPbx, network: Proxy) -> None:
    """The call ends while the connection is lost; on its return it is sealed and told once."""
    number = new_number()
    with remote.telephony.party_answers() as party:
        agent = remote.telephony.agent_calls(number, steps=(Talk(900),))
        eventually(lambda: agent.outcome().connected)
        network.cut()
        talked = agent.finish().talks[0]
        party.finish()
    eventually(lambda: alarmed(remote))
    network.mend()

    story = remote.settled(number, timeout=25)
    assert [remote.seconds(r) for r in story.recordings] == [pytest.approx(talked, abs=0.2)]
    assert len(story.records) == 1
    eventually(lambda: not alarmed(remote))


def test_a_long_outage_of_ami_blocks_no_call(remote: GuardedPbx, network: Proxy) -> None:
    """The lease goes by file too, longer than the one over AMI lasts."""
    early, late, caller = new_number(), new_number(), new_number()
    network.cut()
    lost_at = time.monotonic()
    first = remote.outbound(early, talk_ms=500)
    time.sleep(max(0.0, lost_at + OUTAGE_S - time.monotonic()))  # the outage is what is tested
    assert alarmed(remote)
    second = remote.outbound(late, talk_ms=500)
    third = remote.inbound(caller, talk_ms=500)
    assert remote.callguard.get("/readyz")[0] == 200
    network.mend()

    assert (first.code, second.code, third.code) == (200, 200, 200)
    for number in (early, late, caller):
        story = remote.settled(number, timeout=25)
        assert [recording["state"] for recording in story.recordings] == ["sealed"]
        assert len(story.records) == 1
    assert remote.callguard.spooled() == []


def test_a_wrong_password_is_one_clear_line_and_no_storm(
    remote: GuardedPbx, network: Proxy
) -> None:
    secret = remote.callguard.folder / "manager.secret"
    right = secret.read_text()
    remote.callguard.stop()
    remote.callguard.log.write_text("")
    secret.write_text("wrong")
    before = network.connections
    remote.callguard.start(leased=False)
    try:
        eventually(lambda: remote.logged("ami_login_refused"))
        page = eventually(lambda: alarmed(remote) and remote.callguard.get("/")[1])
        time.sleep(LOOK_S)  # for attempts that should not come
        placed = remote.outbound(new_number(), talk_ms=200)

        assert network.connections - before == 1
        assert len(remote.logged("ami_login_refused")) == 1
        assert "login refused" in str(page)
        assert "wrong" not in remote.callguard.log.read_text()
        assert placed.code == 200, "calls are judged without AMI"
    finally:
        secret.write_text(right)
        remote.callguard.stop()
        remote.callguard.start()
    assert not alarmed(remote)
