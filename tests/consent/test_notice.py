"""Consent by notice: every way in which the playing of a notice can end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.consent.notice import TAIL_SAMPLES, Played, consent_by_notice
from callguard.consent.states import ConsentState

WHOLE = 16_000
FRAME = 160

GRANTED, REFUSED, INCOMPLETE = (
    ConsentState.GRANTED,
    ConsentState.REFUSED,
    ConsentState.INCOMPLETE,
)

ENDINGS = {
    "whole": (Played(WHOLE, None, False), WHOLE, GRANTED),
    "one frame short, as Asterisk counts": (Played(WHOLE - FRAME, None, False), WHOLE, GRANTED),
    "a sample more than a frame short": (Played(WHOLE - FRAME - 1, None, False), WHOLE, INCOMPLETE),
    "half": (Played(WHOLE // 2, None, False), WHOLE, INCOMPLETE),
    "nothing": (Played(0, None, False), WHOLE, INCOMPLETE),
    "9 at the start": (Played(0, "9", False), WHOLE, REFUSED),
    "9 in the middle": (Played(WHOLE // 2, "9", False), WHOLE, REFUSED),
    "9 at the very end": (Played(WHOLE, "9", False), WHOLE, REFUSED),
    "9 and then the hang-up": (Played(WHOLE // 2, "9", True), WHOLE, REFUSED),
    "another digit": (Played(WHOLE // 2, "1", False), WHOLE, INCOMPLETE),
    "another digit at the end": (Played(WHOLE, "#", False), WHOLE, INCOMPLETE),
    "hang-up at the start": (Played(0, None, True), WHOLE, INCOMPLETE),
    "hang-up in the middle": (Played(WHOLE // 2, None, True), WHOLE, INCOMPLETE),
    "hang-up at the end": (Played(WHOLE, None, True), WHOLE, INCOMPLETE),
    "missing prompt": (Played(0, None, False), 0, INCOMPLETE),
    "missing prompt, something played": (Played(WHOLE, None, False), 0, INCOMPLETE),
    "a prompt shorter than a frame that was not played": (
        Played(0, None, False),
        TAIL_SAMPLES,
        INCOMPLETE,
    ),
    "more than whole": (Played(WHOLE + FRAME, None, False), WHOLE, GRANTED),
}


@pytest.mark.parametrize(("played", "samples", "state"), ENDINGS.values(), ids=ENDINGS.keys())
def test_each_ending_has_its_state(played: Played, samples: int, state: ConsentState) -> None:
    assert consent_by_notice(played, samples) is state


@given(
    st.builds(
        Played,
        st.integers(-1, 30_000),
        st.sampled_from([None, *"0123456789*#"]),
        st.booleans(),
    ),
    st.integers(0, 30_000),
)
def test_consent_stands_only_after_the_whole_notice_to_a_silent_party_who_stayed(
    played: Played, samples: int
) -> None:
    state = consent_by_notice(played, samples)
    assert (state is REFUSED) == (played.digit == "9")
    if state is GRANTED:
        assert played.digit is None
        assert not played.hung_up
        assert played.endpos > 0
        assert samples - played.endpos <= FRAME
