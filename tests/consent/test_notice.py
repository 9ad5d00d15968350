"""Whether a prompt was heard: every way in which its playing can end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.consent.notice import TAIL_SAMPLES, Played, heard_whole

WHOLE = 16_000
FRAME = 160

ENDINGS = {
    "whole": (Played(WHOLE, None, False), WHOLE, True),
    "one frame short, as Asterisk counts": (Played(WHOLE - FRAME, None, False), WHOLE, True),
    "a sample more than a frame short": (Played(WHOLE - FRAME - 1, None, False), WHOLE, False),
    "half": (Played(WHOLE // 2, None, False), WHOLE, False),
    "nothing": (Played(0, None, False), WHOLE, False),
    "a digit at the very end": (Played(WHOLE, "9", False), WHOLE, False),
    "hang-up at the start": (Played(0, None, True), WHOLE, False),
    "hang-up in the middle": (Played(WHOLE // 2, None, True), WHOLE, False),
    "hang-up at the end": (Played(WHOLE, None, True), WHOLE, False),
    "missing prompt": (Played(0, None, False), 0, False),
    "missing prompt, something played": (Played(WHOLE, None, False), 0, False),
    "shorter than a frame and not played": (Played(0, None, False), TAIL_SAMPLES, False),
    "a frame more than whole": (Played(WHOLE + FRAME, None, False), WHOLE, True),
    "something longer": (Played(WHOLE + FRAME + 1, None, False), WHOLE, False),
}


@pytest.mark.parametrize(("played", "samples", "heard"), ENDINGS.values(), ids=ENDINGS.keys())
def test_each_ending_is_heard_or_not(played: Played, samples: int, heard: bool) -> None:
    assert heard_whole(played, samples) is heard


@given(
    st.builds(
        Played,
        st.integers(-1, 30_000),
        st.sampled_from([None, *"0123456789*#"]),
        st.booleans(),
    ),
    st.integers(0, 30_000),
)
def test_a_prompt_is_heard_only_to_its_end_by_a_silent_party_who_stayed(
    played: Played, samples: int
) -> None:
    if heard_whole(played, samples):
        assert played.digit is None
        assert not played.hung_up
        assert played.endpos > 0
        assert abs(samples - played.endpos) <= FRAME
