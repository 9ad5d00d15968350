"""The laboratory's ears: what they hear must be what was played."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.lab import audio, dtmf


def test_a_tone_is_found_where_it_is_and_nowhere_else() -> None:
    samples = np.concatenate([audio.silence(0.5), audio.tone(440, 1.0), audio.tone(1000, 0.5)])
    assert audio.heard(samples, audio.RATE, 440) == [pytest.approx((0.5, 1.5))]
    assert audio.heard(samples, audio.RATE, 1000) == [pytest.approx((1.5, 2.0))]
    assert audio.heard(samples, audio.RATE, 700) == []


def test_two_tones_at_once_are_both_found_with_their_levels() -> None:
    samples = audio.tone(440, 1.0, level=0.3) + audio.tone(1000, 1.0, level=0.1)
    levels = audio.tones_in(samples, audio.RATE, [440, 1000, 1500])
    assert levels[440] == pytest.approx([0.3] * 10, abs=0.01)
    assert levels[1000] == pytest.approx([0.1] * 10, abs=0.01)
    assert max(levels[1500]) < 0.005


def test_mulaw_survives_a_round_trip_within_its_precision() -> None:
    samples = np.arange(-32000, 32001, 37).astype(np.int16)
    back = audio.from_mulaw(audio.to_mulaw(samples)).astype(np.int32)
    assert np.all(np.abs(back - samples) <= np.maximum(8, np.abs(samples.astype(np.int32)) // 16))


def test_mulaw_silence_and_extremes_have_the_codes_of_the_standard() -> None:
    samples = np.array([0, 32767, -32768], dtype=np.int16)
    assert audio.to_mulaw(samples) == bytes([0xFF, 0x80, 0x00])
    assert audio.from_alaw(bytes([0xD5, 0x55])).tolist() == [8, -8]


def test_a_wav_that_is_still_being_written_is_read_to_its_end(tmp_path: Path) -> None:
    whole = audio.write_wav(tmp_path / "a.wav", audio.tone(440, 0.5)).read_bytes()
    streaming = (
        whole[:4] + struct.pack("<I", 0xFFFFFFFF) + whole[8:40]
        + struct.pack("<I", 0xFFFFFFFF) + whole[44:]
    )  # fmt: skip
    for data in (whole, streaming):
        wav = audio.read_wav(data)
        assert (wav.rate, wav.seconds, len(wav.samples)) == (8000, 0.5, 1)
        assert audio.heard(wav.samples[0], wav.rate, 440) == [pytest.approx((0.0, 0.5))]


def test_a_stereo_wav_comes_apart_into_its_channels() -> None:
    pairs = np.stack([audio.tone(440, 0.2), audio.tone(1000, 0.2)], axis=1)
    form = struct.pack("<HHIIHH", 1, 2, 8000, 32000, 4, 16)
    data = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + form
    data += b"data\xff\xff\xff\xff" + pairs.astype("<i2").tobytes()
    left, right = audio.read_wav(data).samples
    assert audio.heard(left, 8000, 1000) == []
    assert audio.heard(right, 8000, 440) == []


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF....WAVE", b"ID3" + bytes(50)])
def test_what_is_no_wav_is_refused(data: bytes) -> None:
    with pytest.raises(audio.NotAWavError):
        audio.read_wav(data)


def test_digits_become_one_event_each_with_one_end(tmp_path: Path) -> None:
    data = dtmf.write_capture(tmp_path / "d.pcap", "1#").read_bytes()
    at, events = 24, []
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        packet = data[at + 16 + 42 : at + 16 + size]  # after Ethernet, IP and UDP
        kind, sequence, timestamp = struct.unpack_from(">xBHI", packet)
        event, flags, duration = struct.unpack_from(">BBH", packet, 12)
        events.append((kind & 0x7F, sequence, timestamp, event, bool(flags & 0x80), duration))
        at += 16 + size
    assert {kind for kind, *_ in events} == {dtmf.PAYLOAD_TYPE}
    assert [event for *_, event, ended, _ in events if ended] == [1, 11]
    assert [sequence for _, sequence, *_ in events] == list(range(1, len(events) + 1))
    assert len({timestamp for _, _, timestamp, *_ in events}) == 2
