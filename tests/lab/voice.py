"""Mouth and ear of a phone in a test's hand: tones and digits in RTP, and what comes back."""

from __future__ import annotations

import contextlib
import functools
import secrets
import socket
import struct
from collections import deque

import numpy as np

from tests.lab import audio
from tests.lab.audio import RATE, Samples

Tone = float | None
"""A pitch in whole Hz, or silence."""

FRAME_S = 0.02
_FRAME = round(RATE * FRAME_S)
_SILENT = bytes([0xFF]) * _FRAME
_VOICE, _EVENT = 0, 101  # payload types
_WIDE = 118  # Asterisk's own for linear samples of 16 kHz
_KEYS = "0123456789*#ABCD"
_HELD = 8  # frames while a key is down; Asterisk takes less than four for noise
_ENDS = 3
_BETWEEN = 4
_WINDOW = 5  # frames that are listened to at a time
_FLOOR = 0.02

_Key = tuple[int, int, bool]
"""Which, for how many frames now, and whether it is up again."""


@functools.cache
def _second_of(tone: float) -> bytes:
    return audio.to_mulaw(audio.tone(tone, 1.0))


@functools.cache
def _wide_second_of(tone: Tone) -> bytes:
    samples = audio.tone(tone or 0.0, 1.0, rate=2 * RATE)
    return samples.astype(">i2").tobytes()


class Voice:
    """One stream each way: µ-law, or linear samples of 16 kHz while it is ``wide``, when no digit
    is pressed. Not safe for several threads: its phone has a lock."""

    def __init__(self, tone: Tone) -> None:
        self.tone = tone
        self.wide = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])
        self._keys: deque[_Key | None] = deque()
        self._source = secrets.randbits(31)
        self._count = 0
        self._went_down = 0
        self._heard: list[bytes] = []
        self._loud: dict[float, list[bool]] = {}

    def press(self, digits: str) -> None:
        """Digits in place of the voice, as RFC 4733 events; 0.3 s each."""
        for digit in digits:
            key = _KEYS.index(digit)
            self._keys.extend((key, frames, False) for frames in range(1, _HELD + 1))
            self._keys.extend((key, _HELD, True) for _ in range(_ENDS))
            self._keys.extend([None] * _BETWEEN)

    def speak(self, port: int) -> None:
        """Send the next frame of whatever it says."""
        at = self._count * _FRAME
        key = self._keys.popleft() if self._keys else None
        kind, stamp, payload = _VOICE, at, _SILENT
        if key is not None:
            number, frames, ended = key
            if frames == 1:
                self._went_down = at
            stamp = self._went_down
            kind = _EVENT | (0x80 if frames == 1 else 0)
            payload = struct.pack(">BBH", number, (0x80 if ended else 0) | 10, frames * _FRAME)
        elif self.wide:
            kind, stamp = _WIDE, 2 * at
            payload = _wide_second_of(self.tone)[4 * (at % RATE) : 4 * (at % RATE + _FRAME)]
        elif self.tone is not None:
            payload = _second_of(self.tone)[at % RATE : at % RATE + _FRAME]
        self._count += 1
        head = struct.pack(">BBHII", 0x80, kind, self._count & 0xFFFF, stamp, self._source)
        with contextlib.suppress(OSError):
            self.socket.sendto(head + payload, ("127.0.0.1", port))

    def listen(self) -> None:
        """Take in what has come."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.socket.recv(2048)
                if len(data) == 12 + _FRAME and data[1] & 0x7F == _VOICE:
                    self._heard.append(data[12:])
                elif len(data) == 12 + 4 * _FRAME and data[1] & 0x7F == _WIDE:
                    self._heard.append(audio.to_mulaw(np.frombuffer(data[12:], ">i2")[::2]))

    def heard(self, tone: float) -> float:
        """For how many seconds a tone came, to a tenth. Cheap enough to ask again and again."""
        loud = self._loud.setdefault(tone, [])
        new = self._heard[len(loud) * _WINDOW : len(self._heard) // _WINDOW * _WINDOW]
        if new:
            samples = audio.from_mulaw(b"".join(new))
            levels = audio.tones_in(samples, RATE, [tone], window=_WINDOW * FRAME_S)[tone]
            loud += [level > _FLOOR for level in levels]
        return sum(loud) * _WINDOW * FRAME_S

    def all_heard(self) -> Samples:
        """All of it, one frame after the other."""
        return audio.from_mulaw(b"".join(self._heard))
