"""The chain of a call says in order what was said and recorded, and whether a consent stood
whenever a recording was audible."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callguard.consent.chain import (
    Chain,
    Decided,
    Happened,
    OptedOut,
    Recorded,
    Telling,
)
from callguard.consent.statement import audible_stretches, recorded_with_consent
from callguard.consent.states import ConsentState

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GRANTED, REFUSED = ConsentState.GRANTED, ConsentState.REFUSED
WITHDRAWN, INCOMPLETE = ConsentState.WITHDRAWN, ConsentState.INCOMPLETE

ANN = "1.2"
BOB = "1.7"
CAROL = "1.9"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def told(seconds: float, state: ConsentState, channel: str | None = ANN, **more: object) -> Telling:
    values = {
        "id": f"t{seconds:06.1f}{state}{channel}",
        "at": at(seconds),
        "tenant": "acme",
        "subject": "+44" if channel != BOB else "+972",
        "purpose": "recording",
        "state": state,
        "call": "call",
        "pbx": None if channel is None else "east",
        "channel": channel,
    }
    return Telling(**{**values, **more})  # type: ignore[arg-type] # as the table says


def event(seconds: float, kind: str, recording: str = "r1") -> Happened:
    return Happened(at=at(seconds), recording=recording, kind=kind, id=f"e{seconds:06.1f}{kind}")


def recorded(since: float = 10, until: float | None = 100, **more: object) -> Recorded:
    values = {
        "id": "r1",
        "call": "call",
        "tenant": "acme",
        "pbx": "east",
        "channel": ANN,
        "state": "sealed",
        "started_at": at(since),
        "ended_at": None if until is None else at(until),
    }
    return Recorded(**{**values, **more})  # type: ignore[arg-type] # as the table says


def seconds_of(moment: datetime) -> float:
    return (moment - NOON).total_seconds()


@pytest.mark.parametrize(
    ("events", "audible"),
    [
        ([], [(10, 100)]),
        ([(11, "started")], [(11, 100)]),
        ([(20, "silenced"), (30, "heard")], [(10, 20), (30, 100)]),
        # A pause is a wish: it is silent once Asterisk said so.
        (
            [(20, "paused"), (20.1, "silenced"), (30, "resumed"), (30.1, "heard")],
            [(10, 20.1), (30.1, 100)],
        ),
        ([(20, "paused"), (30, "resumed")], [(10, 100)]),
        ([(20, "silenced"), (25, "silenced"), (40, "heard")], [(10, 20), (40, 100)]),
        ([(10, "silenced")], []),
        # Of the same moment: the strict reading.
        ([(20, "heard"), (20, "silenced")], [(10, 20), (20, 100)]),
        # So is a stop, and the row tells when it really ended.
        ([(11, "started"), (40, "stopped")], [(11, 100)]),
        ([(20, "silenced"), (30, "heard"), (101, "erased")], [(10, 20), (30, 100)]),
    ],
    ids=lambda value: " ".join(str(one[-1]) for one in value) if value else "none",
)
def test_a_recording_is_audible_while_nothing_silences_it(
    events: Sequence[tuple[float, str]], audible: Sequence[tuple[float, float]]
) -> None:
    happened = [event(seconds, kind) for seconds, kind in events]
    stretches = audible_stretches(recorded(), [*happened, event(12, "silenced", "r2")], at(500))
    assert [(seconds_of(s.since), seconds_of(s.until)) for s in stretches] == audible


def test_one_that_goes_on_is_audible_until_now_and_one_never_written_never_was() -> None:
    (stretch,) = audible_stretches(recorded(until=None), [], at(33))
    assert seconds_of(stretch.until) == 33
    assert audible_stretches(recorded(state="empty"), [], at(500)) == ()


@pytest.mark.parametrize("kind", ["stopped", "erased", "lost"])
def test_until_it_is_sealed_its_end_is_what_was_wished(kind: str) -> None:
    events = [event(40, kind), event(60, "erased")]
    (stretch,) = audible_stretches(recorded(until=None, state="erasing"), events, at(500))
    assert seconds_of(stretch.until) == 40


def test_a_stop_of_which_nothing_is_heard_for_long_is_a_doubt() -> None:
    going_on = recorded(until=None, state="recording")
    chain = Chain(
        call="call",
        tellings=[told(9, GRANTED), told(40, WITHDRAWN)],
        recordings=[going_on],
        events=[event(40.1, "stopped")],
    )
    assert recorded_with_consent(chain, at(60)).doubts == ()
    (doubt,) = recorded_with_consent(chain, at(500)).doubts
    assert "its end is open" in doubt


@pytest.mark.parametrize(
    ("until", "events", "doubted"),
    [
        (100, [(10, "started")], False),
        (5, [(10, "started")], True),
        (100, [(10, "started"), (8, "silenced")], True),
        (None, [(9, "paused")], True),
    ],
)
def test_times_that_run_backwards_are_a_doubt(
    until: float | None, events: Sequence[tuple[float, str]], doubted: bool
) -> None:
    happened = [event(seconds, kind) for seconds, kind in events]
    tellings, recordings = [told(4, GRANTED)], [recorded(until=until)]
    chain = Chain(call="call", tellings=tellings, recordings=recordings, events=happened)
    said = recorded_with_consent(chain, at(500))
    assert ["the clock was set back" in doubt for doubt in said.doubts] == [True] * doubted


@pytest.mark.parametrize(
    ("tellings", "events", "without"),
    [
        ([told(9, GRANTED)], [], []),
        ([], [], [(10, 100)]),
        ([told(9, INCOMPLETE)], [], [(10, 100)]),
        ([told(9, REFUSED)], [], [(10, 100)]),
        ([told(15, GRANTED)], [], [(10, 15)]),
        ([told(200, GRANTED)], [], [(10, 100)]),
        # A withdrawal is obeyed within a second, and no later.
        ([told(9, GRANTED), told(40, WITHDRAWN)], [(40.4, "stopped")], []),
        ([told(9, GRANTED), told(40, WITHDRAWN)], [(41.0, "erased")], []),
        ([told(9, GRANTED), told(40, WITHDRAWN)], [(43.5, "stopped")], [(41, 43.5)]),
        ([told(9, GRANTED), told(40, WITHDRAWN)], [(40.2, "silenced")], []),
        ([told(9, GRANTED), told(40, WITHDRAWN)], [], [(41, 100)]),
        # What is heard again after it has not that second.
        (
            [told(9, GRANTED), told(40, WITHDRAWN)],
            [(30, "silenced"), (40.3, "heard"), (40.8, "stopped")],
            [(40.3, 40.8)],
        ),
        # Asked a second time, and agreed again.
        ([told(9, GRANTED), told(40, WITHDRAWN), told(60, GRANTED)], [], [(41, 60)]),
        ([told(9, INCOMPLETE), told(9.5, GRANTED)], [], []),
        ([told(9, GRANTED), told(40, GRANTED), told(50, WITHDRAWN)], [(50.5, "stopped")], []),
        # It rests on a consent that ends during the call.
        ([told(9, GRANTED, until=at(40))], [], [(40, 100)]),
        ([told(9, GRANTED, until=at(40))], [(39.9, "stopped")], []),
        ([told(9, GRANTED, until=at(40)), told(50, GRANTED)], [], [(40, 50)]),
        # Not of this tenant, not about recordings, of another channel: no consent to this.
        ([told(9, GRANTED, tenant="other")], [], [(10, 100)]),
        ([told(9, GRANTED, purpose="marketing")], [], [(10, 100)]),
        ([told(9, REFUSED), told(9.5, GRANTED, BOB)], [], [(10, 100)]),
        # Somebody else in the call agreed; nobody told whoever is recorded.
        ([told(9, GRANTED, BOB)], [], [(10, 100)]),
        # Rows of an older version name no channel: those of the call speak for it.
        ([told(9, GRANTED, None)], [], []),
        ([told(9, GRANTED, None, call="another")], [], [(10, 100)]),
        # Withdrawn on the web while the call goes on.
        ([told(9, GRANTED), told(40, WITHDRAWN, None, call=None)], [(40.5, "stopped")], []),
        ([told(9, GRANTED), told(40, WITHDRAWN, None, call=None)], [], [(41, 100)]),
        (
            [told(9, GRANTED), told(40, WITHDRAWN, None, call=None, subject="+1")],
            [],
            [],
        ),
        # A consent that was given before rests on its row; the row itself names no channel.
        (
            [told(-900, GRANTED, None, call=None), told(9, GRANTED, proof="consent:t-900.0grant")],
            [],
            [],
        ),
        ([told(-900, GRANTED, None, call=None)], [], [(10, 100)]),
    ],
)
def test_without_a_consent_that_stood(
    tellings: Sequence[Telling],
    events: Sequence[tuple[float, str]],
    without: Sequence[tuple[float, float]],
) -> None:
    happened = [event(seconds, kind) for seconds, kind in events]
    ended = next((seconds for seconds, kind in events if kind in ("stopped", "erased")), 100)
    chain = Chain(
        call="call", tellings=tellings, recordings=[recorded(until=ended)], events=happened
    )
    said = recorded_with_consent(chain, at(500))
    assert [(seconds_of(s.since), seconds_of(s.until)) for s in said.without] == without
    assert said.holds is not bool(without)


def test_who_was_silenced_before_they_answered_is_no_doubt() -> None:
    silenced = replace(event(20, "silenced"), reason="not told: 1.8, not told: 1.7")
    chain = Chain(
        call="call",
        tellings=[told(9, GRANTED), told(40, INCOMPLETE, BOB)],
        recordings=[recorded()],
        events=[silenced, event(60, "heard")],
    )
    assert recorded_with_consent(chain, at(500)).doubts == ()


@pytest.mark.parametrize(
    ("other", "events", "doubted"),
    [
        (told(40, GRANTED, BOB), [], False),
        (told(40, REFUSED, BOB), [], True),
        (told(40, REFUSED, BOB), [(40.1, "silenced"), (60, "heard")], False),
        (told(40, REFUSED, BOB), [(20, "silenced"), (30, "heard")], True),
        (told(99.5, INCOMPLETE, BOB), [], False),
        (told(5, REFUSED, BOB), [], True),
        (told(5, REFUSED, BOB), [(10, "silenced"), (30, "heard")], False),
        (told(150, REFUSED, BOB), [], False),
    ],
)
def test_who_else_did_not_agree_is_a_doubt_unless_it_fell_silent_for_them(
    other: Telling, events: Sequence[tuple[float, str]], doubted: bool
) -> None:
    happened = [event(seconds, kind) for seconds, kind in events]
    tellings = [told(9, GRANTED), other, told(300, GRANTED, CAROL)]
    chain = Chain(call="call", tellings=tellings, recordings=[recorded()], events=happened)
    said = recorded_with_consent(chain, at(500))
    assert said.holds
    assert [BOB in doubt for doubt in said.doubts] == [True] * doubted


def test_each_recording_is_judged_by_whoever_is_on_its_channel() -> None:
    chain = Chain(
        call="call",
        tellings=[told(9, GRANTED), told(9, REFUSED, BOB)],
        recordings=[recorded(), recorded(id="r2", channel=BOB, until=50)],
        events=[event(10, "silenced"), event(11, "heard")],
    )
    said = recorded_with_consent(chain, at(500))
    assert [part.recording for part in said.without] == ["r2"]
    assert said.audible == timedelta(seconds=89 + 40)


def test_one_that_was_erased_names_no_channel_and_is_judged_by_all_of_the_call() -> None:
    gone = recorded(state="gone", pbx="", channel="")
    chain = Chain(call="call", tellings=[told(9, GRANTED)], recordings=[gone])
    assert recorded_with_consent(chain, at(500)).holds
    assert not recorded_with_consent(replace(chain, tellings=()), at(500)).holds


def test_a_consent_whose_ground_is_no_longer_kept_is_a_doubt() -> None:
    tellings = [told(9, GRANTED, proof="consent:gone")]
    chain = Chain(call="call", tellings=tellings, recordings=[recorded()])
    said = recorded_with_consent(chain, at(500))
    assert said.holds
    assert ["rests on gone" in doubt for doubt in said.doubts] == [True]


def test_where_nothing_was_recorded_nothing_needed_a_consent() -> None:
    said = recorded_with_consent(Chain(call="call", tellings=[told(9, REFUSED)]), at(500))
    assert (said.holds, said.recordings, said.audible) == (True, 0, timedelta())


def test_the_links_are_in_the_order_in_which_they_happened() -> None:
    verdict = Decided(
        at=at(0),
        tenant="acme",
        direction="outbound",
        purpose="service",
        subject="+44",
        verdict="allow",
        obligations=(),
        findings=(),
    )
    wish = OptedOut(
        at=at(50), tenant="acme", subject="+44", standing=True, way="call", actor="subject"
    )
    chain = Chain(
        call="call",
        decided=verdict,
        tellings=[told(40, WITHDRAWN), told(9, GRANTED), told(-900, GRANTED, None, call=None)],
        recordings=[
            recorded(sealed_at=at(105), sha256="ab"),
            recorded(200, 260, id="r2", state="empty"),
        ],
        events=[event(10, "started"), event(20, "paused"), event(40.2, "stopped")],
        opt_outs=[wish],
    )
    told_in_order = [
        (seconds_of(link.at), link.kind if isinstance(link, Happened) else type(link).__name__)
        for link in chain.links()
    ]
    assert told_in_order == [
        (-900, "Telling"),
        (0, "Decided"),
        (9, "Telling"),
        (10, "started"),
        (20, "paused"),
        (40, "Telling"),
        (40.2, "stopped"),
        (50, "OptedOut"),
        (100, "ended"),
        (105, "sealed"),
        (200, "started"),
        (260, "ended"),
    ]
    reasons = {x.kind: x.reason for x in chain.links() if isinstance(x, Happened) and x.reason}
    assert reasons == {"sealed": "sha256:ab", "ended": "empty"}


def test_of_what_was_entered_at_one_moment_the_wish_comes_first() -> None:
    kinds = ["started", "paused", "resumed", "silenced", "heard", "stopped", "erased", "lost"]
    events = [event(20, kind) for kind in sorted(kinds)]
    chain = Chain(call="call", recordings=[recorded(until=None)], events=events)
    assert [link.kind for link in chain.links() if isinstance(link, Happened)] == kinds
