"""A call is followed from dialling to hang-up."""

from callguard.ami.calls import (
    EVENTS,
    Bridged,
    Change,
    ChannelAnswered,
    ChannelGone,
    ChannelUp,
    Dialled,
    LiveCalls,
    RecordingMuted,
    RecordingStarted,
    RecordingStopped,
    Unbridged,
)
from callguard.ami.wire import Message, Parser
from tests.ami.calls_told import (
    ALICE,
    BRIDGE,
    CAROL,
    NAMES,
    RINGING,
    UP,
    dialled,
    dials,
    enters,
    hangs_up,
    leaves,
    leg,
    new,
    state,
    told,
)
from tests.ami.transcript import CALL


def follow(calls: LiveCalls, *events: Message) -> list[Change]:
    return [change for at, event in enumerate(events) for change in calls.apply(event, float(at))]


def test_a_call_from_dialling_to_hang_up() -> None:
    calls = LiveCalls()
    assert follow(
        calls,
        new(ALICE),
        new(CAROL),
        dials(ALICE, CAROL),
        state(CAROL, RINGING),
        state(CAROL, UP),
        dialled(ALICE, CAROL, "ANSWER"),
        state(ALICE, UP),
        enters(CAROL),
        enters(ALICE),
    ) == [
        ChannelUp(ALICE, NAMES[ALICE], ALICE),
        ChannelUp(CAROL, NAMES[CAROL], ALICE),
        Dialled(CAROL, ALICE, ""),
        ChannelAnswered(CAROL, NAMES[CAROL]),
        ChannelAnswered(ALICE, NAMES[ALICE]),
        Bridged(CAROL, BRIDGE),
        Bridged(ALICE, BRIDGE),
    ]
    assert [channel.uniqueid for channel in calls.in_bridge(BRIDGE)] == [ALICE, CAROL]
    assert all(channel.answered for channel in calls.channels.values())
    assert follow(calls, leaves(CAROL), hangs_up(CAROL), leaves(ALICE), hangs_up(ALICE, "127")) == [
        Unbridged(CAROL, BRIDGE),
        ChannelGone(CAROL, 16),
        Unbridged(ALICE, BRIDGE),
        ChannelGone(ALICE, 127),
    ]
    assert calls.channels == {}
    assert calls.in_bridge(BRIDGE) == ()


def test_a_busy_line_is_never_answered() -> None:
    calls = LiveCalls()
    changes = follow(
        calls, new(ALICE), dials(ALICE, CAROL), dialled(ALICE, CAROL, "BUSY"), hangs_up(CAROL, "17")
    )
    assert ChannelUp(CAROL, NAMES[CAROL], ALICE) in changes
    assert changes[-1] == ChannelGone(CAROL, 17)
    assert not any(isinstance(change, ChannelAnswered) for change in changes)


def test_an_answer_is_told_by_whichever_event_comes_first_and_once() -> None:
    calls = LiveCalls()
    follow(calls, new(ALICE), new(CAROL))
    assert follow(calls, dialled(ALICE, CAROL, "ANSWER"), state(CAROL, UP)) == [
        ChannelAnswered(CAROL, NAMES[CAROL])
    ]


def test_a_recording_starts_is_muted_and_stops() -> None:
    calls = LiveCalls()
    follow(calls, new(ALICE), enters(ALICE))
    mute = told("MixMonitorMute", *leg(ALICE, UP), ("Direction", "both"), ("State", "1"))
    unmute = told("MixMonitorMute", *leg(ALICE, UP), ("Direction", "both"), ("State", "0"))
    assert follow(calls, told("MixMonitorStart", *leg(ALICE, UP)), mute) == [
        RecordingStarted(ALICE, NAMES[ALICE]),
        RecordingMuted(ALICE, NAMES[ALICE], True, "both"),
    ]
    assert (calls.channels[ALICE].recordings, calls.channels[ALICE].muted) == (1, True)
    assert follow(calls, unmute, told("MixMonitorStop", *leg(ALICE, UP))) == [
        RecordingMuted(ALICE, NAMES[ALICE], False, "both"),
        RecordingStopped(ALICE, NAMES[ALICE]),
    ]
    assert (calls.channels[ALICE].recordings, calls.channels[ALICE].muted) == (0, False)


def test_a_hang_up_under_a_recording_stops_it_first() -> None:
    calls = LiveCalls()
    start = told("MixMonitorStart", *leg(ALICE, UP))
    follow(calls, new(ALICE), enters(ALICE), start, start)
    assert follow(calls, hangs_up(ALICE)) == [
        Unbridged(ALICE, BRIDGE),
        RecordingStopped(ALICE, NAMES[ALICE]),
        RecordingStopped(ALICE, NAMES[ALICE]),
        ChannelGone(ALICE, 16),
    ]


def test_a_recording_on_a_channel_never_seen_is_told() -> None:
    calls = LiveCalls()
    start = told("MixMonitorStart", *leg(ALICE, UP))
    assert RecordingStarted(ALICE, NAMES[ALICE]) in follow(calls, start)
    assert calls.channels[ALICE].recordings == 1


def test_a_transfer_moves_a_channel_to_another_bridge() -> None:
    calls = LiveCalls()
    follow(calls, new(ALICE), enters(ALICE))
    assert follow(calls, enters(ALICE, "other"), leaves(ALICE)) == [
        Unbridged(ALICE, BRIDGE),
        Bridged(ALICE, "other"),
    ]
    assert calls.channels[ALICE].bridge == "other"


def test_a_renamed_channel_keeps_its_identity() -> None:
    calls = LiveCalls()
    rename = told(
        "Rename", ("Channel", NAMES[ALICE]), ("Newname", "PJSIP/b-3"), ("Uniqueid", ALICE)
    )
    assert follow(calls, new(ALICE), rename)[1:] == []
    assert calls.channels[ALICE].name == "PJSIP/b-3"
    assert follow(LiveCalls(), rename) == []


def test_what_comes_after_a_hang_up_revives_nothing() -> None:
    calls = LiveCalls()
    follow(calls, new(ALICE), hangs_up(ALICE))
    late = [leaves(ALICE), enters(ALICE), state(ALICE, UP), dials(ALICE, ALICE)]
    stop = told("MixMonitorStop", *leg(ALICE, UP))
    mute = told("MixMonitorMute", *leg(ALICE, UP), ("State", "1"))
    assert follow(calls, *late, stop, mute, hangs_up(ALICE)) == []
    assert calls.channels == {}


def test_a_stop_without_a_start_is_told_and_counts_nothing_below_zero() -> None:
    calls = LiveCalls()
    follow(calls, new(ALICE))
    assert follow(calls, told("MixMonitorStop", *leg(ALICE))) == [
        RecordingStopped(ALICE, NAMES[ALICE])
    ]
    assert calls.channels[ALICE].recordings == 0


def test_channels_are_bounded_and_recordings_beyond_are_still_told() -> None:
    calls = LiveCalls(limit=2)
    follow(calls, new("1.1"), new("1.2"), new("1.3"))
    assert set(calls.channels) == {"1.1", "1.2"}
    assert calls.untracked == 1
    start = told("MixMonitorStart", *leg("1.3", UP))
    assert follow(calls, start) == [RecordingStarted("1.3", "PJSIP/x-1.3")]
    follow(calls, hangs_up("1.1"), new("1.4"))
    assert set(calls.channels) == {"1.2", "1.4"}


def test_the_memory_of_what_hung_up_is_bounded() -> None:
    calls = LiveCalls()
    for number in range(10_000):
        calls.apply(hangs_up(f"1.{number}"), 0.0)
    assert len(calls._gone) == 4096


def test_events_that_say_nothing_are_nothing() -> None:
    calls = LiveCalls()
    assert follow(calls, told("Cdr"), told("Newchannel"), told("Hangup"), told("Newstate")) == []
    assert follow(calls, new(ALICE), hangs_up(ALICE, "many"))[-1] == ChannelGone(ALICE, None)


def test_a_real_call_is_followed_to_its_end() -> None:
    calls = LiveCalls()
    changes = follow(calls, *Parser(EVENTS).feed(CALL))
    kinds = [type(change) for change in changes]
    assert calls.channels == {}
    assert kinds.count(ChannelUp) == kinds.count(ChannelGone) == 4
    assert kinds.count(ChannelAnswered) == 4
    assert kinds.count(Bridged) == kinds.count(Unbridged) == 2
    # Asterisk itself says nothing when a recording ends with its channel.
    assert kinds.count(RecordingStarted) == kinds.count(RecordingStopped) == 1


def test_a_channel_that_hangs_up_in_its_bridge_may_have_left_its_place_to_another() -> None:
    calls = LiveCalls()
    follow(calls, new(ALICE), new(CAROL), enters(ALICE), enters(CAROL), leaves(ALICE))
    follow(calls, hangs_up(ALICE))
    assert not calls.take_place_taken()
    follow(calls, hangs_up(CAROL))
    assert calls.take_place_taken()
    assert not calls.take_place_taken(), "it is told once"
