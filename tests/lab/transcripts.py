"""Capture what real AMI and AGI conversations look like on the wire.

    python -m tests.lab.transcripts tests/transcripts

For AMI `NAME.bin` is what Asterisk sent and `NAME.out` what the client sent; for AGI `NAME.bin`
is what Asterisk sent and `NAME.out` what the FastAGI server sent. All numbers are fictional.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.lab import audio, sipp
from tests.lab.asterisk import Asterisk
from tests.lab.peers import AmiClient, Answerer, Conversation, Script

PARTY = "12025550143"
LINE = "12025550100"
CALL = "01993f5e-0000-7000-8000-0000000000aa"


async def allow(session: Conversation) -> None:
    await session.send(f'SET VARIABLE CALLGUARD_CALL "{CALL}"')
    await session.send('SET VARIABLE CALLGUARD_VERDICT "allow"')


class Capture:
    """One PBX, its two SIP parties, and the folder the transcripts go to."""

    def __init__(self, pbx: Asterisk, folder: Path) -> None:
        self.pbx = pbx
        self.folder = folder
        self.agent_tone = audio.write_mulaw(pbx.folder / "agent.ul", audio.tone(440, 5))
        self.party_tone = audio.write_mulaw(pbx.folder / "party.ul", audio.tone(1000, 5))
        audio.write_wav(pbx.prompts / "notice.wav", audio.tone(700, 1.5))
        self._count = 0

    def save(self, name: str, session: Conversation | AmiClient) -> None:
        (self.folder / f"{name}.bin").write_bytes(session.received)
        (self.folder / f"{name}.out").write_bytes(session.sent)

    @property
    def notice(self) -> str:
        return str(self.pbx.inside(self.pbx.prompts / "notice"))

    @property
    def spool(self) -> str:
        return str(self.pbx.inside(self.pbx.spool))

    async def outbound(
        self,
        answered: Script,
        *,
        party: Sequence[sipp.Step] = (),
        agent: Sequence[sipp.Step] = (sipp.Talk(3000),),
        party_hangs_up: bool = False,
        cancel_after_ms: int | None = None,
        during: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Conversation]:
        """One outbound call; the sessions by path."""
        self._count += 1
        parts = self.pbx.folder / f"call{self._count}"
        sites = self.pbx.sites
        self.pbx.cli(f"dialplan set global CALLGUARD_ALIVE {int(time.time())}")
        scripts = {"outbound": allow, "answered": answered, "feature": feature}
        async with Answerer(sites.agi, scripts) as server:
            with (
                sipp.answer(
                    parts / "party",
                    port=sites.carrier,
                    tone=self.party_tone,
                    steps=party,
                    hang_up=party_hangs_up,
                ) as called,
                sipp.call(
                    parts / "agent",
                    to=PARTY,
                    target=sites.sip,
                    port=sites.agent,
                    tone=self.agent_tone,
                    steps=agent,
                    hang_up=not party_hangs_up,
                    cancel_after_ms=cancel_after_ms,
                ) as caller,
            ):
                if during:
                    await during()
                await caller.finished()
                await called.finished()
            await server.ended("answered")
        return {session.path: session for session in server.conversations}

    async def inbound(
        self, script: Script, *, steps: Sequence[sipp.Step] = (sipp.Talk(2500),)
    ) -> Conversation:
        """One inbound call; the session."""
        self._count += 1
        parts = self.pbx.folder / f"call{self._count}"
        sites = self.pbx.sites
        self.pbx.cli(f"dialplan set global CALLGUARD_ALIVE {int(time.time())}")
        async with Answerer(sites.agi, {"inbound": script}) as server:
            with (
                sipp.answer(parts / "agent", port=sites.agent, tone=self.agent_tone),
                sipp.call(
                    parts / "caller",
                    to=LINE,
                    target=sites.sip,
                    port=sites.carrier,
                    user=PARTY,
                    name="Caller",
                    side="carrier",
                    tone=self.party_tone,
                    steps=steps,
                ) as caller,
            ):
                await caller.finished()
            return await server.ended("inbound")


async def feature(session: Conversation) -> None:
    await session.send("EXEC StopMixMonitor")


async def logins(capture: Capture) -> None:
    client = AmiClient(capture.pbx.ami)
    await client.connect(events="call,cdr,dtmf,agi")
    await client.action("Ping")
    await client.action("Setvar", Variable="CALLGUARD_ALIVE", Value=str(int(time.time())))
    await client.action("Getvar", Variable="CALLGUARD_ALIVE")
    await client.action("CoreShowChannels")
    await client.action("Logoff")
    await client.close()
    capture.save("ami_login_md5", client)

    wrong = AmiClient(capture.pbx.ami)
    wrong.forge_secret("wrong")
    await wrong.connect()
    await wrong.close()
    capture.save("ami_login_refused", wrong)

    limited = AmiClient(capture.pbx.ami)
    await limited.connect()
    await limited.action("Command", Command="core show version")
    await limited.action("NoSuchAction")
    await limited.action("Hangup", Channel="PJSIP/nobody-00000000")
    await limited.action("StopMixMonitor", Channel="PJSIP/nobody-00000000")
    await limited.action("Originate", Channel="Local/s@nowhere", Application="NoOp")
    await limited.close()
    capture.save("ami_refused_actions", limited)

    observer = AmiClient(capture.pbx.observer)
    await observer.connect(events="off")
    await observer.action("Command", Command="core show channels")
    await observer.close()
    capture.save("ami_command", observer)


async def calls(capture: Capture) -> None:
    pbx = capture.pbx

    async def recorded(session: Conversation) -> None:
        await session.send(f'STREAM FILE {capture.notice} "9"')
        await session.send(f'EXEC MixMonitor "{capture.spool}/aa.sln,b"')

    observer, filtered = AmiClient(pbx.observer), AmiClient(pbx.ami)
    await observer.connect()
    await filtered.connect(events="call,cdr,dtmf,agi")

    async def steer() -> None:
        up = await filtered.event("MixMonitorStart", timeout=15)
        shower = AmiClient(pbx.ami)
        await shower.connect(events="off")
        await shower.action("CoreShowChannels")
        await shower.wait(lambda m: m.get("Event") == "CoreShowChannelsComplete")
        await shower.close()
        capture.save("ami_core_show_channels", shower)
        await filtered.action("MixMonitorMute", Channel=up["Channel"], Direction="both", State="1")
        await filtered.action("MixMonitorMute", Channel=up["Channel"], Direction="both", State="0")

    sessions = await capture.outbound(
        recorded, party=(sipp.Talk(600), sipp.Digits("9")), during=steer
    )
    await observer.event("Cdr")
    await filtered.event("Cdr")
    await observer.close()
    await filtered.close()
    capture.save("ami_call_outbound", observer)
    capture.save("ami_call_filtered", filtered)
    capture.save("agi_outbound", sessions["outbound"])
    capture.save("agi_answered_digit", sessions["answered"])

    sessions = await capture.outbound(recorded, agent=(sipp.Talk(2500),))
    capture.save("agi_answered_notice", sessions["answered"])

    async def hung_up(session: Conversation) -> None:
        await session.send(f'STREAM FILE {capture.notice} "9"')
        await session.send("GET VARIABLE CALLGUARD_CALL")
        await session.send(f'STREAM FILE {capture.notice} "9"')
        await session.send('SET VARIABLE CALLGUARD_AFTER "end"')

    sessions = await capture.outbound(hung_up, party=(sipp.Talk(700),), party_hangs_up=True)
    capture.save("agi_hangup_in_notice", sessions["answered"])
    sessions = await capture.outbound(hung_up, cancel_after_ms=700)
    capture.save("agi_agent_hangup_in_notice", sessions["answered"])

    async def clumsy(session: Conversation) -> None:
        await session.send("EXEC")
        await session.send("SET VARIABLE ONLYNAME")
        await session.send("NO SUCH COMMAND")
        await session.send('EXEC NoSuchApplication "a"')
        await session.send("GET VARIABLE NOT_SET_ANYWHERE")
        await session.send("GET FULL VARIABLE ${CHANNEL(name)}")
        await session.send('SET VARIABLE CG_TEST "a (b) c"')
        await session.send("GET VARIABLE CG_TEST")
        await session.send('VERBOSE "hello \\"there\\"" 3')
        await session.send("CHANNEL STATUS")
        await session.send("WAIT FOR DIGIT 100")

    sessions = await capture.outbound(clumsy, agent=(sipp.Talk(700),))
    capture.save("agi_520", sessions["answered"])

    async def missing(session: Conversation) -> None:
        await session.send(f'STREAM FILE {capture.notice}-nosuch "9"')
        await session.send(f'EXEC MixMonitor "{capture.spool}/no/such/folder/a.sln,b"')

    sessions = await capture.outbound(missing, agent=(sipp.Talk(500),))
    capture.save("agi_missing_prompt", sessions["answered"])

    async def inbound(session: Conversation) -> None:
        await allow(session)
        await session.send("ANSWER")
        await session.send(f'STREAM FILE {capture.notice} "9"')
        await session.send(f'EXEC MixMonitor "{capture.spool}/in.sln,b"')

    capture.save("agi_inbound", await capture.inbound(inbound))
    capture.save("agi_inbound_hangup", await capture.inbound(inbound, steps=(sipp.Talk(500),)))


async def run(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, Asterisk(Path(scratch)) as pbx:
        capture = Capture(pbx, folder)
        await logins(capture)
        await calls(capture)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
