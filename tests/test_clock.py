"""The machine's clocks."""

import time

import pytest

from callguard.clock import SystemClock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has it")
def test_time_asleep_is_time_that_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a machine that was suspended would look like one whose clock was set ahead."""
    asleep = 3_600.0
    monkeypatch.setattr(
        time,
        "clock_gettime",
        lambda which: time.monotonic() + (asleep if which == time.CLOCK_BOOTTIME else 0.0),
    )
    assert SystemClock().monotonic() - time.monotonic() > asleep / 2
