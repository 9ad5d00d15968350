"""Whose turn it is."""

from datetime import UTC, datetime

from callguard.recording.delivery.due import Next
from callguard.recording.delivery.resting import Rests
from callguard.recording.delivery.turns import AT_ONCE, AT_ONE_TENANT, DOUBTFUL, Turns

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def one(tenant: str, number: int = 0, *, state: str = "waiting", attempts: int = 0) -> Next:
    return Next(f"{tenant}{number}", f"place{number}", tenant, state, attempts)


def turns(*under_way: Next, rests: Rests | None = None) -> Turns:
    return Turns(under_way, rests or Rests(lambda: 0.0), NOW)


def test_no_tenant_takes_all_turns() -> None:
    assert AT_ONE_TENANT < AT_ONCE
    busy = turns(*(one("a", number) for number in range(AT_ONE_TENANT)))
    assert not busy.may_begin(one("a", 9))
    assert busy.may_begin(one("b"))
    assert busy.with_enough == {"a"}


def test_what_failed_before_takes_no_more_than_its_share_whoever_has_it() -> None:
    assert DOUBTFUL < AT_ONCE
    busy = turns(*(one(f"t{number}", attempts=1) for number in range(DOUBTFUL)))
    assert not busy.may_begin(one("b", attempts=3))
    assert busy.may_begin(one("b"))


def test_a_place_that_failed_counts_as_doubtful_for_all_that_goes_there() -> None:
    rests = Rests(lambda: 0.0)
    for number in range(DOUBTFUL + 1):
        rests.failed((f"t{number}", "place0"), NOW)
    later = NOW.replace(hour=1)
    under_way = [one(f"t{number}") for number in range(DOUBTFUL)]
    busy = Turns(under_way, rests, later)
    assert not busy.may_begin(one(f"t{DOUBTFUL}"))
    assert busy.may_begin(one("b"))
    rests.worked(("t0", "place0"))
    assert busy.may_begin(one(f"t{DOUBTFUL}"))


def test_one_at_a_time_is_considered_and_it_is_no_attempt() -> None:
    busy = turns(one("a", state="confirmed"))
    assert not busy.may_begin(one("b", state="confirmed"))
    assert busy.may_begin(one("a"))
    assert busy.left_alone == set()
