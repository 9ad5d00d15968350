"""Any range of a sealed recording is what the whole has there, and touches only its own chunks."""

import io
import wave
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.recording import age
from callguard.recording.playback.ranges import PlainRecording, SealedRecording
from callguard.recording.wav import WavFormat
from tests.recording.playback.stored import payload_in, stored, wav
from tests.recording.sealing import FILE_KEY

CHUNK = age.CHUNK_SIZE
SIZES = (1, 44, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 5 * CHUNK + 7)
PLAIN = {size: (bytes(range(251)) * (size // 251 + 1))[:size] for size in SIZES}


def read(source: PlainRecording | SealedRecording, start: int, stop: int) -> bytes:
    return b"".join(source.pieces(start, stop))


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(st.sampled_from(SIZES))
    edges = [edge for edge in (0, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, size) if edge <= size]
    place = st.sampled_from(edges) | st.integers(0, size)
    start, stop = sorted((draw(place), draw(place)))
    return size, start, stop


@given(spans())
@settings(max_examples=100)
def test_any_range_of_the_plaintext_is_that_slice_of_the_whole(span: tuple[int, int, int]) -> None:
    size, start, stop = span
    store, row = stored(PLAIN[size])
    plain = PlainRecording(payload_in(store, row), FILE_KEY)
    assert plain.size == size
    store.asked.clear()
    assert read(plain, start, stop) == PLAIN[size][start:stop]
    touched = {at // CHUNK for at in (start, stop - 1)} if start < stop else set()
    fetched = sum(length or 0 for _, length in store.asked)
    chunks = max(touched) - min(touched) + 1 if touched else 0
    assert fetched <= chunks * age.SEALED_CHUNK_SIZE


@given(spans())
@settings(max_examples=60)
def test_any_range_of_the_sealed_file_is_that_slice_of_the_whole(
    span: tuple[int, int, int],
) -> None:
    size, start, stop = span
    store, row = stored(PLAIN[size])
    sealed = SealedRecording(row.header, payload_in(store, row))
    whole = row.header + store.objects["r"]
    assert sealed.size == len(whole)
    for first, last in ((start, stop), (0, sealed.size), (start, sealed.size)):
        assert read(sealed, first, last) == whole[first:last]


@given(spans(), st.integers(0, 1 << 30), st.integers(0, 7))
@settings(max_examples=100)
def test_a_flipped_bit_breaks_the_ranges_that_touch_its_chunk_and_no_others(
    span: tuple[int, int, int], place: int, bit: int
) -> None:
    size, start, stop = span
    store, row = stored(PLAIN[size])
    broken = bytearray(store.objects["r"])
    at = age.NONCE_SIZE + place % (len(broken) - age.NONCE_SIZE)
    broken[at] ^= 1 << bit
    store.objects["r"] = bytes(broken)
    chunk = (at - age.NONCE_SIZE) // age.SEALED_CHUNK_SIZE
    chunks = age.chunk_count(row.sealed_bytes)
    if chunk == chunks - 1:
        with pytest.raises(age.PayloadError, match="not authentic"):
            PlainRecording(payload_in(store, row), FILE_KEY)
        return
    plain = PlainRecording(payload_in(store, row), FILE_KEY)
    if start < stop and start // CHUNK <= chunk <= (stop - 1) // CHUNK:
        with pytest.raises(age.PayloadError, match=f"chunk {chunk} is not authentic"):
            read(plain, start, stop)
    else:
        assert read(plain, start, stop) == PLAIN[size][start:stop]


@pytest.mark.parametrize("size", [44, CHUNK, 5 * CHUNK + 7])
def test_a_payload_that_is_cut_or_extended_is_refused_before_its_first_byte(size: int) -> None:
    store, row = stored(PLAIN[size])
    whole = store.objects["r"]
    for cut in (1, 17, age.SEALED_CHUNK_SIZE, len(whole) - 16, len(whole)):
        store.objects["r"] = whole[: max(0, len(whole) - cut)]
        with pytest.raises(age.PayloadError, match="ends at"):
            PlainRecording(payload_in(store, row), FILE_KEY)
        # The row may have been made to agree.
        if len(store.objects["r"]) >= 32:
            row.sealed_bytes = len(store.objects["r"])
            with pytest.raises(age.PayloadError):
                PlainRecording(payload_in(store, row), FILE_KEY)
            row.sealed_bytes = len(whole)
    store.objects["r"] = whole + b"x"
    with pytest.raises(age.PayloadError, match="goes on after its last chunk"):
        PlainRecording(payload_in(store, row), FILE_KEY)


def test_a_sealed_file_that_is_not_the_one_ends_before_its_end() -> None:
    store, row = stored(PLAIN[5 * CHUNK])
    broken = bytearray(store.objects["r"])
    broken[3 * CHUNK] ^= 1
    store.objects["r"] = bytes(broken)
    sealed = SealedRecording(row.header, payload_in(store, row))
    read: list[int] = []
    with pytest.raises(age.PayloadError, match="not the one that was sealed"):
        read.extend(map(len, sealed.pieces(0, sealed.size)))
    assert 0 < sum(read) < sealed.size


def test_a_reader_holds_a_few_chunks_at_a_time() -> None:
    store, row = stored(PLAIN[5 * CHUNK + 7])
    plain = PlainRecording(payload_in(store, row), FILE_KEY)
    sealed = SealedRecording(row.header, payload_in(store, row))
    both: list[Iterator[bytes]] = [plain.pieces(0, plain.size), sealed.pieces(0, sealed.size)]
    for pieces in both:
        sizes = [len(piece) for piece in pieces]
        assert max(sizes) <= 4 * age.SEALED_CHUNK_SIZE
        assert len(sizes) > 1


@pytest.mark.parametrize(
    "form",
    [
        WavFormat(),
        WavFormat(channels=2),
        WavFormat(rate=16000),
        WavFormat("ulaw"),
        WavFormat("alaw", channels=2),
    ],
)
def test_the_wav_says_how_long_it_is_and_is_otherwise_as_sealed(form: WavFormat) -> None:
    audio = bytes(range(256)) * 300
    whole = wav(audio, form)
    store, row = stored(whole)
    plain = PlainRecording(payload_in(store, row), FILE_KEY)
    served = read(plain, 0, plain.size)
    ahead = len(form.header())
    assert len(served) == len(whole)
    assert served[ahead:] == audio
    assert int.from_bytes(served[4:8], "little") == len(whole) - 8
    assert int.from_bytes(served[ahead - 4 : ahead], "little") == len(audio)
    if form.encoding == "pcm":
        with wave.open(io.BytesIO(served)) as opened:
            assert opened.getnframes() == len(audio) // form.frame_bytes
    else:
        assert int.from_bytes(served[46:50], "little") == len(audio) // form.frame_bytes
    for start, stop in ((0, 3), (3, 50), (40, 60), (ahead, ahead + 1)):
        assert read(plain, start, stop) == served[start:stop]


def test_what_is_no_wav_of_ours_is_served_as_it_is() -> None:
    for start in (b"", b"RIFF", b"RIFF" + b"\xff" * 4 + b"WAVEfmt " + b"\xff" * 40, wav(b"")[:43]):
        store, row = stored(start)
        plain = PlainRecording(payload_in(store, row), FILE_KEY)
        assert read(plain, 0, plain.size) == start
