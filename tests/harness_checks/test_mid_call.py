"""What happens in the middle of a simulated call, and who is heard in its recordings then."""

import asyncio
from pathlib import Path

from tests.harness.hearing import Audible
from tests.harness.playbook import Call, Pbx
from tests.harness.virtual import virtual_time
from tests.harness_checks.ami_client import Client
from tests.harness_checks.gate import gate

FIRST = "112233"
SECOND = "445566"


async def connected(pbx: Pbx, number: str = FIRST) -> Call:
    call = pbx.outbound(number)
    await call.carrier_answers(after=0)
    await call.is_connected()
    return call


def spans(pbx: Pbx, number: int = 0) -> list[tuple[str, float, float]]:
    """Who was heard when in a recording: endpoint, and seconds from its first sound."""
    heard = pbx.heard(pbx.asterisk.media.recorders[number])
    began = min((each.since for each in heard), default=0.0)

    def told(each: Audible) -> tuple[str, float, float]:
        name = each.channel.removeprefix("PJSIP/").split("-")
        return (
            f"{name[0]}-{int(name[1], 16)}",
            round(each.since - began, 3),
            round(each.until - began, 3),
        )

    return sorted(told(each) for each in heard)


def here(folder: Path) -> Pbx:
    return Pbx(gate().serve, folder=folder, prompts={"notice": 800}, keeps_lease=True)


@virtual_time
async def test_a_hold_silences_who_holds_and_a_blind_transfer_brings_a_new_party(
    tmp_path: Path,
) -> None:
    async with here(tmp_path) as pbx:
        call = await connected(pbx)
        await call.talk(1)
        await call.holds("agent")
        await asyncio.sleep(1)
        assert (call.side("agent").on_hold, call.side("party").on_hold) == (True, False)
        await call.unholds("agent")
        await call.talk(1)
        sent = await call.blind_transfer("agent", to=SECOND, context="unguarded")
        assert sent.channel is call.side("party")
        third = await pbx.leg(SECOND)
        await asyncio.sleep(1)
        await third.answers(after=1)
        await third.is_connected()
        await asyncio.sleep(1)
        await third.hangs_up()
        await call.ended()
        assert spans(pbx) == [
            ("agent1-1", 0, 1),
            ("agent1-1", 2, 3),
            ("carrier-2", 0, 3),
            ("carrier-2", 5, 6),
            ("carrier-3", 5, 6),
        ]


@virtual_time
async def test_recordings_are_muted_each_by_itself_or_all_at_once(tmp_path: Path) -> None:
    async with here(tmp_path) as pbx:
        call = await connected(pbx)
        client = Client(*await pbx.network.ami_connect())
        await client.greeting()
        await client.log_in(events="off")
        name = call.side("party").name
        media = pbx.asterisk.media
        rogue = media.start_recording(call.side("party"), "/elsewhere/x.wav", bridged_only=True)
        first = media.recorders[0].identity
        mute = {"Channel": name, "Direction": "both", "State": "1"}
        assert (await client.ask("MixMonitorMute", **mute, MixMonitorID=first))["Response"] == (
            "Success"
        )
        await call.talk(1)
        await client.ask("MixMonitorMute", **{**mute, "Direction": "read"})
        await call.talk(1)
        await client.ask("MixMonitorMute", **{**mute, "State": "0"})
        await call.talk(1)
        gone = await client.ask("MixMonitorMute", **mute, MixMonitorID="0x0")
        assert (gone["Response"], gone["Message"]) == ("Error", "Cannot set mute flag")
        await client.ask("StopMixMonitor", Channel=name)
        assert [each.identity for each in media.running_recorders(call.side("party"))] == [first]
        assert rogue != first
        await call.talk(1)
        await call.hangs_up("agent")
        await call.ended()
        assert spans(pbx, 0) == [("agent1-1", 0, 2), ("carrier-2", 0, 2)]
        assert spans(pbx, 1) == [("agent1-1", 0, 3), ("carrier-2", 0, 1), ("carrier-2", 2, 3)]


@virtual_time
async def test_who_is_heard_after_an_attended_transfer_in_a_conference_and_behind_local_channels(
    tmp_path: Path,
) -> None:
    async with here(tmp_path) as pbx:
        first = await connected(pbx)
        second = pbx.dials("agent1", SECOND, context="unguarded")
        third = await pbx.leg(SECOND)
        await third.answers(after=0)
        await first.talk(1)
        await first.leg("agent").attended_transfer(second)
        await asyncio.sleep(1)
        assert {c.linkedid for c in pbx.asterisk.channels} == {first.channel.linkedid}
        await third.hangs_up()
        await first.ended()
        assert spans(pbx) == [
            ("agent1-1", 0, 1),
            ("carrier-2", 0, 1),
            ("carrier-2", 1, 2),
            ("carrier-4", 1, 2),
        ]

        kept = pbx.dials("agent1", f"kept{FIRST}", context="unguarded")
        far = await pbx.leg(FIRST)
        await far.answers(after=0)
        await kept.is_connected()
        recorder = pbx.records(kept)
        await asyncio.sleep(1)
        await far.holds()
        await asyncio.sleep(1)
        await kept.hangs_up()
        await asyncio.sleep(1)
        heard = {each.channel: each.until - each.since for each in pbx.heard(recorder)}
        assert heard == {kept.channel.name: 2, far.channel.name: 1}

        legs = [pbx.dials(name, "600") for name in ("agent1", "agent2", "carrier")]
        await asyncio.sleep(1)
        recorder = pbx.records(legs[0])
        await asyncio.sleep(1)
        await legs[2].hangs_up()
        await asyncio.sleep(1)
        lengths = sorted(each.until - each.since for each in pbx.heard(recorder))
        assert (lengths, [e.outside for e in pbx.heard(recorder)].count(True)) == ([1, 2, 2], 1)
        for leg in legs[:2]:
            await leg.hangs_up()


@virtual_time
async def test_whoever_is_parked_is_heard_by_nobody_until_they_are_fetched(tmp_path: Path) -> None:
    async with here(tmp_path) as pbx:
        calls = [await connected(pbx)]
        assert await calls[0].leg("agent").parks() == 701
        calls.append(await connected(pbx, SECOND))
        assert await calls[1].leg("agent").parks() == 702
        await asyncio.sleep(1)
        agent = pbx.dials("agent2", "702")
        await asyncio.sleep(1)
        for leg in (agent, calls[0].leg("party")):
            await leg.hangs_up()
        await asyncio.sleep(1)
        assert {name for name, _, _ in spans(pbx, 0)} == {"carrier-2"}
        assert spans(pbx, 1) == [
            ("agent2-5", 1, 2),
            ("carrier-4", 0, 1),
            ("carrier-4", 1, 2),
        ]
