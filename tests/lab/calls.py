"""The calls that laboratory tests make: agent to party, outside caller to agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import audio, sipp
from tests.lab.asterisk import Asterisk
from tests.lab.audio import Samples

# Fictional numbers (NANP 555-01xx).
PARTY = "12025550143"
LINE = "12025550100"
QUEUE = "12025550190"


class Telephony:
    """SIP parties around one PBX. The agent's voice is 440 Hz, the other party's 1000 Hz."""

    def __init__(self, pbx: Asterisk, folder: Path, *, agent_port: int | None = None) -> None:
        """`agent_port`: where the agent's phone calls from, if not where it is called."""
        self.pbx = pbx
        self.folder = folder
        self._agent_tone = audio.write_mulaw(folder / "agent.ul", audio.tone(audio.AGENT_TONE, 5))
        self._party_tone = audio.write_mulaw(folder / "party.ul", audio.tone(audio.PARTY_TONE, 5))
        self._agent_port = agent_port or pbx.sites.agent
        self._parts = 0

    def _part(self, name: str) -> Path:
        self._parts += 1
        return self.folder / f"{self._parts}-{name}"

    def renew_lease(self, *, age: int = 0) -> None:
        """Say that callguard was alive `age` seconds ago."""
        self.pbx.cli(f"dialplan set global CALLGUARD_ALIVE {int(time.time()) - age}")

    async def all_quiet(self) -> None:
        """Wait until no channel is left.

        Raises TimeoutError when one is left after ten seconds.
        """
        await asyncio.to_thread(self._wait_until_quiet, time.monotonic() + 10.0)

    def _wait_until_quiet(self, deadline: float) -> None:
        while self.pbx.channels():
            if time.monotonic() > deadline:
                raise TimeoutError("a channel stays up")
            time.sleep(0.05)

    @property
    def notice(self) -> str:
        """The notice as STREAM FILE wants it."""
        return str(self.pbx.inside(self.pbx.prompts / "notice"))

    def recording(self, name: str) -> str:
        """A file in the spool as MixMonitor wants it."""
        return str(self.pbx.inside(self.pbx.spool / name))

    def recorded(self, name: str) -> Samples:
        """What that file holds, none when it is not there."""
        path = self.pbx.spool / name
        return audio.from_linear(path.read_bytes() if path.exists() else b"")

    def party_answers(
        self,
        *,
        steps: Sequence[sipp.Step] = (),
        hang_up: bool = False,
        code: int = 200,
        ring_ms: int = 50,
        calls: int = 1,
    ) -> sipp.Party:
        """The called party, behind the carrier."""
        return sipp.answer(
            self._part("party"),
            port=self.pbx.sites.carrier,
            tone=self._party_tone,
            steps=steps,
            hang_up=hang_up,
            code=code,
            ring_ms=ring_ms,
            calls=calls,
        )

    def agent_calls(
        self,
        number: str = PARTY,
        *,
        steps: Sequence[sipp.Step] = (sipp.Talk(1000),),
        hang_up: bool = True,
        cancel_after_ms: int | None = None,
        calls: int = 1,
        rate: int = 10,
    ) -> sipp.Party:
        """The agent's phone dials `number`."""
        return sipp.call(
            self._part("agent"),
            to=number,
            target=self.pbx.sites.sip,
            port=self._agent_port,
            tone=self._agent_tone,
            steps=steps,
            hang_up=hang_up,
            cancel_after_ms=cancel_after_ms,
            calls=calls,
            rate=rate,
        )

    def agent_answers(
        self, *, steps: Sequence[sipp.Step] = (), hang_up: bool = False, ring_ms: int = 50
    ) -> sipp.Party:
        """The agent's phone waits for a call."""
        return sipp.answer(
            self._part("agent"),
            port=self.pbx.sites.agent,
            tone=self._agent_tone,
            steps=steps,
            hang_up=hang_up,
            ring_ms=ring_ms,
        )

    def outsider_calls(
        self,
        line: str = LINE,
        *,
        caller: str = PARTY,
        name: str = "Caller",
        steps: Sequence[sipp.Step] = (sipp.Talk(1000),),
        hang_up: bool = True,
        cancel_after_ms: int | None = None,
    ) -> sipp.Party:
        """Somebody calls one of our lines, from the carrier's side."""
        return sipp.call(
            self._part("outsider"),
            to=line,
            target=self.pbx.sites.sip,
            port=self.pbx.sites.carrier,
            user=caller,
            name=name,
            side="carrier",
            tone=self._party_tone,
            steps=steps,
            hang_up=hang_up,
            cancel_after_ms=cancel_after_ms,
        )
