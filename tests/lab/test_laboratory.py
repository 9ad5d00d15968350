"""The laboratory itself: instances, the AMI user, call records, recordings."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.lab import audio
from tests.lab.asterisk import Asterisk
from tests.lab.calls import PARTY, Telephony
from tests.lab.peers import AmiClient, Answerer, Conversation
from tests.lab.sipp import Talk

pytestmark = pytest.mark.lab

CALL = "01993f5e-0000-7000-8000-000000000003"
COLUMNS = (
    "accountcode src dst dcontext clid channel dstchannel lastapp lastdata start answer end "
    "duration billsec disposition amaflags uniqueid linkedid sequence userfield hangupcause "
    "peeraccount"
)


async def allow(session: Conversation) -> None:
    await session.send(f'SET VARIABLE CALLGUARD_CALL "{CALL}"')
    await session.send('SET VARIABLE CALLGUARD_VERDICT "allow"')


async def block(session: Conversation) -> None:
    await session.send(f'SET VARIABLE CALLGUARD_CALL "{CALL}"')
    await session.send('SET VARIABLE CALLGUARD_VERDICT "block"')


async def nothing(session: Conversation) -> None:
    """A session without a command."""


def call_records(pbx: Asterisk) -> list[dict[str, str]]:
    with pbx.cdr_file.open(newline="") as file:
        return [dict(zip(COLUMNS.split(), row, strict=True)) for row in csv.reader(file)]


@pytest.fixture
async def client(pbx: Asterisk) -> AsyncIterator[AmiClient]:
    """callguard's own AMI user, logged in."""
    async with AmiClient(pbx.ami) as connected:
        await connected.connect()
        yield connected


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Telephony]:
    """A PBX for one test, not started."""
    pbx = Asterisk(tmp_path / "pbx")
    yield Telephony(pbx, tmp_path)
    pbx.close()


def test_two_instances_run_side_by_side_and_come_back_after_a_kill(tmp_path: Path) -> None:
    with Asterisk(tmp_path / "one") as one, Asterisk(tmp_path / "two") as two:
        assert one.sites.sip != two.sites.sip
        one.cli("database put lab name one")
        two.kill()
        assert "one" in one.cli("database get lab name")
        assert not two.running
        assert "Asterisk 22" in two.start().cli("core show version")
        assert "not found" in two.cli("database get lab name")


def test_a_restart_keeps_the_folders_and_forgets_the_lease(tmp_path: Path) -> None:
    with Asterisk(tmp_path / "pbx") as pbx:
        first = pbx.pid
        pbx.cli("dialplan set global CALLGUARD_ALIVE 1")
        assert pbx.restart().pid != first
        assert "CALLGUARD_ALIVE" not in pbx.cli("dialplan show globals")


def test_host_and_asterisk_paths_are_each_others_inverse(tmp_path: Path) -> None:
    pbx = Asterisk(tmp_path / "pbx")
    path = pbx.spool / "a.sln"
    assert pbx.outside(str(pbx.inside(path))) == path
    pbx.close()


async def test_the_ami_user_may_do_what_callguard_needs_and_no_more(client: AmiClient) -> None:
    allowed = {
        "Setvar": {"Variable": "CALLGUARD_ALIVE", "Value": "7"},
        "Getvar": {"Variable": "CALLGUARD_ALIVE"},
        "CoreShowChannels": {},
        "Ping": {},
    }
    for name, headers in allowed.items():
        assert (await client.action(name, **headers))["Response"] == "Success", name
    for name in ("StopMixMonitor", "MixMonitorMute", "Hangup", "Redirect"):
        answer = await client.action(name, Channel="PJSIP/none-00000000", Direction="both")
        assert answer["Message"] != "Permission denied", name
    for name in ("Command", "Originate", "UpdateConfig", "Filter", "ModuleLoad", "MixMonitor"):
        assert (await client.action(name))["Message"] == "Permission denied", name


async def test_the_filters_leave_the_events_of_the_contract(
    telephony: Telephony, client: AmiClient
) -> None:
    async def record(session: Conversation) -> None:
        await session.send(f'EXEC MixMonitor "{telephony.recording("events.sln")},b"')

    telephony.renew_lease()
    scripts = {"outbound": allow, "answered": record}
    async with Answerer(telephony.pbx.sites.agi, scripts):
        with telephony.party_answers() as party:
            agent = telephony.agent_calls(steps=(Talk(600),))
            started = await client.event("MixMonitorStart")
            await client.event("BridgeEnter", BridgeNumChannels="2")
            await client.action(
                "MixMonitorMute", Channel=started["Channel"], Direction="both", State="1"
            )
            await agent.finished()
            await party.finished()
    record_event = await client.event("Cdr")
    await client.event("Hangup", Channel=started["Channel"])

    names = [event["Event"] for event in client.events()]
    assert set(names) == {
        "Newchannel", "Newstate", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave",
        "Hangup", "MixMonitorStart", "MixMonitorMute", "Cdr",
    }  # fmt: skip
    assert len(names) < 20
    assert record_event["UserField"] == CALL
    assert record_event["LinkedID"] == record_event["UniqueID"]
    assert record_event["Sequence"].isdigit()


async def test_a_mixmonitor_is_stopped_by_ami_and_says_so(
    telephony: Telephony, client: AmiClient
) -> None:
    async def record(session: Conversation) -> None:
        await session.send(f'EXEC MixMonitor "{telephony.recording("stop.sln")},b"')

    telephony.renew_lease()
    scripts = {"outbound": allow, "answered": record}
    async with Answerer(telephony.pbx.sites.agi, scripts):
        with telephony.party_answers() as party:
            agent = telephony.agent_calls(steps=(Talk(2000),))
            started = await client.event("MixMonitorStart")
            await client.event("BridgeEnter", BridgeNumChannels="2")
            await client.action("StopMixMonitor", Channel=started["Channel"])
            await client.event("MixMonitorStop", Channel=started["Channel"])
            stopped = await agent.finished()
            await party.finished()

    assert stopped.connected
    assert (telephony.pbx.spool / "stop.sln").exists()
    assert len(telephony.recorded("stop.sln")) / audio.RATE < 1.0


async def test_ami_and_the_file_tell_the_same_call_records(fresh: Telephony) -> None:
    pbx = fresh.pbx.start()
    async with AmiClient(pbx.ami) as client:
        await client.connect()
        fresh.renew_lease()
        async with Answerer(pbx.sites.agi, {"outbound": allow, "answered": nothing}):
            with fresh.party_answers() as party:
                await fresh.agent_calls(steps=(Talk(300),)).finished()
                await party.finished()
            with fresh.party_answers(code=486) as party:
                await fresh.agent_calls().finished()
                await party.finished()
        async with Answerer(pbx.sites.agi, {"outbound": block}):
            await fresh.agent_calls().finished()
        await client.wait(lambda _: len(client.events("Cdr")) == 4)
        await fresh.all_quiet()
        answered, busy, after_busy, blocked = call_records(pbx)
        events = client.events("Cdr")

    assert answered["disposition"] == "ANSWERED"
    assert float(answered["start"]) < float(answered["answer"]) < float(answered["end"])
    assert busy["disposition"] == "BUSY"
    assert float(busy["answer"]) == 0
    # The rest of a channel's life after an unanswered Dial is a record of its own.
    assert after_busy["uniqueid"] == busy["uniqueid"]
    assert after_busy["sequence"] != busy["sequence"]
    assert blocked["dstchannel"] == after_busy["dstchannel"] == ""
    for row, event in zip((answered, busy, after_busy, blocked), events, strict=True):
        assert row["userfield"] == CALL
        assert row["dst"] == PARTY
        assert (row["uniqueid"], row["linkedid"], row["sequence"]) == (
            event["UniqueID"],
            event["LinkedID"],
            event["Sequence"],
        )
