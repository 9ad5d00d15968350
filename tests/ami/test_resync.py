"""After a gap the channel list is the truth, except where an event is newer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.ami.calls import (
    Bridged,
    ChannelAnswered,
    ChannelGone,
    ChannelUp,
    LiveCalls,
    RecordingStopped,
    Unbridged,
)
from callguard.ami.wire import Message
from tests.ami.calls_told import (
    ALICE,
    BRIDGE,
    CAROL,
    NAMES,
    RINGING,
    enters,
    hangs_up,
    leg,
    listed,
    new,
    state,
    told,
)


def test_a_hang_up_lost_in_the_gap_is_found_out() -> None:
    calls = LiveCalls()
    calls.apply(new(ALICE), 1.0)
    calls.apply(enters(ALICE), 2.0)
    calls.apply(told("MixMonitorStart", *leg(ALICE)), 3.0)
    calls.apply(new(CAROL), 4.0)
    assert calls.resync([listed(CAROL, RINGING)], 10.0) == [
        Unbridged(ALICE, BRIDGE),
        RecordingStopped(ALICE, NAMES[ALICE]),
        ChannelGone(ALICE, None),
    ]
    assert set(calls.channels) == {CAROL}
    assert calls.apply(hangs_up(ALICE), 11.0) == []


def test_a_call_begun_in_the_gap_is_found() -> None:
    calls = LiveCalls()
    assert calls.resync([listed(ALICE, bridge=BRIDGE), listed(CAROL, RINGING)], 1.0) == [
        ChannelUp(ALICE, NAMES[ALICE], ALICE),
        ChannelAnswered(ALICE, NAMES[ALICE]),
        Bridged(ALICE, BRIDGE),
        ChannelUp(CAROL, NAMES[CAROL], ALICE),
    ]


def test_what_changed_in_the_gap_is_told() -> None:
    calls = LiveCalls()
    calls.apply(new(ALICE), 1.0)
    calls.apply(enters(CAROL), 1.0)
    assert calls.resync([listed(ALICE, bridge="b2"), listed(CAROL)], 5.0) == [
        ChannelAnswered(ALICE, NAMES[ALICE]),
        Bridged(ALICE, "b2"),
        Unbridged(CAROL, BRIDGE),
    ]
    assert calls.resync([listed(ALICE, bridge="b2"), listed(CAROL)], 6.0) == []


def test_an_event_newer_than_the_list_stands() -> None:
    calls = LiveCalls()
    asked = 5.0
    # All of these arrive after the list was asked for and before it is taken.
    calls.apply(new("1.1"), 6.0)
    calls.apply(hangs_up("1.2"), 6.0)
    calls.apply(enters("1.3"), 6.0)
    assert calls.resync([listed("1.2"), listed("1.3", RINGING)], asked) == []
    assert set(calls.channels) == {"1.1", "1.3"}
    assert calls.channels["1.3"].bridge == BRIDGE


def test_a_list_asked_for_after_a_hang_up_is_believed_over_it() -> None:
    calls = LiveCalls()
    calls.apply(new(ALICE), 1.0)
    calls.apply(hangs_up(ALICE), 2.0)
    assert calls.resync([listed(ALICE)], 3.0)[0] == ChannelUp(ALICE, NAMES[ALICE], ALICE)


def test_entries_that_show_no_channel_are_nothing() -> None:
    calls = LiveCalls(limit=1)
    assert calls.resync([told("CoreShowChannel")], 1.0) == []
    assert len(calls.resync([listed("1.1", RINGING), listed("1.2")], 1.0)) == 1
    assert calls.untracked == 1


ids = st.sampled_from([f"1.{number}" for number in range(6)])
events = st.one_of(
    ids.map(new),
    ids.map(hangs_up),
    st.builds(enters, ids, st.sampled_from(["a", "b"])),
    st.builds(state, ids, st.sampled_from(["4", "5", "6"])),
)


@given(st.lists(events, max_size=40), st.lists(ids, unique=True))
def test_after_a_resync_exactly_the_listed_channels_live(
    history: list[Message], alive: list[str]
) -> None:
    calls = LiveCalls()
    for at, event in enumerate(history):
        calls.apply(event, float(at))
    calls.resync([listed(uniqueid) for uniqueid in alive], 100.0)
    assert set(calls.channels) == set(alive)
    members = {c.uniqueid for b in ("a", "b", BRIDGE) for c in calls.in_bridge(b)}
    assert members == {c.uniqueid for c in calls.channels.values() if c.bridge}


@given(st.lists(events, max_size=60))
def test_every_channel_that_comes_up_goes_once(history: list[Message]) -> None:
    calls = LiveCalls()
    alive: set[str] = set()
    for at, event in enumerate(history):
        for change in calls.apply(event, float(at)):
            if isinstance(change, ChannelUp):
                assert change.uniqueid not in alive
                alive.add(change.uniqueid)
            elif isinstance(change, ChannelGone):
                alive.remove(change.uniqueid)
            else:
                assert change.uniqueid in alive
    assert alive == set(calls.channels)


@pytest.mark.parametrize("count", [0, 1])
def test_the_view_of_channels_cannot_be_changed(count: int) -> None:
    calls = LiveCalls()
    calls.resync([listed(ALICE)] * count, 0.0)
    assert len(calls.channels) == count
    with pytest.raises(TypeError):
        calls.channels[ALICE] = None  # type: ignore[index] # that is the point
