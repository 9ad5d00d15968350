"""The simulator against what a real Asterisk 22 told in the middle of calls.

``mid_call_transcripts`` made the files; each scene is played again here. What one channel does is
told in one order always, what two do is not (a thread each): so the events of each channel are
compared, in their order, with the bridges named by who was ever in them, and every header.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.harness.playbook import Pbx
from tests.harness.virtual import virtual_time
from tests.harness_checks.ami_client import Block, Client, blocks
from tests.harness_checks.gate import gate

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
FIRST = "12025550143"
SECOND = "12025550144"
OPERATOR = """
[from-agents]
exten => _1NXXNXXXXXX,1,Dial(PJSIP/${EXTEN}@carrier,30,Tt)
exten => _6XX,1,ConfBridge(${EXTEN})
exten => _7XX,1,ParkedCall(default,${EXTEN})
exten => _optimised.,1,Dial(Local/${EXTEN:9}@from-agents,30)
exten => _kept.,1,Dial(Local/${EXTEN:4}@from-agents/n,30)
[from-carrier]
exten => _X.,1,Dial(PJSIP/agent1,20,Tt)
"""
ORDERED = {
    *("Newchannel", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "Hangup"),
    *("Hold", "Unhold", "BlindTransfer", "AttendedTransfer", "ParkedCall", "UnParkedCall"),
    *("LocalBridge", "LocalOptimizationBegin", "LocalOptimizationEnd"),
    *("MixMonitorStart", "MixMonitorStop", "MixMonitorMute"),
}
COUNTED = {"ConfbridgeStart", "ConfbridgeJoin", "ConfbridgeLeave", "ConfbridgeEnd", "BridgeMerge"}
TOLD = ("DialStatus", "Direction", "State", "IsExternal", "Extension", "ParkingSpace", "Muted")


async def picked_up(pbx: Pbx, number: str) -> None:
    await (await pbx.leg(number)).answers(after=0)
    await asyncio.sleep(1)


async def blind_refer(pbx: Pbx, _: Client) -> None:
    agent = pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    await agent.blind_transfer(SECOND)
    await picked_up(pbx, SECOND)


async def blind_inbound(pbx: Pbx, _: Client) -> None:
    pbx.dials("carrier", "12025550100", context="from-carrier")
    await picked_up(pbx, "agent1")
    await (await pbx.leg("agent1")).blind_transfer(SECOND)
    await picked_up(pbx, SECOND)


async def blind_code(pbx: Pbx, _: Client) -> None:
    agent = pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    await agent.blind_transfer(SECOND, by="code")
    await picked_up(pbx, SECOND)


async def attended_refer(pbx: Pbx, _: Client) -> None:
    one = pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    two = pbx.dials("agent1", SECOND, context="from-agents")
    await picked_up(pbx, SECOND)
    await one.attended_transfer(two)
    await asyncio.sleep(1)


async def attended_code(pbx: Pbx, _: Client) -> None:
    agent = pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    await agent.consults(SECOND)
    await picked_up(pbx, SECOND)
    await agent.hangs_up()
    await asyncio.sleep(1)


async def conference(pbx: Pbx, _: Client) -> None:
    pbx.dials("agent1", "600", context="from-agents")
    leaving = pbx.dials("agent2", "600", context="from-agents")
    pbx.dials("agent1", "600", context="from-agents")
    await asyncio.sleep(1)
    await leaving.hangs_up()
    await asyncio.sleep(1)


async def parked(pbx: Pbx, _: Client) -> None:
    agent = pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    space = await agent.parks(context="from-agents")
    await asyncio.sleep(2)
    pbx.dials("agent2", str(space), context="from-agents")
    await asyncio.sleep(2)


async def local_optimised(pbx: Pbx, _: Client) -> None:
    pbx.dials("agent1", f"optimised{FIRST}", context="from-agents")
    await picked_up(pbx, FIRST)


async def local_kept(pbx: Pbx, _: Client) -> None:
    pbx.dials("agent1", f"kept{FIRST}", context="from-agents")
    await picked_up(pbx, FIRST)


async def hold(pbx: Pbx, client: Client) -> None:
    agent = pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    party = await pbx.leg(FIRST)
    held = []
    for act in (agent.holds, agent.unholds):
        await act()
        for leg in (agent, party):
            asked = {"Channel": leg.channel.name, "Variable": "CHANNEL(onhold)"}
            held.append((await client.ask("Getvar", **asked))["Value"])
    assert held == ["0", "1", "0", "0"]


async def mixmonitors(pbx: Pbx, client: Client) -> None:
    pbx.dials("agent1", FIRST, context="from-agents")
    await picked_up(pbx, FIRST)
    name = (await pbx.leg(FIRST)).channel.name
    ids, said = [], []

    async def ask(action: str, **headers: str) -> None:
        reply = await client.ask(action, Channel=name, **headers)
        said.append(reply.get("Message", reply["Response"]))

    for file in ("/one.sln", "/two.sln"):
        reply = await client.ask("MixMonitor", Channel=name, File=file, Options="i(MONITOR)")
        ids.append(reply["MixMonitorID"])
    silence = {"Direction": "both", "State": "1"}
    await ask("MixMonitorMute", **silence, MixMonitorID=ids[0])
    await ask("MixMonitorMute", **silence)
    await ask("MixMonitorMute", Direction="both", State="0")
    await ask("MixMonitorMute", **silence, MixMonitorID="0x0")
    await ask("StopMixMonitor")
    await ask("StopMixMonitor", MixMonitorID="0x0")
    await ask("MixMonitorMute", **silence, MixMonitorID=ids[1])
    await ask("MixMonitorMute", **silence, MixMonitorID=ids[0])
    await ask("StopMixMonitor", MixMonitorID=ids[0])
    await ask("StopMixMonitor")
    await ask("MixMonitorMute", **silence)
    assert said == [
        *("Success", "Success", "Success", "Cannot set mute flag", "Success"),
        *("Could not stop monitoring channel", "Cannot set mute flag", "Success", "Success"),
        *("Could not stop monitoring channel", "Success"),
    ]
    await ask("MixMonitor", File="/three.wav", Options="b")


SCENES: dict[str, Callable[[Pbx, Client], Awaitable[None]]] = {
    "blind_refer": blind_refer,
    "blind_inbound": blind_inbound,
    "blind_code": blind_code,
    "attended_refer": attended_refer,
    "attended_code": attended_code,
    "conference": conference,
    "parked": parked,
    "local_optimised": local_optimised,
    "local_kept": local_kept,
    "hold": hold,
    "mixmonitors": mixmonitors,
}


class Story:
    """What a dump of events says, with names that do not differ from run to run."""

    def __init__(self, data: bytes) -> None:
        events = [block for block in blocks(data) if block[0][0] == "Event"]
        self.events = [block for block in events if block[0][1] in ORDERED | COUNTED]
        self._names: dict[str, str] = {}
        for block in self.events:
            if block[0][1] == "Newchannel":
                self._name(dict(block)["Channel"])
        self._rooms: dict[str, set[str]] = {}
        for block in self.events:
            if block[0][1] == "BridgeEnter":
                told = dict(block)
                room = self._rooms.setdefault(told["BridgeUniqueid"], set())
                room.add(self._names[told["Channel"]])

    def _name(self, channel: str) -> None:
        name, _, half = channel.partition(";")
        endpoint = f"{name.rpartition('-')[0]};{half}"
        number = sum(each.startswith(endpoint) for each in self._names.values())
        self._names[channel] = f"{endpoint} {number}"

    def of_channels(self) -> dict[str, list[tuple[object, ...]]]:
        """The ordered events of each channel."""
        found: dict[str, list[tuple[object, ...]]] = {}
        for block in self.events:
            if block[0][1] in ORDERED:
                step = self._step(block)
                for name in dict.fromkeys(self._in(block)):
                    found.setdefault(name, []).append(step)
        return found

    def _in(self, block: Block) -> list[str]:
        return [self._names[value] for key, value in block if key.endswith("Channel")]

    def _step(self, block: Block) -> tuple[object, ...]:
        rooms = [sorted(self._rooms.get(v, ())) for k, v in block if k == "BridgeUniqueid"]
        swaps = any(key == "SwapUniqueid" for key, _ in block)
        told = [value for key, value in block if key in TOLD]
        return block[0][1], self._in(block), rooms, swaps, told

    def counted(self) -> list[str]:
        return sorted(block[0][1] for block in self.events if block[0][1] in COUNTED)

    def headers(self) -> dict[str, set[tuple[str, ...]]]:
        found: dict[str, set[tuple[str, ...]]] = {}
        for block in self.events:
            found.setdefault(block[0][1], set()).add(tuple(key for key, _ in block))
        return found


@pytest.mark.parametrize("scene", SCENES)
def test_ami_tells_it_as_asterisk_did(scene: str, tmp_path: Path) -> None:
    operator = tmp_path / "operator.conf"
    operator.write_text(OPERATOR)
    heard: list[bytes] = []

    @virtual_time
    async def run() -> None:
        async with Pbx(gate().serve, folder=tmp_path, operator=operator) as pbx:
            observer = Client(*await pbx.network.ami_connect())
            client = Client(*await pbx.network.ami_connect())
            for each in (observer, client):
                await each.greeting()
            await observer.log_in(events="call")
            await client.log_in(events="off")
            await SCENES[scene](pbx, client)
            for channel in list(pbx.asterisk.channels):
                channel.hang_up(16)
            await asyncio.sleep(1)
            observer.send("Logoff")
            heard.append(await observer.reader.read())

    run()
    real = Story((TRANSCRIPTS / f"ami_{scene}.bin").read_bytes())
    simulated = Story(heard[0])
    assert simulated.counted() == real.counted()
    assert simulated.of_channels() == real.of_channels()
    for kind, headers in simulated.headers().items():
        assert headers <= real.headers()[kind], kind
