"""callguard's own AGI server and AMI session meet the simulated Asterisk."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from callguard.agi.limits import AgiLimits
from callguard.agi.server import AgiServer
from callguard.agi.session import AgiSession
from callguard.ami.session import AmiSession
from callguard.ami.settings import AmiSettings
from callguard.ami.wire import Message
from tests.harness.channels import Channel
from tests.harness.playbook import SPOOL, Pbx, Side
from tests.harness.virtual import current_clock, virtual_time

PROMPTS = {"notice": 24000}
LOOPBACK = IPv4Network("127.0.0.0/8")
SETTINGS = AmiSettings("lab", "127.0.0.1", "callguard", "secret")


async def decide(session: AgiSession) -> None:
    """Allow everything; record who heard the whole notice."""
    if session.env.request == "answered":
        heard = await session.stream_file("notice", "9", timeout=30)
        if not heard.hung_up and heard.digit is None and heard.endpos == 24000:
            await session.exec("MixMonitor", f"{SPOOL}/call.sln", "b")
        return
    await session.set_variable("CALLGUARD_CALL", "0190-call")
    await session.set_variable("CALLGUARD_VERDICT", "allow")


class Guard:
    """The least of callguard: an AGI server, an AMI session, a lease."""

    def __init__(self) -> None:
        self.agi = AgiServer(decide, limits=AgiLimits(), allow=[LOOPBACK])
        self.events: list[str] = []
        self.downs: list[str] = []
        self.ups = 0

    def heard(self, event: Message) -> None:
        self.events.append(event.name)

    async def caught_up(self, session: AmiSession) -> None:
        await session.action_list("CoreShowChannels")
        self.ups += 1

    async def keep_lease(self, session: AmiSession) -> None:
        while True:
            epoch = str(int(current_clock().epoch()))
            with suppress(Exception):
                await session.action("Setvar", ("Variable", "CALLGUARD_ALIVE"), ("Value", epoch))
            await asyncio.sleep(1)


def is_up(session: AmiSession) -> bool:
    return session.state == "up"


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[tuple[Pbx, Guard, AmiSession]]:
    guard = Guard()
    async with Pbx(guard.agi.serve_connection, folder=folder, prompts=PROMPTS) as pbx:
        session = AmiSession(
            SETTINGS,
            on_event=guard.heard,
            on_up=guard.caught_up,
            on_down=guard.downs.append,
            connect=pbx.network.ami_connect,
            rng=random.Random(1),
            clock=pbx.clock,
        )
        running = asyncio.create_task(session.run())
        lease = asyncio.create_task(guard.keep_lease(session))
        await asyncio.sleep(2)
        try:
            yield pbx, guard, session
        finally:
            lease.cancel()
            await session.close()
            await running
            await guard.agi.close(grace=1)


@pytest.mark.parametrize("cdr_first", [False, True])
@virtual_time
async def test_a_call_through_callguards_own_wires(tmp_path: Path, cdr_first: bool) -> None:
    async with guarded(tmp_path) as (pbx, guard, session):
        pbx.asterisk.cdr_first = cdr_first
        assert is_up(session)
        call = pbx.outbound("+4930123456", tenant="acme")
        await call.expect_verdict("allow")
        await call.carrier_answers()
        await call.hears_all("notice")
        await call.talk(seconds=2)
        await call.hangs_up("party")
        outcome = await call.ended()
        await asyncio.sleep(0.1)
    assert outcome.recorded_samples == 16000
    last = ["Hangup", "Cdr", "Hangup"] if cdr_first else ["Hangup", "Hangup", "Cdr"]
    assert guard.events[-3:] == last
    assert pbx.network.open_agi == 0


@virtual_time
async def test_a_hangup_in_the_notice_is_understood(tmp_path: Path) -> None:
    for first in (False, True):
        async with guarded(tmp_path / str(first)) as (pbx, guard, _):
            pbx.asterisk.hangup_line_first = first
            call = pbx.outbound("+4930123456")
            await call.carrier_answers()
            await call.hears("notice", seconds=2.9)
            await call.hangs_up("party")
            outcome = await call.ended()
        assert outcome.recordings == ()
        assert guard.agi.stats.handler_errors == 0


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("side", ["agent", "party"])
@virtual_time
async def test_a_hangup_before_any_command_is_survived(
    tmp_path: Path, number: int, side: Side
) -> None:
    """Commands 1 and 2 are the verdict's; at 1 and 2 only the agent is there to hang up."""
    async with guarded(tmp_path) as (pbx, guard, _):
        call = pbx.outbound("+4930123456")

        def leave(channel: Channel) -> None:
            (channel if number < 3 else call.side(side)).hang_up()

        call.at_command(number, leave)
        if number >= 3:
            await call.carrier_answers()
        outcome = await call.ended()
    assert not outcome.connected
    assert outcome.carrier_invited is (number >= 3)
    assert outcome.recorded_samples == 0
    assert guard.agi.stats.handler_errors == 0


@virtual_time
async def test_a_frozen_network_ends_the_lease_and_the_thaw_brings_it_back(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (pbx, guard, session):
        pbx.network.freeze()
        await asyncio.sleep(5)
        assert not (await pbx.outbound("+4930123456").ended()).carrier_invited
        await asyncio.sleep(60)
        assert not is_up(session)
        pbx.network.thaw()
        await asyncio.sleep(60)
        assert (is_up(session), guard.ups) == (True, 2)
        call = pbx.outbound("+4930123456")
        await call.expect_verdict("allow")
        await call.hangs_up("agent")
        await call.ended()


@virtual_time
async def test_dropped_silent_and_refusing_managers_are_survived(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (pbx, guard, session):
        pbx.network.drop_ami()
        await asyncio.sleep(30)
        assert (is_up(session), guard.ups) == (True, 2)
        pbx.manager.answer_pings = False
        await asyncio.sleep(60)
        assert guard.ups > 2
        pbx.manager.answer_pings = True
        pbx.manager.refuse_logins = True
        pbx.network.drop_ami()
        await asyncio.sleep(60)
        assert not is_up(session)
        pbx.manager.refuse_logins = False
        await asyncio.sleep(60)
        assert is_up(session)
        pbx.manager.tear(1, 2, 3)
        await asyncio.sleep(60)
        assert is_up(session)


@virtual_time
async def test_a_connection_that_sends_no_header_is_closed(tmp_path: Path) -> None:
    guard = Guard()
    async with Pbx(guard.agi.serve_connection, folder=tmp_path) as pbx:
        _, writer = await pbx.network.agi_connect()
        await asyncio.sleep(10)
        assert guard.agi.stats.header_timeouts == 1
        assert pbx.network.open_agi == 0
        writer.close()
        await guard.agi.close(grace=1)
