"""Two who talk faster than anybody can listen.

Asterisk forwards, mixes and records voice frame by frame, not by the clock: at forty times the
speed of speech MixMonitor loses no sample, and two of them on one channel write the same. So ten
minutes' worth of a recording need not last ten minutes.
"""

from __future__ import annotations

import contextlib
import math
import struct
import threading
import time
from collections.abc import Sequence
from typing import Self

import numpy as np

from tests.lab import audio
from tests.lab.phone import Leg

FRAME = 160
FRAMES_A_SECOND = audio.RATE // FRAME
_AWAY_S = 3600.0


def speech(seed: int, tone: float, seconds: float) -> bytes:
    """µ-law that never repeats itself, with a tone to know the speaker by."""
    noise = np.random.default_rng(seed).normal(0.0, 2500.0, round(seconds * audio.RATE))
    heard = audio.tone(tone, seconds, level=0.2) + np.clip(noise, -9000, 9000)
    return audio.to_mulaw(heard.astype(np.int16))


class Hurry:
    """Legs that all speak, each its own µ-law, `speed` times as fast as it sounds, in step with
    each other; whoever has said everything is silent. A context: they speak until its end."""

    def __init__(self, parts: Sequence[tuple[Leg, bytes]], *, speed: float) -> None:
        self._parts = parts
        self._speed = speed
        self._frames = 0
        self._last = max(len(said) for _, said in parts) // FRAME
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="hurry")

    @property
    def seconds(self) -> float:
        """How much was said so far."""
        return self._frames / FRAMES_A_SECOND

    def until(self, seconds: float, *, timeout: float = 60.0) -> None:
        """Wait until so much was said. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while self.seconds < seconds:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TimeoutError(f"{self.seconds} s were said, not {seconds}")
            time.sleep(0.01)

    def stop(self) -> float:
        """Be silent from now on; how much was said."""
        self._enough.set()
        self._thread.join(5)
        return self.seconds

    def __enter__(self) -> Self:
        for leg, _ in self._parts:  # its phone has nothing to say for it meanwhile
            leg.speaks_at = time.monotonic() + _AWAY_S
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _run(self) -> None:
        due = time.monotonic()
        while self._frames < self._last and not self._enough.is_set():
            for leg, said in self._parts:
                _utter(leg, said[self._frames * FRAME : (self._frames + 1) * FRAME])
            self._frames += 1
            due += 1 / FRAMES_A_SECOND / self._speed
            time.sleep(max(0.0, due - time.monotonic()))


def _utter(leg: Leg, frame: bytes) -> None:
    voice, port = leg.voice, leg._media
    if leg.over or port is None:
        return
    stamp = voice._count * FRAME
    voice._count += 1
    head = struct.pack(">BBHII", 0x80, 0, voice._count & 0xFFFF, stamp & 0xFFFFFFFF, voice._source)
    with contextlib.suppress(OSError):
        voice.socket.sendto(head + frame.ljust(FRAME, b"\xff"), ("127.0.0.1", port))


def loudness(samples: audio.Samples, tone: float, *, rate: int = audio.RATE) -> float:
    """How loud a tone is in all of it: the sine's amplitude, 1.0 = full scale."""
    levels = audio.tones_in(samples, rate, [tone])[tone]
    return sum(levels) / len(levels) if levels else math.nan
