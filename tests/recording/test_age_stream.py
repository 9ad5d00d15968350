"""STREAM: the rules of the payload, in order and at random."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callguard.recording import age
from tests.recording.sealing import FILE_KEY, NONCE, seal_chunks

CHUNK = age.CHUNK_SIZE
SEALED = age.SEALED_CHUNK_SIZE
NEAR_BORDERS = st.builds(
    lambda chunks, offset: max(0, chunks * CHUNK + offset),
    st.integers(0, 3),
    st.integers(-40, 40),
)


def _sealer(start_index: int = 0) -> age.PayloadSealer:
    return age.PayloadSealer(FILE_KEY, NONCE, start_index=start_index)


def _opener() -> age.PayloadOpener:
    return age.PayloadOpener(FILE_KEY, NONCE)


@settings(max_examples=40)
@given(NEAR_BORDERS, st.integers(1, 200_000))
@example(0, 1000)
@example(CHUNK, SEALED)
@example(CHUNK, SEALED - 1)
@example(2 * CHUNK, SEALED + 1)
def test_any_size_comes_back_from_pieces_of_any_size(size: int, step: int) -> None:
    plain = bytes(index * 7 & 0xFF for index in range(256)) * (size // 256 + 1)
    plain = plain[:size]
    sealed = b"".join(seal_chunks(plain))
    opener = _opener()
    opened = b"".join(
        opener.feed(sealed[start : start + step]) for start in range(0, len(sealed), step)
    )
    assert opened + opener.finish() == plain


@settings(max_examples=60)
@given(NEAR_BORDERS)
def test_sizes_agree_with_what_is_sealed(size: int) -> None:
    sealed = age.NONCE_SIZE + sum(map(len, seal_chunks(bytes(size))))
    assert age.sealed_size(size) == sealed
    assert age.plain_size(sealed) == size


@given(st.integers(0, 1 << 45))
def test_every_size_has_one_sealed_size(size: int) -> None:
    assert age.plain_size(age.sealed_size(size)) == size


@pytest.mark.parametrize(
    "sealed", [0, 16, 31, 16 + SEALED + 1, 16 + SEALED + 15, 16 + SEALED + 16, 16 + 2 * SEALED + 16]
)
def test_a_size_that_no_payload_has_is_refused(sealed: int) -> None:
    with pytest.raises(age.PayloadError):
        age.plain_size(sealed)


def test_a_negative_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="negative"):
        age.sealed_size(-1)


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])
def test_any_chunk_opens_alone_where_its_span_says(size: int) -> None:
    plain = bytes(range(251)) * (size // 251 + 1)
    plain = plain[:size]
    stored = NONCE + b"".join(seal_chunks(plain))
    opener = age.PayloadOpener(FILE_KEY, stored[: age.NONCE_SIZE])
    for index in reversed(range(age.chunk_count(len(stored)))):
        span = age.chunk_span(index, len(stored))
        piece = stored[span.offset : span.offset + span.size]
        expected = plain[index * CHUNK : (index + 1) * CHUNK]
        assert opener.open_chunk(index, piece, last=span.last) == expected


@pytest.mark.parametrize("index", [-1, 2])
def test_a_chunk_that_is_not_there_has_no_span(index: int) -> None:
    with pytest.raises(IndexError, match="of 2"):
        age.chunk_span(index, age.sealed_size(CHUNK + 1))


def test_a_chunk_opens_in_no_other_place() -> None:
    first, last = seal_chunks(bytes(CHUNK + 100))
    for index, chunk, is_last, reason in (
        (1, first, False, "chunk 1 is not authentic"),
        (0, first, True, "cut short after chunk 0"),
        (0, last, True, "chunk 0 is not authentic"),
        (0, first[:-1], False, "short but is not the last"),
        (0, first + b"x", True, "longer than"),
        (0, b"x" * 15, True, "cut short"),
    ):
        with pytest.raises(age.PayloadError, match=reason):
            _opener().open_chunk(index, chunk, last=is_last)


@pytest.mark.parametrize("resume_at", [0, 1, 2])
def test_a_resumed_sealer_goes_on_where_the_first_one_stopped(resume_at: int) -> None:
    plain = [b"a" * CHUNK, b"b" * CHUNK, b"tail"]
    whole = seal_chunks(b"".join(plain))
    sealer = _sealer(start_index=resume_at)
    again = [
        sealer.seal_chunk(chunk, last=index == 2)
        for index, chunk in enumerate(plain)
        if index >= resume_at
    ]
    assert whole[:resume_at] + again == whole
    assert sealer.next_index == 3


def test_the_sealer_refuses_what_would_break_the_payload() -> None:
    sealer = _sealer()
    with pytest.raises(age.PayloadError, match="shorter than"):
        sealer.seal_chunk(b"short", last=False)
    with pytest.raises(age.PayloadError, match="longer than"):
        sealer.seal_chunk(bytes(CHUNK + 1), last=True)
    sealer.seal_chunk(bytes(CHUNK), last=False)
    with pytest.raises(age.PayloadError, match="last chunk is empty"):
        sealer.seal_chunk(b"", last=True)
    sealer.seal_chunk(b"tail", last=True)
    for last in (True, False):
        with pytest.raises(age.PayloadError, match="already been ended"):
            sealer.seal_chunk(bytes(CHUNK), last=last)


def test_a_resumed_payload_cannot_end_with_an_empty_chunk() -> None:
    with pytest.raises(age.PayloadError, match="last chunk is empty"):
        _sealer(start_index=1).seal_chunk(b"", last=True)


def test_a_refusal_does_not_use_up_a_chunk() -> None:
    sealer = _sealer()
    with pytest.raises(age.PayloadError):
        sealer.seal_chunk(b"short", last=False)
    assert sealer.next_index == 0
    assert [sealer.seal_chunk(b"short", last=True)] == seal_chunks(b"short")


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_any_buffer_is_sealed_and_opened(buffer: type[bytes]) -> None:
    sealed = _sealer().seal_chunk(buffer(b"audio"), last=True)
    opener = _opener()
    assert opener.feed(buffer(sealed)) == b""
    assert opener.finish() == b"audio"


def test_a_declared_end_is_the_end() -> None:
    opener = _opener()
    opener.feed(seal_chunks(b"x")[0])
    opener.finish()
    with pytest.raises(age.PayloadError, match="declared twice"):
        opener.finish()
    with pytest.raises(age.PayloadError, match="after the end"):
        opener.feed(b"")


def test_an_opener_that_found_a_fault_stays_at_fault() -> None:
    opener = _opener()
    bad = bytes(SEALED + 1)
    for _ in range(2):
        with pytest.raises(age.PayloadError, match="chunk 0 is not authentic"):
            opener.feed(bad)
    with pytest.raises(age.PayloadError, match="chunk 0 is not authentic"):
        opener.finish()


def test_a_full_chunk_is_released_without_waiting_for_the_next() -> None:
    first, last = seal_chunks(b"a" * CHUNK + b"b")
    opener = _opener()
    assert opener.feed(first) == b"a" * CHUNK
    assert opener.feed(last) == b""
    assert opener.finish() == b"b"


@pytest.mark.parametrize("kind", [age.PayloadSealer, age.PayloadOpener])
def test_keys_and_nonces_have_one_size(
    kind: type[age.PayloadSealer] | type[age.PayloadOpener],
) -> None:
    with pytest.raises(ValueError, match="file key is 16 bytes"):
        kind(bytes(15), NONCE)
    with pytest.raises(ValueError, match="nonce is 16 bytes"):
        kind(FILE_KEY, bytes(12))
    assert FILE_KEY.hex() not in repr(kind(FILE_KEY, NONCE))


def test_a_chunk_counter_does_not_start_below_zero() -> None:
    with pytest.raises(ValueError, match="negative"):
        _sealer(start_index=-1)
