"""How far a recording is sealed, in numbers: for every size and every burst."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.recording import age
from callguard.recording.formats import FORMATS
from callguard.recording.progress import (
    HELD_BY_ASTERISK,
    audio_in,
    burst_s,
    chunks_due,
    last_index,
    missing_at_most,
    missing_of_all,
    part_size,
    whole_chunks,
)

CHUNK = age.CHUNK_SIZE
HEADERS = st.sampled_from([44, 58])


def plain_held(header: int, sealed: int, spooled: int) -> int:
    """Bytes of plaintext that must still lie in the spool."""
    return max(0, spooled - audio_in(header, sealed))


@settings(max_examples=200)
@given(HEADERS, st.integers(0, 50), st.integers(0, 60 * CHUNK))
def test_a_full_chunk_is_due_only_once_a_byte_follows_it(
    header: int, sealed: int, spooled: int
) -> None:
    due = chunks_due(header, sealed, spooled)
    assert due >= 0
    if due:
        assert header + spooled > (sealed + due) * CHUNK
    if spooled:
        assert header + spooled <= (max(sealed, 0) + due + 1) * CHUNK or sealed > spooled // CHUNK
    assert plain_held(header, sealed + due, spooled) <= CHUNK


@pytest.mark.parametrize("header", [44, 58])
def test_the_borders_of_the_first_chunks(header: int) -> None:
    first = CHUNK - header
    assert [chunks_due(header, 0, n) for n in (0, 1, first, first + 1)] == [0, 0, 0, 1]
    assert [chunks_due(header, 1, n) for n in (first + 1, first + CHUNK)] == [0, 0]
    assert chunks_due(header, 1, first + CHUNK + 1) == 1
    assert (audio_in(header, 0), audio_in(header, 1)) == (0, first)
    assert audio_in(header, 2) == first + CHUNK


@settings(max_examples=100)
@given(st.integers(0, 30), st.integers(0, age.SEALED_CHUNK_SIZE - 1))
def test_a_torn_chunk_does_not_count(chunks: int, torn: int) -> None:
    assert whole_chunks(part_size(chunks)) == chunks
    assert whole_chunks(age.NONCE_SIZE + chunks * age.SEALED_CHUNK_SIZE + torn) == chunks
    assert whole_chunks(torn % age.NONCE_SIZE) == 0


@pytest.mark.parametrize(
    ("plain", "index"), [(1, 0), (CHUNK, 0), (CHUNK + 1, 1), (2 * CHUNK, 1), (2 * CHUNK + 1, 2)]
)
def test_where_the_last_chunk_lies(plain: int, index: int) -> None:
    assert last_index(plain) == index


@pytest.mark.parametrize(("spooled", "seen"), [(CHUNK + 1000, 1044), (10, 0)])
def test_what_asterisk_held_back_and_went_on_to_write_may_be_missing(
    spooled: int, seen: int
) -> None:
    assert missing_at_most(44, CHUNK, spooled, 0.0, 16000) == seen + HELD_BY_ASTERISK
    assert missing_at_most(44, CHUNK, spooled, 18.0, 16000) == seen + HELD_BY_ASTERISK + 288_000
    assert missing_at_most(44, CHUNK, spooled, -5.0, 16000) == seen + HELD_BY_ASTERISK


def test_where_nobody_saw_the_entry_time_alone_bounds_what_is_missing() -> None:
    sealed = 2 * CHUNK
    assert missing_of_all(44, sealed, 60.0, 16000) == 960_000 - (sealed - 44)
    for lasted in (-3600.0, 0.0, 9.0):  # a clock that was set back makes nothing exact
        assert missing_of_all(44, sealed, lasted, 16000) == CHUNK + HELD_BY_ASTERISK


@pytest.mark.parametrize("coding", FORMATS.values(), ids=FORMATS)
def test_a_silence_between_two_bursts_is_no_end(coding: object) -> None:
    rate = coding.wav.bytes_per_second  # type: ignore[attr-defined]  # parametrized
    assert burst_s(rate) > HELD_BY_ASTERISK / rate


@pytest.mark.parametrize("coding", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("phase", [0.0, 0.1, 0.249])
def test_the_spool_holds_at_most_128_kib_of_plaintext(coding: object, phase: float) -> None:
    """In virtual time: bursts at the format's own rate, a look every 0.25 s, half a second until
    what was seen is durable, for three minutes."""
    wav = coding.wav  # type: ignore[attr-defined]  # parametrized
    header, burst = len(wav.header()), HELD_BY_ASTERISK
    spooled = sealed = worst = 0
    pending: list[tuple[float, int]] = []
    next_burst = burst / wav.bytes_per_second
    for look in range(720):
        now = phase + look * 0.25
        while next_burst <= now:
            spooled += burst
            next_burst += burst / wav.bytes_per_second
        while pending and pending[0][0] <= now:
            sealed = pending.pop(0)[1]
        if sealed:
            worst = max(worst, plain_held(header, sealed, spooled))
        if not pending and (due := chunks_due(header, sealed, spooled)):
            pending.append((now + 0.5, sealed + due))
    assert 0 < worst <= 128 * 1024
