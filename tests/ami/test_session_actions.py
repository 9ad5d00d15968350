"""Actions and lists get their own answers, or a clear failure in bounded time."""

import asyncio

import pytest

from callguard.ami import AmiDown, AmiRefused, AmiSession, AmiTimeout, Message
from callguard.ami.wire import LocalProtocolError
from tests.ami.pbx import Pbx, Watched, answer, event, message, silence, watching
from tests.ami.virtual import eventually, virtual


def channel_list(action: Message, *names: str) -> bytes:
    """A whole answer to CoreShowChannels, with other events in between, as can happen."""
    action_id = ("ActionID", action.get("ActionID") or "")
    entries = [
        message(("Event", "CoreShowChannel"), action_id, ("Channel", name)) + event("VarSet")
        for name in names
    ]
    start = answer(action, "Success", ("EventList", "start"))
    end = message(
        ("Event", "CoreShowChannelsComplete"),
        action_id,
        ("EventList", "Complete"),
        ("ListItems", str(len(names))),
    )
    return start + b"".join(entries) + end


@virtual
async def test_an_action_returns_its_answer() -> None:
    pbx = Pbx()
    pbx.scripts["Getvar"] = lambda action: answer(action, "Success", ("Value", "1"))
    async with watching(pbx) as watched:
        got = await watched.session.action("Getvar", ("Variable", "CALLGUARD_ALIVE"))
        assert got.get("Value") == "1"
        assert pbx.received[-1].get("Variable") == "CALLGUARD_ALIVE"


@virtual
async def test_answers_find_their_actions_in_any_order() -> None:
    pbx = Pbx()
    asked: list[Message] = []
    pbx.scripts["Getvar"] = lambda action: asked.append(action)
    async with watching(pbx) as watched:
        actions = [
            asyncio.create_task(watched.session.action("Getvar", ("Variable", name)))
            for name in ("A", "B", "C")
        ]
        await eventually(lambda: len(asked) == 3)
        for action in reversed(asked):
            pbx.send(answer(action, "Success", ("Value", action.get("Variable") or "")))
        got = await asyncio.gather(*actions)
        assert [answer.get("Value") for answer in got] == ["A", "B", "C"]


@virtual
async def test_a_refused_action_says_what_asterisk_said() -> None:
    pbx = Pbx()
    pbx.scripts["Hangup"] = lambda a: answer(a, "Error", ("Message", "No such channel"))
    pbx.scripts["Redirect"] = lambda a: answer(a, "Error")
    async with watching(pbx) as watched:
        with pytest.raises(AmiRefused, match="Hangup: No such channel") as refusal:
            await watched.session.action("Hangup", ("Channel", "X"))
        assert refusal.value.message.name == "Error"
        with pytest.raises(AmiRefused, match="without a reason"):
            await watched.session.action("Redirect")
        assert watched.session.state == "up"


@virtual
async def test_an_action_without_an_answer_times_out_and_its_late_answer_is_ignored() -> None:
    pbx = Pbx()
    asked: list[Message] = []
    pbx.scripts["Getvar"] = lambda action: asked.append(action)
    async with watching(pbx, action_timeout=5.0) as watched:
        with pytest.raises(AmiTimeout, match="Getvar: no answer within 5 s"):
            await watched.session.action("Getvar")
        with pytest.raises(AmiTimeout, match=r"within 0\.5 s"):
            await watched.session.action("Getvar", timeout=0.5)
        pbx.send(answer(asked[0]))
        await eventually(lambda: watched.session.counters.unmatched == 1)
        assert watched.session.counters.timeouts == 2
        assert (await watched.session.action("CoreSettings")).name == "Success"


@virtual
async def test_an_answer_nobody_asked_for_is_ignored() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        pbx.send(message(("Response", "Success"), ("ActionID", "999")))
        pbx.send(message(("Response", "Error"), ("Message", "line too long")))
        pbx.send(message(("Neither", "1")))
        await eventually(lambda: watched.session.counters.unmatched == 3)
        assert watched.session.state == "up"


@virtual
async def test_a_list_is_gathered_even_of_kinds_not_wanted() -> None:
    pbx = Pbx()
    pbx.scripts["CoreShowChannels"] = lambda action: channel_list(action, "A", "B")
    async with watching(pbx, wanted=frozenset({"Hangup"})) as watched:
        got = await watched.session.action_list("CoreShowChannels")
        assert [entry.get("Channel") for entry in got] == ["A", "B"]
        assert watched.events == []
        pbx.send(message(("Event", "OriginateResponse"), ("ActionID", "1")) + event("Hangup"))
        await eventually(lambda: len(watched.events) == 1)
        assert watched.events[0].name == "Hangup"


@virtual
async def test_an_event_with_an_id_of_no_list_is_no_part_of_one() -> None:
    pbx = Pbx()
    stray = message(("Event", "OriginateResponse"), ("ActionID", "nobody"))
    pbx.scripts["CoreShowChannels"] = lambda action: stray + channel_list(action, "A")
    async with watching(pbx, wanted=frozenset({"Hangup"})) as watched:
        assert len(await watched.session.action_list("CoreShowChannels")) == 1
        assert watched.events == []


@virtual
async def test_lists_work_while_catching_up() -> None:
    class Resyncing(Watched):
        channels: list[Message]

        async def on_up(self, session: AmiSession) -> None:
            self.channels = await session.action_list("CoreShowChannels")

    pbx = Pbx()
    pbx.scripts["CoreShowChannels"] = lambda action: channel_list(action, "A")
    watched = Resyncing()
    async with watching(pbx, watched):
        assert [entry.get("Channel") for entry in watched.channels] == ["A"]


@virtual
async def test_two_lists_at_once_do_not_mix() -> None:
    pbx = Pbx()
    pbx.scripts["CoreShowChannels"] = lambda action: channel_list(action, "A")
    pbx.scripts["Status"] = lambda action: channel_list(action, "B", "C")
    async with watching(pbx, wanted=frozenset()) as watched:
        first, second = await asyncio.gather(
            watched.session.action_list("CoreShowChannels"), watched.session.action_list("Status")
        )
        assert [entry.get("Channel") for entry in first + second] == ["A", "B", "C"]


@virtual
async def test_a_list_that_is_refused_cancelled_or_never_ends_fails() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        session = watched.session
        pbx.scripts["Status"] = lambda action: answer(action, "Error", ("Message", "No such"))
        with pytest.raises(AmiRefused, match="No such"):
            await session.action_list("Status")
        pbx.scripts["Status"] = lambda action: channel_list(action, "A").replace(
            b"Complete\r\nList", b"cancelled\r\nList"
        )
        with pytest.raises(AmiRefused):
            await session.action_list("Status")
        pbx.scripts["Status"] = lambda action: channel_list(action, "A")[:-60]
        with pytest.raises(AmiTimeout):
            await session.action_list("Status", timeout=2.0)


@virtual
async def test_a_list_longer_than_allowed_costs_the_connection() -> None:
    pbx = Pbx()
    pbx.scripts["Status"] = lambda action: channel_list(action, "A", "B", "C")
    async with watching(pbx, list_events=2) as watched:
        with pytest.raises(AmiDown, match="list of more than 2"):
            await watched.session.action_list("Status")
        assert watched.session.counters.protocol_errors == 1


@virtual
async def test_an_action_in_flight_fails_when_the_connection_goes() -> None:
    pbx = Pbx()
    pbx.scripts["Getvar"] = lambda _: pbx.hang_up()
    async with watching(pbx) as watched:
        with pytest.raises(AmiDown, match="closed by Asterisk"):
            await watched.session.action("Getvar")


@virtual
async def test_there_are_no_actions_before_the_login() -> None:
    pbx = Pbx()
    pbx.scripts["Login"] = silence
    async with watching(pbx, up=False) as watched:
        await eventually(lambda: "Login" in pbx.names())
        assert watched.session.state == "connecting"
        with pytest.raises(AmiDown, match="not logged in yet"):
            await watched.session.action("Ping")


@virtual
async def test_an_action_amis_lines_cannot_carry_is_not_sent() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        with pytest.raises(LocalProtocolError):
            await watched.session.action("Setvar", ("Value", "a\r\nAction: Originate"))
        assert pbx.names() == ["Challenge", "Login"]


@virtual
async def test_actions_over_the_bound_wait_their_turn_within_their_time() -> None:
    pbx = Pbx()
    asked: list[Message] = []
    pbx.scripts["Getvar"] = lambda action: asked.append(action)
    async with watching(pbx, in_flight=2, action_timeout=5.0) as watched:
        actions = [asyncio.create_task(watched.session.action("Getvar")) for _ in range(3)]
        await eventually(lambda: len(asked) == 2)
        late = asyncio.create_task(watched.session.action("Getvar", timeout=1.0))
        with pytest.raises(AmiTimeout):
            await late
        assert len(asked) == 2
        pbx.send(answer(asked[0]))
        await eventually(lambda: len(asked) == 3)
        pbx.send(answer(asked[1]) + answer(asked[2]))
        await asyncio.gather(*actions)


@virtual
async def test_an_action_that_waited_its_turn_fails_when_the_connection_went_meanwhile() -> None:
    pbx = Pbx()
    pbx.scripts["Getvar"] = silence
    async with watching(pbx, in_flight=1) as watched:
        actions = [asyncio.create_task(watched.session.action("Getvar")) for _ in range(2)]
        await eventually(lambda: "Getvar" in pbx.names())
        pbx.hang_up()
        got = await asyncio.gather(*actions, return_exceptions=True)
        assert [type(error) for error in got] == [AmiDown, AmiDown]
        assert pbx.names().count("Getvar") == 1
