"""Repeated numbers are counted in constant memory, whatever order they come in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callguard.optout.scrub import repeats as module
from callguard.optout.scrub.repeats import Repeats


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(-9, 9), max_size=9), max_size=12), st.integers(1, 20))
def test_every_number_that_had_come_before_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[list[int]], run: int
) -> None:
    monkeypatch.setattr(module, "RUN", run)
    counting = Repeats(tmp_path)
    for part in parts:
        counting.add(np.array(part, np.int64))
    every = [number for part in parts for number in part]
    assert counting.count() == len(every) - len(set(every))
    counting.close()
    assert list(tmp_path.iterdir()) == []
