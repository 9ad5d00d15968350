"""MixMonitor: real bytes on the host, in virtual time, one tone for each party.

Coded as the file's extension asks, and written in bursts, as the real one does. The agent's side
sounds at 440 Hz and the other party's at 1,000 Hz whenever they speak, so that a test can prove
from the file alone who was recorded and when (``tones``).
"""

import asyncio
import math
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.harness.channels import Channel
from tests.harness.hearing import Audible, heard_by, spoken_into
from tests.harness.laws import to_alaw, to_mulaw

RATE = 8000
AGENT_HZ = 440
PARTY_HZ = 1000
_AMPLITUDE = 8000
_TICK = 0.1


BURST = 32 * 1024
"""Bytes that Asterisk holds back before it writes them, all at once."""

Heard = tuple[frozenset[int], frozenset[int]]
"""The tones, in Hz, that are read from the channel and those that are written to it."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How an extension codes: samples a second, bytes of one sample."""

    rate: int
    width: int
    encode: Callable[[Iterable[int]], bytes]


def _linear(samples: Iterable[int]) -> bytes:
    return array("h", samples).tobytes()


CODINGS = {
    "sln": Coding(8000, 2, _linear),
    "raw": Coding(8000, 2, _linear),
    "sln16": Coding(16000, 2, _linear),
    "ulaw": Coding(8000, 1, to_mulaw),
    "alaw": Coding(8000, 1, to_alaw),
}
"""By extension."""


@cache
def _voices(tones: frozenset[int], rate: int) -> list[int]:
    """One second of those voices together."""
    samples = [0] * rate
    for hertz in tones:
        turn = 2 * math.pi * hertz / rate
        samples = [s + int(_AMPLITUDE * math.sin(turn * at)) for at, s in enumerate(samples)]
    return samples


@cache
def _second(extension: str, stereo: bool, heard: Heard) -> bytes:
    """One second of a file; all tones make whole periods in it, so it can be repeated."""
    coding = CODINGS[extension]
    if not stereo:
        return coding.encode(_voices(heard[0] | heard[1], coding.rate))
    both = [0] * (2 * coding.rate)
    both[0::2], both[1::2] = (_voices(side, coding.rate) for side in heard)
    return coding.encode(both)


def tones(pcm: bytes, rate: int = RATE) -> frozenset[str]:
    """Which of ``agent`` and ``party`` sound in these samples (a Goertzel filter for each)."""
    return _tones(array("h", pcm[: len(pcm) // 2 * 2]), rate)


def sides(pcm: bytes, rate: int = RATE) -> tuple[frozenset[str], frozenset[str]]:
    """The same of what is on the left and what is on the right."""
    samples = array("h", pcm[: len(pcm) // 4 * 4])
    return _tones(samples[0::2], rate), _tones(samples[1::2], rate)


def _tones(samples: "array[int]", rate: int) -> frozenset[str]:
    found = set()
    for name, hertz in (("agent", AGENT_HZ), ("party", PARTY_HZ)):
        factor = 2 * math.cos(2 * math.pi * hertz / rate)
        one = two = 0.0
        for sample in samples:
            one, two = sample + factor * one - two, one
        power = (one * one + two * two - factor * one * two) / max(1, len(samples)) ** 2
        if power > (_AMPLITUDE / 8) ** 2:
            found.add(name)
    return frozenset(found)


class Recorder:
    """One MixMonitor on one channel, ``stereo`` with option ``D``: what is read from the channel on
    the left, what is written to it on the right. Without ``host``, the file's place on the host,
    nothing is written: only who is heard in it is kept."""

    def __init__(
        self,
        channel: Channel,
        file: str,
        host: Path | None,
        *,
        bridged_only: bool,
        is_agent: Callable[[Channel], bool],
        identity: str,
        beep_s: int = 0,
        stereo: bool = False,
    ) -> None:
        self.channel = channel
        self.file = file
        self.path = host or Path(file)
        self.identity = identity
        self.beep_s = beep_s
        self.samples = 0
        self.failed: OSError | None = None
        self.muted: frozenset[str] = frozenset()
        self.running = True
        self._heard: list[Audible] = []
        self._since: dict[Channel, float] = {}
        self._bridged_only = bridged_only
        self._is_agent = is_agent
        self._began = 0.0
        self._due = 0.0
        self._state: Heard | None = None
        self._stereo = stereo
        self._extension = self.path.suffix.removeprefix(".")
        self._coding = CODINGS.get(self._extension, CODINGS["sln"])
        self._frame = self._coding.width * (2 if stereo else 1)
        self._held: list[tuple[Heard, int]] = []
        self._task: asyncio.Task[None] | None = None
        self._file = None
        if host is not None:
            host.parent.mkdir(parents=True, exist_ok=True)
            self._file = host.open("wb", buffering=0)
        self.update()

    def update(self) -> None:
        """Write what the elapsed time owes, then follow the channel's new state.

        Called at every change of bridge, mute and speech, and ten times a second meanwhile.
        """
        now = asyncio.get_running_loop().time()
        if self._state is not None:
            self._due += now - self._began
            self._write(self._state)
        self._began = now
        audible = self._audible()
        self._follow(audible or set(), now)
        self._state = None
        if audible is not None:
            self._state = (self._tones(self._from()), self._tones(self._to()))
            if self._task is None and self._file is not None:
                self._task = asyncio.get_running_loop().create_task(self._tick())

    def mute(self, directions: set[str], *, muted: bool) -> None:
        """Silence in the file for what is read from the channel, or written to it."""
        self.muted = self.muted | directions if muted else self.muted - directions
        self.update()

    @property
    def writes(self) -> bool:
        """Whether its sound is on the host."""
        return self._file is not None

    @property
    def heard(self) -> list[Audible]:
        """Who was heard in it, and when, so far."""
        now = asyncio.get_running_loop().time()
        return [*self._heard, *(self._span(each, now) for each in self._since)]

    def stop(self) -> None:
        """Write the rest and close the file."""
        if not self.running:
            return
        self.update()
        self.running, self._state = False, None
        self._follow(set(), asyncio.get_running_loop().time())
        if self._task is not None:
            self._task.cancel()
        if self._file is not None:
            self._flush()
            self._file.close()

    def cut(self) -> None:
        """End it as a power cut does: what is held back is gone."""
        self._held.clear()
        self.failed = self.failed or OSError("cut")
        self.stop()

    def _tones(self, channels: set[Channel]) -> frozenset[int]:
        return frozenset(AGENT_HZ if self._is_agent(each) else PARTY_HZ for each in channels)

    def _from(self) -> set[Channel]:
        return set() if "read" in self.muted else spoken_into(self.channel)

    def _to(self) -> set[Channel]:
        return set() if "write" in self.muted else heard_by(self.channel)

    def _audible(self) -> set[Channel] | None:
        """Who is heard now; None while nothing is recorded."""
        if self.channel.bridge is None and self._bridged_only:
            return None
        return self._from() | self._to()

    def _follow(self, audible: set[Channel], now: float) -> None:
        for channel in [each for each in self._since if each not in audible]:
            span = self._span(channel, now)
            del self._since[channel]
            if span.until > span.since:
                self._heard.append(span)
        for channel in audible:
            self._since.setdefault(channel, now)

    def _span(self, channel: Channel, until: float) -> Audible:
        outside = not self._is_agent(channel)
        since = self._since[channel]
        return Audible(channel.name, channel.uniqueid, outside, since, until)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.update()

    def _write(self, heard: Heard) -> None:
        """Take in what is owed since, and write the whole bursts."""
        owed = round(self._due * self._coding.rate) - self.samples
        if owed <= 0 or self.failed is not None:
            return
        self.samples += owed
        if self._file is None:
            return
        if self._held and self._held[-1][0] == heard:
            owed += self._held.pop()[1]
        self._held.append((heard, owed))
        while sum(count for _, count in self._held) * self._frame >= BURST:
            self._flush(BURST // self._frame)

    def _flush(self, most: int | None = None) -> None:
        """Write what is held back, or that many samples of it, in one go."""
        end = self.samples
        at = end - sum(count for _, count in self._held)
        end = end if most is None else at + most
        data = bytearray()
        while at < end:
            heard, count = self._held.pop(0)
            now = min(count, end - at)
            if count > now:
                self._held.insert(0, (heard, count - now))
            second = _second(self._extension, self._stereo, heard)
            start = at % self._coding.rate
            whole = second * (1 + (start + now) // self._coding.rate)
            data += whole[start * self._frame : (start + now) * self._frame]
            at += now
        if self._file is None or self.failed is not None:
            return
        try:
            if data:
                self._file.write(data)
        except OSError as error:  # as Asterisk: the call goes on without its recording
            self.failed = error
            self._held.clear()
