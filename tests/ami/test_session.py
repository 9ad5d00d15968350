"""A session comes up, stays up, notices when it is not, and comes back."""

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from callguard.ami import AmiDown, AmiSession, Message
from tests.ami.pbx import Pbx, Script, Streams, Watched, answer, event, silence, watching
from tests.ami.virtual import eventually, virtual


async def never(_: object) -> Streams:
    """A Connector for a host that drops every packet."""
    await asyncio.Event().wait()
    raise AssertionError


async def nobody(_: object) -> Streams:
    """A Connector for a port nobody listens on."""
    raise ConnectionRefusedError("refused")


class Stuck(Watched):
    """Never catches up."""

    async def on_up(self, session: AmiSession) -> None:
        await asyncio.Event().wait()


@virtual
async def test_a_session_is_up_only_after_it_has_caught_up() -> None:
    class Slow(Watched):
        async def on_up(self, session: AmiSession) -> None:
            await super().on_up(session)
            await session.action("CoreSettings")
            self.states_in_up.append(session.state)

    async with watching(Pbx(), Slow()) as watched:
        assert watched.states_in_up == ["connecting", "connecting"]
        assert watched.session.state == "up"
        assert watched.session.since is not None


@virtual
async def test_closing_logs_off_before_the_socket_goes() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        await watched.session.close()
        assert pbx.names()[-1] == "Logoff"
        await watched.task
        assert watched.session.state == "down"
        assert watched.session.reason == "closed"
        assert watched.downs == ["closed"]
        with pytest.raises(AmiDown, match="closed"):
            await watched.session.action("Ping")


@virtual
async def test_closing_does_not_wait_for_ever_for_a_goodbye() -> None:
    pbx = Pbx()
    pbx.scripts["Logoff"] = silence
    async with watching(pbx, action_timeout=2.0, ping_interval=60.0) as watched:
        began = asyncio.get_running_loop().time()
        await watched.session.close()
        assert asyncio.get_running_loop().time() - began < 5


@virtual
async def test_a_lost_connection_is_made_again_and_caught_up() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        pbx.hang_up()
        await eventually(lambda: watched.downs == ["closed by Asterisk"])
        assert watched.session.state != "up"
        with pytest.raises(AmiDown):
            await watched.session.action("Ping")
        await watched.until_up()
        assert watched.ups == 2
        assert watched.session.counters.connections == 2
        assert watched.session.counters.drops == 1


@virtual
async def test_a_missing_pong_means_the_connection_is_dead() -> None:
    pbx = Pbx()
    async with watching(pbx, ping_interval=10.0, ping_timeout=5.0) as watched:
        await eventually(lambda: pbx.names().count("Ping") == 3)
        pbx.scripts["Ping"] = silence
        await eventually(lambda: len(watched.downs) == 1)
        assert watched.downs == ["no Pong within 5 s"]
        del pbx.scripts["Ping"]
        await watched.until_up()


@virtual
async def test_a_ping_answered_by_something_else_means_the_connection_is_dead() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        pbx.scripts["Ping"] = answer
        await eventually(lambda: watched.downs == ["a Ping was answered without a Pong"])


@virtual
async def test_a_refused_ping_means_the_connection_is_dead() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        pbx.scripts["Ping"] = lambda action: answer(action, "Error", ("Message", "No."))
        await eventually(lambda: watched.downs == ["Ping failed: Ping: No."])


@virtual
async def test_pings_go_on_while_catching_up() -> None:
    pbx = Pbx()
    async with watching(pbx, Stuck(), up=False) as watched:
        await eventually(lambda: pbx.names().count("Ping") == 2)
        pbx.scripts["Ping"] = silence
        await eventually(lambda: watched.downs == ["no Pong within 5 s"])


@virtual
async def test_attempts_back_off_and_never_run_hot() -> None:
    times: list[float] = []

    async def refuse(_: object) -> Streams:
        times.append(asyncio.get_running_loop().time())
        return await nobody(_)

    async with watching(Pbx(), up=False, connect=refuse, backoff_max=15.0) as watched:
        await eventually(lambda: len(times) == 12)
        assert watched.session.reason == "cannot connect: refused"
        assert watched.downs == []
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for number, wait in enumerate(waits):
        ceiling = min(15.0, 0.5 * 2**number)
        assert ceiling / 2 <= wait <= ceiling + 0.01
    assert len({round(wait, 3) for wait in waits[5:]}) > 1, "the waits are jittered"


@virtual
async def test_a_connection_that_flaps_keeps_backing_off_and_one_that_lasted_does_not() -> None:
    pbx = Pbx()
    async with watching(pbx, backoff_min=1.0, backoff_max=16.0) as watched:
        for _ in range(4):
            pbx.hang_up()
            await eventually(lambda: watched.session.state != "up")
            await watched.until_up()
        assert pbx.connected_at[-1] - pbx.connected_at[-2] >= 4.0
        await asyncio.sleep(60)
        lost = asyncio.get_running_loop().time()
        pbx.hang_up()
        await eventually(lambda: len(pbx.connected_at) == 6)
        assert pbx.connected_at[-1] - lost <= 1.1


@virtual
async def test_a_connect_that_hangs_is_given_up() -> None:
    async with watching(Pbx(), up=False, connect=never, connect_timeout=5.0) as watched:
        await eventually(lambda: watched.session.reason != "not started")
        assert watched.session.reason == "cannot connect: TimeoutError"
        assert watched.session.state == "down"


@pytest.mark.parametrize("moment", ["connecting", "logging in", "catching up", "backing off"])
def test_closing_interrupts_whatever_is_under_way(moment: str) -> None:
    @virtual
    async def closes() -> None:
        pbx = Pbx()
        if moment == "logging in":
            pbx.scripts["Challenge"] = silence
        connect = {"connecting": never, "backing off": nobody}.get(moment, pbx.connect)
        async with watching(pbx, Stuck(), up=False, connect=connect, backoff_min=10.0) as watched:
            await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await watched.session.close()
            assert asyncio.get_running_loop().time() - began < 0.1
            await watched.task
            assert watched.session.state == "down"

    closes()


@virtual
async def test_a_session_that_never_ran_closes_at_once_and_then_never_runs() -> None:
    pbx = Pbx()
    async with watching(pbx, up=False) as watched:
        await watched.session.close()
        await watched.task
    assert pbx.connected_at == []


@virtual
async def test_a_session_runs_once_at_a_time() -> None:
    async with watching(Pbx()) as watched:
        with pytest.raises(RuntimeError, match="running"):
            await watched.session.run()


@virtual
async def test_a_cancelled_session_leaves_nothing_open() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        watched.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watched.task
        await eventually(lambda: pbx.closed == 1)
        assert watched.session.state == "down"
        assert watched.downs == ["closed"]
        watched.task = asyncio.create_task(asyncio.sleep(0))


def naming(name: str) -> Script:
    return lambda action: answer(action, "Success", ("Name", name))


@virtual
async def test_several_sessions_do_not_mix_their_answers() -> None:
    boards = [Pbx() for _ in range(3)]
    for number, pbx in enumerate(boards):
        pbx.scripts["CoreSettings"] = naming(f"pbx{number}")
    async with (
        watching(boards[0]) as first,
        watching(boards[1]) as second,
        watching(boards[2]) as third,
    ):
        sessions = [first.session, second.session, third.session]
        boards[1].hang_up()
        await eventually(lambda: second.session.state != "up")
        assert [session.state for session in (first.session, third.session)] == ["up", "up"]
        await second.until_up()
        got = await asyncio.gather(*[s.action("CoreSettings") for s in sessions])
        assert [answer.get("Name") for answer in got] == ["pbx0", "pbx1", "pbx2"]


@virtual
async def test_events_reach_the_handler_in_order() -> None:
    pbx = Pbx()
    async with watching(pbx, wanted=frozenset({"Hangup"})) as watched:
        for number in range(500):
            pbx.send(event("Hangup", ("Uniqueid", str(number))) + event("VarSet", ("Value", "")))
        await eventually(lambda: len(watched.events) == 500)
        assert [e.get("Uniqueid") for e in watched.events] == [str(n) for n in range(500)]
        await eventually(lambda: watched.session.counters.events_skipped == 500)
        assert watched.session.counters.events == 500
        assert {e.name for e in watched.events} == {"Hangup"}


@virtual
async def test_a_handler_that_fails_is_counted_and_the_session_goes_on() -> None:
    class Fragile(Watched):
        def on_event(self, event: Message) -> None:
            super().on_event(event)
            raise ValueError("+31201234567 is not what I expected")

    pbx = Pbx()
    with capture_logs() as logs:
        async with watching(pbx, Fragile()) as watched:
            pbx.send(event("Hangup") + event("Newchannel"))
            await eventually(lambda: len(watched.events) == 2)
            assert watched.session.state == "up"
            assert watched.session.counters.handler_errors == 2
    failures = [entry for entry in logs if entry["event"] == "ami_event_handler_failed"]
    assert [entry["kind"] for entry in failures] == ["Hangup", "Newchannel"]
    assert "31201234567" not in str(logs)
