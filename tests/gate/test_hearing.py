"""A recording is heard only while everybody whom it hears, or may hear at any moment, agreed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.consent.states import ConsentState
from callguard.gate.hearing import LOST, Trunks, hearing
from tests.gate.scenes import CHANNELS, LOCAL, REFUSED, STEPS, TRUNKS, Scene, World


@pytest.mark.parametrize(
    ("name", "leads_out"),
    [
        ("PJSIP/carrier-0000002a", True),
        ("pjsip/Carrier-0000002a", True),
        ("PJSIP/carrier2-0000002a", False),
        ("PJSIP/agent1-0000002a", False),
        ("DAHDI/i1/5550100-3", True),
        ("AsyncGoto/PJSIP/carrier-0000002a", True),
        ("PJSIP/carrier", True),
        ("", False),
    ],
)
def test_a_trunk_is_known_by_the_endpoint_of_a_channel(name: str, leads_out: bool) -> None:
    assert TRUNKS.has(name) == leads_out
    assert not Trunks(()).has(name)


def recorded() -> Scene:
    """Somebody on ``c`` who agreed is recorded, in bridge ``x`` with an agent on ``a``."""
    scene = Scene().comes("a", "PJSIP/agent1-1").comes("c", "PJSIP/carrier-2")
    return scene.is_told("c").enters("x", "a", "c")


SCENES = {
    "an agent and who agreed": (recorded(), set()),
    "who agreed, alone": (Scene().comes("c", "PJSIP/carrier-2").is_told("c"), set()),
    "who was never told": (
        Scene().comes("c", "PJSIP/carrier-2").comes("a", "PJSIP/agent1-1").enters("x", "a", "c"),
        {"not told: c"},
    ),
    "who refused": (recorded().is_told("c", REFUSED), {"refused: c"}),
    "who withdrew": (recorded().is_told("c", ConsentState.WITHDRAWN), {"withdrawn: c"}),
    "whose notice was cut short": (
        recorded().is_told("c", ConsentState.INCOMPLETE),
        {"not told: c"},
    ),
    "who agreed with another tenant": (recorded().is_told("c", tenant="b"), {"not told: c"}),
    "a channel that is not known": (Scene(), {LOST}),
    "a third in the same bridge": (
        recorded().comes("t", "PJSIP/carrier-3", "9").enters("x", "t"),
        {"not told: t"},
    ),
    "a third who agreed": (
        recorded().comes("t", "PJSIP/carrier-3", "9").is_told("t").enters("x", "t"),
        set(),
    ),
    "a colleague": (recorded().comes("b", "PJSIP/agent2-3").enters("x", "b"), set()),
    "somebody who is being dialled": (recorded().comes("t", "PJSIP/carrier-3"), {"not told: t"}),
    "a colleague who is being dialled": (recorded().comes("b", "PJSIP/agent2-3"), set()),
    "somebody whom the one who is recorded is calling": (
        recorded().comes("t", "PJSIP/carrier-3", "9").dials("c", "t"),
        {"not told: t"},
    ),
    "somebody who is dialled in another call": (
        recorded().comes("t", "PJSIP/carrier-3", "9"),
        set(),
    ),
    "somebody who is the first in a bridge": (
        recorded().comes("t", "PJSIP/carrier-3").enters("y", "t"),
        {"not told: t"},
    ),
    "somebody who waits where nobody is heard": (
        recorded()
        .comes("t", "PJSIP/carrier-3")
        .comes("u", "PJSIP/agent3-4")
        .enters("y", "t", "u", technology="holding_bridge"),
        {"not told: t"},
    ),
    "somebody with whom a colleague talks elsewhere": (
        recorded().comes("t", "PJSIP/carrier-3").comes("b", "PJSIP/agent2-4").enters("y", "t", "b"),
        set(),
    ),
    "somebody to whom Asterisk plays an announcement": (
        recorded().comes("t", "PJSIP/carrier-3").comes("n", "CBAnn/1-1").enters("y", "t", "n"),
        {"not told: t"},
    ),
    "the announcer of a conference": (recorded().comes("n", "CBAnn/1-1").enters("x", "n"), set()),
    "somebody behind a Local channel": (
        recorded()
        .comes("1", f"{LOCAL};1")
        .comes("2", f"{LOCAL};2")
        .comes("t", "PJSIP/carrier-3", "9")
        .enters("x", "1")
        .enters("y", "2", "t"),
        {"not told: t"},
    ),
    "half a Local channel": (
        recorded().comes("1", f"{LOCAL};1").enters("x", "1"),
        {"not told: other end of 1"},
    ),
    "two who are parked together": (
        Scene()
        .comes("c", "PJSIP/carrier-2")
        .is_told("c")
        .comes("t", "PJSIP/carrier-3", "9")
        .enters("p", "c", "t", technology="holding_bridge"),
        set(),
    ),
}


@pytest.mark.parametrize("case", SCENES)
def test_why_a_recording_of_the_one_who_agreed_is_silent(case: str) -> None:
    scene, why = SCENES[case]
    assert scene.why("c") == why


def test_a_recording_of_the_agent_hears_the_same() -> None:
    scene = recorded()
    assert scene.why("a") == set()
    assert scene.is_told("c", REFUSED).why("a") == {"refused: c"}


def test_somebody_elses_recording_may_hear_those_who_agreed_to_one_tenant() -> None:
    scene = recorded().comes("t", "PJSIP/carrier-3").is_told("t").enters("x", "t")
    assert scene.why("a", None) == set()
    assert scene.is_told("t", tenant="b").why("a", None) == {"told by several tenants"}


def test_who_is_known_to_join_counts_whatever_they_are_linked_with() -> None:
    scene = recorded().comes("t", "PJSIP/carrier-3", "9")
    assert scene.why("c", "a", "t") == {"not told: t"}
    assert scene.is_told("t").why("c", "a", "t") == set()


@settings(max_examples=300, derandomize=True)
@given(st.sets(st.sampled_from(sorted(CHANNELS))), st.lists(STEPS, max_size=60))
def test_whatever_happens_only_those_who_agreed_are_heard(
    first: set[str], steps: list[tuple[str, str, str]]
) -> None:
    world = World()
    for who in sorted(first):
        world.step("comes", who, "1")
    known: dict[str, tuple[frozenset[str], set[str]]] = {}
    for step in steps:
        world.step(*step)
        live = world.scene.live
        touched = live.take_touched() | world.touched
        world.touched.clear()
        for who, uniqueid in world.here.items():
            why = world.scene.why(uniqueid)
            if not why:
                assert all(world.agreed(voice) for voice in world.voices(who))
            # Whoever looks again only at what was touched sees the same.
            if uniqueid not in known or known[uniqueid][0] & touched:
                known[uniqueid] = hearing(live, uniqueid).watched, why
            assert known[uniqueid][1] == why
