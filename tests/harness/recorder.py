"""MixMonitor: real ``.sln`` bytes on the host, in virtual time, one tone for each party.

Signed 16-bit little-endian samples at 8 kHz. The agent's side sounds at 440 Hz and the other
party's at 1,000 Hz whenever they speak, so that a test can prove from the file alone who was
recorded and when (``tones``).
"""

import asyncio
import math
from array import array
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.harness.channels import Channel
from tests.harness.hearing import Audible, heard_by, spoken_into

RATE = 8000
AGENT_HZ = 440
PARTY_HZ = 1000
_AMPLITUDE = 8000
_TICK = 0.1


@cache
def _second(agent: bool, party: bool) -> bytes:
    """One second of the mix; both tones make whole periods in it, so it can be repeated."""
    samples = array("h", bytes(2 * RATE))
    for hertz in ([AGENT_HZ] if agent else []) + ([PARTY_HZ] if party else []):
        for index in range(RATE):
            samples[index] += int(_AMPLITUDE * math.sin(2 * math.pi * hertz * index / RATE))
    return samples.tobytes()


def tones(pcm: bytes) -> frozenset[str]:
    """Which of ``agent`` and ``party`` sound in these samples (a Goertzel filter for each)."""
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    found = set()
    for name, hertz in (("agent", AGENT_HZ), ("party", PARTY_HZ)):
        factor = 2 * math.cos(2 * math.pi * hertz / RATE)
        one = two = 0.0
        for sample in samples:
            one, two = sample + factor * one - two, one
        power = (one * one + two * two - factor * one * two) / max(1, len(samples)) ** 2
        if power > (_AMPLITUDE / 8) ** 2:
            found.add(name)
    return frozenset(found)


class Recorder:
    """One MixMonitor on one channel. Without ``host``, the file's place on the host, nothing is
    written: only who is heard in it is kept."""

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
        self._state: tuple[bool, bool] | None = None
        self._task: asyncio.Task[None] | None = None
        self._file = None
        if host is not None:
            host.parent.mkdir(parents=True, exist_ok=True)
            self._file = host.open("ab", buffering=0)
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
            agents = {channel for channel in audible if self._is_agent(channel)}
            self._state = bool(agents), bool(audible - agents)
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
            self._file.close()

    def _audible(self) -> set[Channel] | None:
        """Who is heard now; None while nothing is recorded."""
        if self.channel.bridge is None and self._bridged_only:
            return None
        found: set[Channel] = set()
        if "read" not in self.muted:
            found |= spoken_into(self.channel)
        if "write" not in self.muted:
            found |= heard_by(self.channel)
        return found

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

    def _write(self, state: tuple[bool, bool]) -> None:
        owed = round(self._due * RATE) - self.samples
        if self._file is None:
            self.samples += owed
            return
        second = _second(*state)
        try:
            while owed > 0 and self.failed is None:
                start = self.samples % RATE
                count = min(owed, RATE - start)
                self._file.write(second[2 * start : 2 * (start + count)])
                self.samples += count
                owed -= count
        except OSError as error:  # as Asterisk: the call goes on without its recording
            self.failed = error
