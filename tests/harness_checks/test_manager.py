"""The simulated manager over streams in memory."""

import asyncio
from pathlib import Path

import pytest

from tests.harness.ami_server import Account, SimulatedManager
from tests.harness.pipes import End, pipe
from tests.harness.playbook import Call, Pbx
from tests.harness.virtual import current_clock, virtual_time
from tests.harness_checks.ami_client import Client
from tests.harness_checks.gate import gate


def manager_and_client(account: Account | None = None) -> tuple[SimulatedManager, Client, End]:
    """A served pipe; its task ends with the client's connection."""
    manager = SimulatedManager(current_clock(), [account or Account("callguard", "secret")])
    client, server = pipe()
    serving = asyncio.get_running_loop().create_task(manager.serve(*server.streams))
    serving.add_done_callback(lambda task: task.exception())
    return manager, Client(*client.streams), client


@virtual_time
async def test_log_in_ping_and_leave() -> None:
    manager, client, end = manager_and_client()
    assert await client.greeting() == b"Asterisk Call Manager/11.0.0\r\n"
    assert (await client.ask("Ping", ActionID="1")) == {
        "Response": "Error",
        "ActionID": "1",
        "Message": "Permission denied",
    }
    assert (await client.log_in())["Message"] == "Authentication accepted"
    assert (await client.receive())["Event"] == "FullyBooted"
    assert manager.logged_in == 1
    pong = await client.ask("Ping", ActionID="7")
    assert (pong["ActionID"], pong["Ping"]) == ("7", "Pong")
    assert float(pong["Timestamp"]) == current_clock().epoch()
    assert (await client.ask("Logoff"))["Response"] == "Goodbye"
    assert await client.reader.read() == b""
    await end.close()


@virtual_time
async def test_a_wrong_secret_is_refused_after_a_second_and_the_connection_closed() -> None:
    _, client, end = manager_and_client()
    await client.greeting()
    assert await client.log_in(secret="guess") == {
        "Response": "Error",
        "Message": "Authentication failed",
    }
    assert current_clock().monotonic() == 1
    assert await client.reader.read() == b""
    await end.close()


@virtual_time
async def test_plain_login_and_an_unknown_action() -> None:
    _, client, end = manager_and_client()
    await client.greeting()
    accepted = await client.ask("Login", Username="callguard", Secret="secret", Events="off")
    assert accepted["Response"] == "Success"
    unknown = await client.ask("NoSuchAction")
    assert unknown["Message"].startswith("Invalid/unknown command: NoSuchAction.")
    await end.close()


@virtual_time
async def test_masks_and_filters_choose_the_events() -> None:
    manager, client, end = manager_and_client()
    await client.greeting()
    await client.log_in(events="call,cdr")
    await client.ask("Filter", Operation="Add", MatchCriteria="action(exclude),name(Newstate)")
    manager.emit("DTMFEnd", "dtmf,all", [("Digit", "1")])
    manager.emit("Newstate", "call,all", [("Channel", "a")])
    manager.emit("Hangup", "call,all", [("Channel", "b")])
    assert await client.receive() == {"Event": "Hangup", "Privilege": "call,all", "Channel": "b"}
    assert (await client.ask("Events", EventMask="off"))["Events"] == "Off"
    manager.emit("Hangup", "call,all", [("Channel", "c")])
    assert (await client.ask("Ping"))["Ping"] == "Pong"
    await end.close()


@virtual_time
async def test_classes_that_were_not_granted_are_denied() -> None:
    account = Account("callguard", "secret", write=frozenset({"call", "reporting"}))
    _, client, end = manager_and_client(account)
    await client.greeting()
    await client.log_in()
    assert (await client.ask("Command", Command="core show version"))["Message"] == (
        "Permission denied"
    )
    await end.close()


@virtual_time
async def test_a_line_over_the_limit_is_thrown_away() -> None:
    manager, client, end = manager_and_client()
    await client.greeting()
    await client.log_in(events="off")
    await client.ask("Ping", Fits="x" * 1000, TooLong="x" * 1024)
    assert len(manager.received[-1].get("Fits")) == 1000
    assert manager.received[-1].get("TooLong") == ""
    await end.close()


@virtual_time
async def test_faults_silence_garbage_torn_bytes_and_a_drop() -> None:
    manager, client, end = manager_and_client()
    await client.greeting()
    await client.log_in(events="off")
    manager.tear(1, 5)
    assert (await client.ask("Ping"))["Ping"] == "Pong"
    manager.garbage(b"\x00\xff no protocol\r\n\r\n")
    assert await client.reader.readuntil(b"\r\n\r\n") == b"\x00\xff no protocol\r\n\r\n"
    manager.answer_pings = False
    client.send("Ping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.receive(), 60)
    manager.drop()
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
    await end.close()


@virtual_time
async def test_a_reader_that_stalls_is_dropped() -> None:
    manager, client, end = manager_and_client()
    await client.greeting()
    await client.log_in(events="call")
    for number in range(5000):
        manager.emit("Newstate", "call,all", [("Channel", str(number)), ("Pad", "x" * 100)])
    await asyncio.sleep(1)
    assert manager.sessions == []
    await end.close()


async def logged_in(pbx: Pbx) -> Client:
    client = Client(*await pbx.network.ami_connect())
    await client.greeting()
    await client.log_in()
    return client


async def connected_call(pbx: Pbx) -> Call:
    call = pbx.outbound("112233")
    await call.carrier_answers()
    await call.is_connected()
    return call


@virtual_time
async def test_actions_reach_the_calls(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts={"notice": 800}) as pbx:
        client = await logged_in(pbx)
        now = str(pbx.asterisk.epoch())
        await client.ask("Setvar", Variable="CALLGUARD_ALIVE", Value=now)
        assert (await client.ask("Getvar", Variable="CALLGUARD_ALIVE"))["Value"] == now
        call = await connected_call(pbx)
        name = call.side("party").name
        client.send("CoreShowChannels", ActionID="5")
        kinds: list[str] = []
        while kinds[-1:] != ["CoreShowChannelsComplete"]:
            found = await client.receive()
            if found.get("ActionID") == "5" and "Event" in found:
                kinds.append(found["Event"])
        assert kinds == ["CoreShowChannel", "CoreShowChannel", "CoreShowChannelsComplete"]
        await call.talk(1)
        await client.ask("MixMonitorMute", Channel=name, Direction="both", State="1")
        await call.talk(1)
        await client.ask("MixMonitorMute", Channel=name, Direction="both", State="0")
        await call.talk(1)
        assert (await client.ask("StopMixMonitor", Channel=name))["Response"] == "Success"
        assert (await client.ask("Getvar", Channel=name, Variable="CALLGUARD_CALL"))["Value"] == (
            "0190-call"
        )
        await client.ask("Hangup", Channel=call.side("agent").name, Cause="21")
        outcome = await call.ended()
        assert (await client.ask("Hangup", Channel=name))["Message"] == "No such channel"
    pcm = outcome.recordings[0].read_bytes()
    assert len(pcm) == 2 * 3 * 8000
    assert any(pcm[:16000])
    assert not any(pcm[16000:32000])
    assert any(pcm[32000:])
    assert outcome.hangup_cause == 21


@virtual_time
async def test_a_redirect_takes_the_call_elsewhere(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, keeps_lease=True) as pbx:
        client = await logged_in(pbx)
        call = await connected_call(pbx)
        channel = call.side("agent").name
        moved = await client.ask(
            "Redirect", Channel=channel, Context="callguard-block", Exten="s", Priority="1"
        )
        assert moved["Message"] == "Redirect successful"
        assert (await call.ended()).hangup_cause == 21
