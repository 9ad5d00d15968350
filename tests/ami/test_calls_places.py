"""Who is where, and what looks different since one last looked."""

from callguard.ami.calls import Held, LiveCalls
from callguard.ami.wire import Message
from tests.ami.calls_told import (
    ALICE,
    BRIDGE,
    CAROL,
    NAMES,
    UP,
    dials,
    enters,
    hangs_up,
    leaves,
    leg,
    listed,
    new,
    state,
    told,
)


def followed(*events: Message) -> LiveCalls:
    calls = LiveCalls()
    for at, event in enumerate(events):
        calls.apply(event, float(at))
    return calls


def ids(found: object) -> list[str]:
    assert isinstance(found, tuple)
    return [channel.uniqueid for channel in found]


def local(half: int) -> Message:
    name = f"Local/600@inside-00000001;{half}"
    return told("Newchannel", ("Channel", name), ("Uniqueid", f"9.{half}"), ("Linkedid", ALICE))


def test_channels_are_found_by_what_they_are_linked_with_and_by_who_dialled_them() -> None:
    calls = followed(new(ALICE), new(CAROL), dials(ALICE, CAROL))
    assert ids(calls.linked(ALICE)) == [ALICE, CAROL]
    assert ids(calls.dialled_from(ALICE)) == [CAROL]
    calls.apply(hangs_up(CAROL), 9)
    assert ids(calls.linked(ALICE)) == [ALICE]
    assert calls.dialled_from(ALICE) == ()
    calls.apply(hangs_up(ALICE), 9)
    assert calls.linked(ALICE) == ()


def test_a_channel_that_is_linked_anew_is_found_there_only() -> None:
    calls = followed(new(ALICE))
    moved = [header for header in leg(ALICE, UP) if header[0] != "Linkedid"]
    calls.take_touched()
    calls.apply(told("Newstate", *moved, ("Linkedid", CAROL)), 9)
    assert (ids(calls.linked(ALICE)), ids(calls.linked(CAROL))) == ([], [ALICE])
    assert calls.take_touched() == {ALICE, CAROL}


def test_the_halves_of_a_local_channel_are_found_by_each_other() -> None:
    calls = followed(local(1), local(2), new(ALICE))
    one, two = calls.channels["9.1"], calls.channels["9.2"]
    assert (calls.other_half(one), calls.other_half(two)) == (two, one)
    assert calls.other_half(calls.channels[ALICE]) is None
    calls.apply(told("Hangup", ("Channel", two.name), ("Uniqueid", "9.2")), 9)
    assert calls.other_half(one) is None


def test_what_changes_nothing_of_who_is_where_touches_nothing() -> None:
    calls = followed(new(ALICE), new(CAROL))
    assert calls.take_touched() == {ALICE, CAROL}
    calls.apply(state(CAROL, UP), 9)
    assert calls.take_touched() == frozenset()
    calls.apply(enters(CAROL), 9)
    assert calls.take_touched() == {ALICE, CAROL, BRIDGE}
    calls.apply(enters(CAROL), 9)
    assert calls.take_touched() == frozenset()
    calls.apply(leaves(CAROL), 9)
    assert calls.take_touched() == {ALICE, CAROL, BRIDGE}
    calls.apply(hangs_up(CAROL), 9)
    assert calls.take_touched() == {ALICE, CAROL}
    calls.resync([listed(ALICE, bridge=BRIDGE)], 10.0)
    assert calls.take_touched() == {ALICE, BRIDGE}


def test_a_parking_place_is_known_until_nobody_is_there() -> None:
    park = told("BridgeEnter", ("BridgeTechnology", "holding_bridge"), *enters(ALICE).headers[1:])
    calls = followed(new(ALICE), park)
    assert calls.is_holding(BRIDGE)
    calls.apply(leaves(ALICE), 9)
    assert not calls.is_holding(BRIDGE)


def test_a_hold_is_told_and_remembered_by_its_end() -> None:
    calls = followed(new(ALICE), state(ALICE, UP))
    assert not calls.channels[ALICE].was_held_since(0)
    assert calls.apply(told("Hold", *leg(ALICE, UP)), 5.0) == [Held(ALICE, True)]
    assert calls.channels[ALICE].was_held_since(9)
    assert calls.apply(told("Unhold", *leg(ALICE, UP)), 10.0) == [Held(ALICE, False)]
    assert calls.channels[ALICE].was_held_since(10)
    assert not calls.channels[ALICE].was_held_since(10.1)
    assert NAMES[ALICE] == calls.channels[ALICE].name
