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
    """One MixMonitor on one channel."""

    def __init__(
        self,
        channel: Channel,
        path: Path,
        *,
        bridged_only: bool,
        is_agent: Callable[[Channel], bool],
        identity: str,
    ) -> None:
        self.channel = channel
        self.path = path
        self.identity = identity
        self.samples = 0
        self.failed: OSError | None = None
        self._bridged_only = bridged_only
        self._is_agent = is_agent
        self._began = 0.0
        self._due = 0.0
        self._state: tuple[bool, bool, bool] | None = None
        self._task: asyncio.Task[None] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
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
        self._state = self._listen()
        if self._state is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tick())

    @property
    def running(self) -> bool:
        """False once it was stopped."""
        return not self._file.closed

    def stop(self) -> None:
        """Write the rest and close the file."""
        if not self.running:
            return
        self.update()
        self._state = None
        if self._task is not None:
            self._task.cancel()
        self._file.close()

    def _listen(self) -> tuple[bool, bool, bool] | None:
        """None while nothing is recorded, else (recording, agent heard, party heard)."""
        bridge = self.channel.bridge
        if bridge is None:
            return None if self._bridged_only else (True, False, False)
        agent = party = False
        for channel in bridge.channels:
            direction = "read" if channel is self.channel else "write"
            heard = channel.speaking and not self.channel.muted & {direction, "both"}
            if self._is_agent(channel):
                agent = agent or heard
            else:
                party = party or heard
        return True, agent, party

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.update()

    def _write(self, state: tuple[bool, bool, bool]) -> None:
        owed = round(self._due * RATE) - self.samples
        second = _second(state[1], state[2])
        try:
            while owed > 0 and self.failed is None:
                start = self.samples % RATE
                count = min(owed, RATE - start)
                self._file.write(second[2 * start : 2 * (start + count)])
                self.samples += count
                owed -= count
        except OSError as error:  # as Asterisk: the call goes on without its recording
            self.failed = error
