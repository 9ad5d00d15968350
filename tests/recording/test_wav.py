"""The WAV header that opens every recording."""

import io
import struct
import wave

import pytest

from callguard.recording.wav import Encoding, WavFormat


def _chunks(header: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 12
    while at < len(header):
        name, size = struct.unpack_from("<4sI", header, at)
        if size == 0xFFFFFFFF:
            size = 0
        found[name] = header[at + 8 : at + 8 + size]
        at += 8 + size
    assert at == len(header)
    return found


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(
    ("encoding", "tag", "width"), [("pcm", 1, 2), ("alaw", 6, 1), ("ulaw", 7, 1)]
)
def test_the_header_says_how_the_samples_are_coded(
    encoding: Encoding, tag: int, width: int, rate: int, channels: int
) -> None:
    layout = WavFormat(encoding, rate, channels)
    header = layout.header()
    assert header[:12] == b"RIFF\xff\xff\xff\xffWAVE"
    assert header[-8:] == b"data\xff\xff\xff\xff"
    chunks = _chunks(header)
    frame = width * channels
    assert struct.unpack_from("<HHIIHH", chunks[b"fmt "]) == (
        tag,
        channels,
        rate,
        rate * frame,
        frame,
        width * 8,
    )
    assert (layout.frame_bytes, layout.bytes_per_second) == (frame, frame * rate)


def test_pcm_has_the_plain_header_and_g711_says_how_many_frames_it_does_not_know() -> None:
    assert len(WavFormat("pcm").header()) == 44
    assert set(_chunks(WavFormat("pcm").header())) == {b"fmt ", b"data"}
    ulaw = WavFormat("ulaw").header()
    assert len(ulaw) == 58
    assert _chunks(ulaw)[b"fact"] == b"\xff\xff\xff\xff"
    assert len(_chunks(ulaw)[b"fmt "]) == 18


def test_an_independent_reader_finds_the_samples() -> None:
    samples = struct.pack("<4h", 1, -1, 300, -300)
    with wave.open(io.BytesIO(WavFormat("pcm", 16000, 2).header() + samples)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth()) == (2, 2)
        assert reader.getframerate() == 16000
        assert reader.readframes(10) == samples


@pytest.mark.parametrize(
    ("layout", "size", "seconds"),
    [
        (WavFormat("pcm"), 16000, 1.0),
        (WavFormat("ulaw"), 8000, 1.0),
        (WavFormat("pcm", 16000, 2), 64000, 1.0),
        (WavFormat("pcm"), 3, 1 / 8000),
        (WavFormat("alaw"), 0, 0.0),
    ],
)
def test_duration_counts_whole_frames(layout: WavFormat, size: int, seconds: float) -> None:
    assert layout.duration(size) == seconds


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (8000, 0), (8000, 3)])
def test_what_is_not_recorded_has_no_header(rate: int, channels: int) -> None:
    with pytest.raises(ValueError, match="no "):
        WavFormat("pcm", rate, channels)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="gsm"):
        WavFormat("gsm")  # type: ignore[arg-type]  # what an unchecked setting could hold
