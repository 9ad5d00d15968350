"""What is worked out from events alone of who hears whom, against who does, after any sequence of
calls, transfers, conferences, parking and lost events. Without the service: thousands in a minute.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from callguard.ami.calls import EVENTS, LiveCalls
from callguard.ami.calls import Channel as Known
from callguard.ami.wire import Message
from callguard.consent.states import ConsentState
from callguard.gate.hearing import Kind, Trunks, hearing, is_technical, reasons_for_silence
from callguard.gate.told import Told
from tests.gate.stateful_world import NUMBERS, WAITS
from tests.harness.channels import Channel, State
from tests.harness.events import Headers, listed
from tests.harness.hearing import connected_with
from tests.harness.legs import Leg
from tests.harness.playbook import Pbx
from tests.harness.virtual import current_loop, run_virtual

LONG = int(os.environ.get("CALLGUARD_LONG", "0"))
RUNS = {0: 60, 1: 5000}.get(LONG, LONG)
TRUNKS = Trunks(("PJSIP/carrier",))
OUT = ("unguarded", "unguarded", "unguarded", "inside", "inside", "inside")
TO = ("{}", "kept{}", "optimised{}", "agent3", "600", "600")

Moves = list[tuple[str, int, int]]


class Believed:
    """What a listener makes of the events; ``deaf`` while its connection is lost."""

    def __init__(self) -> None:
        self.live = LiveCalls()
        self.deaf = False

    def emit(self, name: str, privilege: str, headers: Headers) -> None:
        """An event is told."""
        if not self.deaf and name in EVENTS:
            message = Message((("Event", name), ("Privilege", privilege), *headers))
            self.live.apply(message, current_loop().time())

    def hears_again(self, pbx: Pbx) -> None:
        """The list of channels is asked for, at once."""
        now = current_loop().time()
        rows = [
            Message((("Event", "CoreShowChannel"), *listed(channel, pbx.asterisk.epoch())))
            for channel in pbx.asterisk.channels
        ]
        self.deaf = False
        self.live.resync(rows, now)


class Table:
    """Calls that pass no gate, on an exchange that is listened to."""

    def __init__(self, pbx: Pbx) -> None:
        self.pbx = pbx
        self.believed = Believed()
        pbx.asterisk.announce = self.believed

    def _up(self) -> list[Channel]:
        channels = self.pbx.asterisk.channels
        return [c for c in channels if c.state is State.UP and not c.is_local and not c.hung_up]

    def _of_two(self) -> list[Channel]:
        return [
            c
            for c in self._up()
            if c.bridge is not None
            and c.bridge.kind == "basic"
            and len(c.bridge.channels) == 2
            and not c.bridge.consulting
        ]

    def _answer(self, most: int) -> None:
        asterisk = self.pbx.asterisk
        invited = [invite.channel for invite in asterisk.invites]
        ringing = [c for c in invited if c in asterisk.channels and c.state is State.DOWN]
        for channel in ringing[:most]:
            asterisk.remote(channel, "answer")

    async def play(self, move: tuple[str, int, int]) -> None:
        """One move, if it is possible."""
        name, one, two = move
        number, context = NUMBERS[one % 4], OUT[two % 6]
        to = TO[two % 6].format(number)
        match name:
            case "calls" | "connects":
                endpoint = ("agent1", "agent2", "carrier")[one % 3]
                self.pbx.dials(endpoint, to, context=context)
                if name == "connects":
                    await asyncio.sleep(0.02)
                    self._answer(100)
            case "answers":
                self._answer(1 + two % 2)
            case "hangs up" if self._up():
                _one_of(self._up(), one).hang_up(16)
            case "passes on" if self._of_two():
                leg = Leg(self.pbx, _one_of(self._of_two(), one))
                await leg.blind_transfer(to, context=context)
            case "joins" if self._of_two():
                first = _one_of(self._of_two(), one)
                others = [c for c in self._of_two() if c.bridge is not first.bridge]
                if others:
                    second = Leg(self.pbx, _one_of(others, two))
                    await Leg(self.pbx, first).attended_transfer(second)
            case "consults" if self._of_two():
                leg = Leg(self.pbx, _one_of(self._of_two(), one))
                await leg.consults(to, context=context)
            case "parks" if self._of_two():
                await Leg(self.pbx, _one_of(self._of_two(), one)).parks()
            case "fetches":
                self.pbx.dials(("agent2", "carrier")[two % 2], str(701 + one % 2))
            case "deaf":
                self.believed.deaf = True
            case "hears":
                self.believed.hears_again(self.pbx)
            case "waits":
                await asyncio.sleep(WAITS[one % 3])
        await asyncio.sleep(0.02)

    def wrong(self, told: int) -> list[str]:
        """Where what is believed would leave somebody recorded who did not consent. ``told`` says
        by its bits which of those outside did."""
        live, found = self.believed.live, []
        asterisk = self.pbx.asterisk
        agreed = {
            channel.uniqueid: Told("acme", "call", "", ConsentState.GRANTED)
            for number, channel in enumerate(asterisk.channels)
            if told >> number % 16 & 1
        }
        for channel in asterisk.channels:
            heard = hearing(live, channel.uniqueid)
            silent = reasons_for_silence(heard, _kind, agreed.get, "acme")
            truly = connected_with(channel) | ({channel} if not channel.is_local else set())
            outside = {c for c in truly if not asterisk.is_agent(c)}
            loud = outside - {c for c in outside if c.uniqueid in agreed}
            if channel.is_local or self.believed.deaf:
                continue
            if not silent and loud:
                found.append(f"{channel.name} would record {sorted(c.name for c in loud)}")
            alone = not heard.coming and not heard.torn
            if silent and alone and not loud and not self._parked(heard.reached):
                found.append(f"{channel.name} would be silent for nothing: {sorted(silent)}")
        return found

    def _parked(self, reached: Sequence[Known]) -> bool:
        """A list of channels does not say that a bridge is one in which nobody is heard: whoever
        is parked with others may be taken for one in a conversation."""
        parked = {
            channel.uniqueid
            for channel in self.pbx.asterisk.channels
            if channel.bridge is not None and channel.bridge.holding
        }
        return any(known.uniqueid in parked for known in reached)


def _kind(channel: Known) -> Kind:
    if channel.pair is not None or is_technical(channel.name):
        return Kind.TECHNICAL
    return Kind.OUTSIDE if TRUNKS.has(channel.name) else Kind.INSIDE


def _one_of(among: Sequence[Channel], number: int) -> Channel:
    return among[number % len(among)]


NAMES = ("calls", "answers", "passes on", "joins", "consults", "hangs up", "parks", "fetches")
OFTEN = (
    *("connects", "connects", "connects", "connects", "connects", "passes on", "joins"),
    *("answers", "answers", "waits", "deaf", "hears", "hears"),
)
moves = st.lists(
    st.tuples(st.sampled_from(NAMES + OFTEN), st.integers(0, 31), st.integers(0, 31)),
    min_size=20,
    max_size=40,
)


async def _nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def played(folder: Path, plan: Moves, told: int) -> str:
    """Plays a sequence; what was wrong at any step of it, with the story."""
    async with Pbx(_nobody, folder=folder) as pbx:
        table = Table(pbx)
        for number, move in enumerate(plan):
            await table.play(move)
            pbx.asterisk.raise_failure()
            if wrong := table.wrong(told):
                return "\n".join([f"after {plan[: number + 1]}:", *wrong, pbx.asterisk.story()])
    return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hearing")


@settings(
    max_examples=RUNS,
    derandomize=not LONG,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(plan=moves, told=st.integers(0, 65_535))
def test_whoever_is_connected_and_was_not_told_is_a_reason_for_silence(
    folder: Path, plan: Moves, told: int
) -> None:
    wrong = run_virtual(lambda: played(folder, plan, told))
    assert not wrong, wrong
