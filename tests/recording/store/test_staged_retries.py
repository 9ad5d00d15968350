"""When what failed is tried again."""

from datetime import UTC, datetime, timedelta

from callguard.recording.store.retries import Retries

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_each_failure_doubles_the_wait_up_to_a_minute() -> None:
    retries = Retries()
    waits = [retries.failed("a", "why", NOW, 0.0, 1.0) for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for _ in range(5000):
        assert retries.failed("a", "why", NOW, 0.0, 0.0) == 30


def test_jitter_halves_it_at_most() -> None:
    assert Retries().failed("a", "why", NOW, 0.0, 0.0) == 0.5


def test_failures_in_a_row_pause_everything_and_a_success_ends_the_pause() -> None:
    retries = Retries()
    for name in "abc":
        retries.failed(name, "down", NOW, 100.0, 1.0)
    assert retries.paused(103.9)
    assert not retries.may("another", 103.9)
    assert retries.may("another", 104.0)
    retries.failed("a", "down", NOW, 104.0, 1.0)
    retries.succeeded("another")
    assert not retries.paused(104.0)
    assert not retries.may("a", 105.9)
    assert retries.may("a", 106.0)


def test_what_fails_is_told_with_its_first_moment_and_its_last_reason() -> None:
    retries = Retries()
    retries.failed("b", "first", NOW + timedelta(seconds=1), 0.0, 1.0)
    retries.failed("a", "first", NOW, 0.0, 1.0)
    retries.failed("a", "second", NOW + timedelta(hours=1), 0.0, 1.0)
    first, second = retries.failing
    assert (first.since, first.times, first.reason) == (NOW, 2, "second")
    assert second.times == 1
    retries.succeeded("a")
    assert len(retries.failing) == 1
    retries.only({"a"}, {"c"})
    assert not retries.failing
