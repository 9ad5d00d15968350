"""Audio into a sealed payload and back."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.recording import age, payload
from callguard.recording.wav import WavFormat
from tests.recording.sealing import FILE_KEY, NONCE

CHUNK = age.CHUNK_SIZE
CUTS = st.lists(st.integers(0, 3 * CHUNK + 200), max_size=6).map(sorted)
SIZES = st.one_of(
    st.integers(0, 50),
    st.builds(lambda n, d: n * CHUNK + d, st.integers(1, 3), st.integers(-3, 3)),
)


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *cuts, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@settings(max_examples=60)
@given(SIZES, CUTS, CUTS)
def test_how_a_stream_is_cut_makes_no_difference(
    size: int, cuts: list[int], more: list[int]
) -> None:
    plain = (bytes(range(253)) * (size // 253 + 1))[:size]
    whole = b"".join(payload.seal_stream([plain], FILE_KEY, NONCE))
    pieces = list(payload.seal_stream(_cut(plain, cuts), FILE_KEY, NONCE))
    assert b"".join(pieces) == whole
    assert len(whole) == age.sealed_size(size)
    assert all(len(piece) == age.SEALED_CHUNK_SIZE for piece in pieces[1:-1])
    assert b"".join(payload.open_stream(_cut(whole, more), FILE_KEY)) == plain


def test_a_recording_is_its_wav_header_and_then_its_audio() -> None:
    layout = WavFormat("pcm", 8000, 2)
    audio = bytes(range(256)) * 1000
    sealed = payload.seal_stream([layout.header(), audio[:99], audio[99:]], FILE_KEY, NONCE)
    assert b"".join(payload.open_stream(sealed, FILE_KEY)) == layout.header() + audio


def test_a_full_chunk_is_held_back_until_a_byte_follows_it() -> None:
    chunker = payload.Chunker()
    assert chunker.feed(b"a" * CHUNK) == []
    assert chunker.feed(b"b") == [b"a" * CHUNK]
    assert chunker.finish() == b"b"


def test_a_stream_that_ends_with_a_full_chunk_ends_with_it() -> None:
    pieces = list(payload.seal_stream([b"a" * CHUNK], FILE_KEY, NONCE))
    assert [len(piece) for piece in pieces] == [age.NONCE_SIZE, age.SEALED_CHUNK_SIZE]


@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_payload_shorter_than_its_nonce_is_cut_short(size: int) -> None:
    with pytest.raises(age.PayloadError, match="nonce"):
        list(payload.open_stream([bytes(size)], FILE_KEY))


@pytest.mark.parametrize("header_size", [44, 58])
def test_the_audio_of_a_chunk_is_where_its_span_says(header_size: int) -> None:
    header = b"h" * header_size
    audio = bytes(range(251)) * 800
    plain = header + audio
    chunker = payload.Chunker()
    chunks = chunker.feed(plain)
    assert len(chunks) == 3
    for index, chunk in enumerate(chunks):
        span = payload.audio_span(index, header_size)
        expected = audio[span.offset : span.offset + span.size]
        assert (header + expected if index == 0 else expected) == chunk
