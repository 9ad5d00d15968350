"""Capture what a real Asterisk tells over AMI of transfers, conferences, parking, holds and
recordings that are muted; ``test_mid_call_transcripts`` compares the simulator with it.

    python -m tests.harness_checks.mid_call_transcripts tests/transcripts [NAME…]

Two instances: the exchange that is listened to, and one that plays its phones and its carrier.
Each ``ami_NAME.bin`` is what the exchange sent of the class ``call`` to an observer.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.lab import sipp
from tests.lab.asterisk import Asterisk
from tests.lab.in_dialog import Hold, Unhold
from tests.lab.peers import AmiClient

FIRST = "12025550143"
SECOND = "12025550144"
LINE = "12025550100"

_DIALPLAN = """[general]
[globals]
[from-agents]
exten => _1NXXNXXXXXX,1,Dial(PJSIP/${EXTEN}@carrier,30,Tt)
exten => _6XX,1,ConfBridge(${EXTEN})
exten => _agentX,1,Dial(PJSIP/${EXTEN},30,Tt)
exten => _optimised.,1,Dial(Local/${EXTEN:9}@from-agents,30)
exten => _kept.,1,Dial(Local/${EXTEN:4}@from-agents/n,30)
include => parkedcalls
[from-carrier]
exten => _X.,1,Dial(PJSIP/agent1,20,Tt)
"""

_FAR_DIALPLAN = """[general]
[answering]
exten => _.,1,Answer()
 same => n,Milliwatt()
[phone]
exten => wait,1,Milliwatt()
exten => second,1,Set(GLOBAL(DIALOG)=${CHANNEL(pjsip,call-id)})
 same => n,Set(GLOBAL(TO)=${CHANNEL(pjsip,remote_tag)})
 same => n,Set(GLOBAL(FROM)=${CHANNEL(pjsip,local_tag)})
 same => n,Milliwatt()
exten => refer,1,Transfer(PJSIP/sip:@SECOND@@127.0.0.1:@PORT@)
 same => n,Hangup()
exten => replaces,1,Set(R=${URIENCODE(${DIALOG}\\;to-tag=${TO}\\;from-tag=${FROM})})
 same => n,Transfer(PJSIP/sip:@SECOND@@127.0.0.1:@PORT@?Replaces=${R})
 same => n,Hangup()
exten => code,1,SendDTMF(*1@SECOND@,100,150)
 same => n,Milliwatt()
exten => park,1,Transfer(PJSIP/sip:700@127.0.0.1:@PORT@)
 same => n,Hangup()
"""

_ENDPOINT = """[{0}]
type=endpoint
transport=loopback
disallow=all
allow=ulaw
direct_media=no
media_address=127.0.0.1
bind_rtp_to_media_address=yes
rtp_symmetric=yes
aors={0}
{1}
[{0}]
type=aor
contact={2}
"""


def _pjsip(port: int, endpoints: list[tuple[str, str, str]], rest: str = "") -> str:
    head = f"[loopback]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{port}\n"
    return head + "".join(_ENDPOINT.format(*each) for each in endpoints) + rest


class Stage:
    """The exchange, the other one, and how calls are made from there."""

    def __init__(self, folder: Path) -> None:
        self.pbx = Asterisk(folder / "pbx")
        self.far = Asterisk(folder / "far")
        pbx, far = self.pbx.sites.sip, self.far.sites.sip
        names = ("agent1", "agent2", "carrier")
        there = {
            "agent1": f"sip:agent1@127.0.0.1:{far}",
            "agent2": f"sip:agent2@127.0.0.1:{far}",
            "carrier": f"sip:127.0.0.1:{far}",
        }
        context = {"carrier": "from-carrier"}
        self._write(
            self.pbx,
            _pjsip(
                pbx,
                [(n, f"context={context.get(n, 'from-agents')}", there[n]) for n in names],
            ),
            _DIALPLAN,
        )
        dialplan = _FAR_DIALPLAN.replace("@SECOND@", SECOND).replace("@PORT@", str(pbx))
        self._write(
            self.far,
            _pjsip(
                far,
                [
                    (n, f"context=answering\nfrom_user={n}", f"sip:127.0.0.1:{pbx}")
                    for n in (*names, "exchange")
                ],
                "[exchange]\ntype=identify\nendpoint=exchange\nmatch=127.0.0.1\n",
            ),
            dialplan,
        )
        features = "[general]\n[featuremap]\nblindxfer => *1\natxfer => *2\n"
        (self.pbx.etc / "features.conf").write_text(features)
        (self.pbx.etc / "res_parking.conf").write_text(
            "[general]\n[default]\nparkext => 700\nparkpos => 701-720\ncontext => parkedcalls\n"
            "parkingtime => 45\n"
        )
        with (self.pbx.etc / "modules.conf").open("a") as modules:
            modules.write("load = res_parking.so\nload = app_stasis.so\n")
        self.control = AmiClient(self.far.observer)
        self.here = AmiClient(self.pbx.observer)

    @staticmethod
    def _write(instance: Asterisk, pjsip: str, dialplan: str) -> None:
        (instance.etc / "pjsip.conf").write_text(pjsip)
        (instance.etc / "extensions.conf").write_text(dialplan)

    async def begin(self) -> None:
        for instance in (self.pbx, self.far):
            await asyncio.to_thread(instance.start)
        await self.control.connect(events="call")
        await self.here.connect(events="call")

    def end(self) -> None:
        for instance in (self.pbx, self.far):
            instance.close()

    async def calls(self, who: str, number: str, then: str = "wait") -> None:
        """A phone (or the carrier) calls a number of the exchange."""
        await self.control.action(
            "Originate",
            Channel=f"PJSIP/{number}@{who}",
            Context="phone",
            Exten=then,
            Priority="1",
            Async="true",
        )

    async def does(self, who: str, what: str) -> None:
        """A phone does something in the call that it is in (its first)."""
        lines = self.far.cli("core show channels concise").splitlines()
        for name in sorted(line.partition("!")[0] for line in lines):
            if name.startswith(f"PJSIP/{who}-"):
                where = {"Context": "phone", "Exten": what, "Priority": "1"}
                await self.control.action("Redirect", Channel=name, **where)
                return
        raise AssertionError(f"{who} has no channel")

    def channel(self, who: str, number: int = 0) -> str:
        """The exchange's channels at an endpoint, the oldest first."""
        lines = self.pbx.cli("core show channels concise").splitlines()
        names = sorted(line.partition("!")[0] for line in lines)
        return [name for name in names if name.startswith(f"PJSIP/{who}-")][number]

    async def hang_up(self) -> None:
        """Everybody does."""
        await asyncio.to_thread(self.far.cli, "channel request hangup all")
        for _ in range(50):
            await asyncio.sleep(0.1)
            if self.pbx.channels() == 0 == self.far.channels():
                return


Act = Callable[[Stage], Awaitable[None]]


async def blind_refer(stage: Stage) -> None:
    await stage.calls("agent1", FIRST)
    await asyncio.sleep(1)
    await stage.does("agent1", "refer")
    await asyncio.sleep(2)


async def blind_refer_inbound(stage: Stage) -> None:
    await stage.calls("carrier", LINE)
    await asyncio.sleep(1)
    name = stage.channel("agent1")
    await stage.here.action("BlindTransfer", Channel=name, Exten=SECOND, Context="from-agents")
    await asyncio.sleep(2)


async def blind_code(stage: Stage) -> None:
    await stage.calls("agent1", FIRST)
    await asyncio.sleep(1)
    await stage.does("agent1", "code")
    await asyncio.sleep(8)


async def attended_refer(stage: Stage) -> None:
    await stage.calls("agent1", FIRST)
    await asyncio.sleep(1)
    await stage.calls("agent1", SECOND, "second")
    await asyncio.sleep(1)
    await stage.does("agent1", "replaces")
    await asyncio.sleep(2)


async def attended_code(stage: Stage) -> None:
    await stage.calls("agent1", FIRST)
    await asyncio.sleep(1)
    name = stage.channel("agent1")
    await stage.here.action("Atxfer", Channel=name, Exten=SECOND, Context="from-agents")
    await asyncio.sleep(4)
    await stage.here.action("Hangup", Channel=name)
    await asyncio.sleep(2)


async def conference(stage: Stage) -> None:
    for who in ("agent1", "agent2", "agent1"):
        await stage.calls(who, "600")
        await asyncio.sleep(0.7)
    await asyncio.sleep(1)
    await stage.here.action("Hangup", Channel=stage.channel("agent2"))
    await asyncio.sleep(1)


async def parked(stage: Stage) -> None:
    await stage.calls("agent1", FIRST)
    await asyncio.sleep(1)
    await stage.does("agent1", "park")
    await asyncio.sleep(2)
    await stage.calls("agent2", "701")
    await asyncio.sleep(2)


async def local_optimised(stage: Stage) -> None:
    await stage.calls("agent1", f"optimised{FIRST}")
    await asyncio.sleep(2)


async def local_kept(stage: Stage) -> None:
    await stage.calls("agent1", f"kept{FIRST}")
    await asyncio.sleep(2)


async def mixmonitors(stage: Stage) -> None:
    await stage.calls("agent1", FIRST)
    await asyncio.sleep(1)
    here, name = stage.here, stage.channel("carrier")
    folder = "/instance/log"
    ids = []
    for file in ("one", "two"):
        where = {"File": f"{folder}/{file}.sln", "Options": "i(MONITOR)"}
        print(await here.action("MixMonitor", Channel=name, **where))
        reply = await here.action("Getvar", Channel=name, Variable="MONITOR")
        ids.append(reply["Value"])
    mute = {"Channel": name, "Direction": "both"}
    print(ids, await here.action("Getvar", Channel=name, Variable="MIXMONITOR_FILENAME"))
    print("one", await here.action("MixMonitorMute", **mute, State="1", MixMonitorID=ids[0]))
    print("all", await here.action("MixMonitorMute", **mute, State="1"))
    print("none", await here.action("MixMonitorMute", **mute, State="0"))
    print("gone", await here.action("MixMonitorMute", **mute, State="1", MixMonitorID="0x0"))
    print("stop", await here.action("StopMixMonitor", Channel=name))
    print("stop gone", await here.action("StopMixMonitor", Channel=name, MixMonitorID="0x0"))
    print("second", await here.action("MixMonitorMute", **mute, State="1", MixMonitorID=ids[1]))
    print("first", await here.action("MixMonitorMute", **mute, State="1", MixMonitorID=ids[0]))
    print("stop", await here.action("StopMixMonitor", Channel=name, MixMonitorID=ids[0]))
    print("stop none", await here.action("StopMixMonitor", Channel=name))
    print("mute none", await here.action("MixMonitorMute", **mute, State="1"))
    print("cli", stage.pbx.cli(f"mixmonitor start {name} {folder}/three.wav,b"))
    print("cli", stage.pbx.cli(f"mixmonitor list {name}"))
    await asyncio.sleep(1)


async def hold(stage: Stage) -> None:
    sites = stage.pbx.sites
    with sipp.call(
        stage.pbx.folder / "phone",
        to=FIRST,
        target=sites.sip,
        port=sites.agent,
        steps=(sipp.Talk(1000), Hold(), sipp.Talk(1500), Unhold(), sipp.Talk(1000)),
    ) as phone:
        for event in ("Hold", "Unhold"):
            await stage.here.event(event)
            for who in ("agent1", "carrier"):
                asked = {"Channel": stage.channel(who), "Variable": "CHANNEL(onhold)"}
                print(event, who, await stage.here.action("Getvar", **asked))
        await phone.finished()


SCENES: dict[str, Act] = {
    "blind_refer": blind_refer,
    "blind_inbound": blind_refer_inbound,
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


async def run(folder: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        stage = Stage(Path(scratch))
        try:
            await stage.begin()
            for name in names or SCENES:
                observer = AmiClient(stage.pbx.observer)
                await observer.connect(events="call")
                await SCENES[name](stage)
                await stage.hang_up()
                await asyncio.sleep(0.5)
                await observer.close()
                (folder / f"ami_{name}.bin").write_bytes(observer.received)
        finally:
            stage.end()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2:]))
