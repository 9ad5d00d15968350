"""Asterisk is told until it agrees: silence first, the newest wish last, and an alarm in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from callguard.ami.calls import LiveCalls
from callguard.ami.errors import AmiDown, AmiRefused, AmiTimeout
from callguard.ami.wire import Message
from callguard.gate.pbx import Pbx
from callguard.gate.silence import Silence
from callguard.recording.recorder import OpenRecording
from tests.ami.calls_told import ALICE, CAROL, hangs_up, new
from tests.harness.virtual import current_clock, virtual_time

WHY = frozenset({"paused"})
NONE: frozenset[str] = frozenset()
OK = Message((("Response", "Success"),))


def recording(name: str, channel: str = ALICE, monitor: str | None = "0x1") -> OpenRecording:
    return OpenRecording(
        id=name,
        tenant="acme",
        call_id="call",
        pbx="east",
        channel_uniqueid=channel,
        spool_name=f"{name}.sln",
        running=True,
        monitor=monitor,
    )


@dataclass
class Asterisk:
    """Stands for the PBX: keeps what it was told, and answers as ``answers`` says."""

    name: str = "east"
    live: LiveCalls = field(default_factory=LiveCalls)
    told: list[tuple[float, str | None, bool]] = field(default_factory=list)
    takes_s: float = 0.0
    answers: Callable[[str | None, bool], Exception | None] = lambda *_: None
    says: Callable[[str, bool], None] | None = None

    @property
    def session(self) -> "Asterisk":
        return self

    async def action(self, name: str, *headers: tuple[str, str], timeout: float) -> Message:
        assert name == "MixMonitorMute"
        values = dict(headers)
        assert values["Direction"] == "both"
        monitor, silent = values.get("MixMonitorID"), values["State"] == "1"
        self.told.append((round(asyncio.get_running_loop().time(), 3), monitor, silent))
        await asyncio.sleep(min(self.takes_s, timeout))
        if self.takes_s > timeout:
            raise AmiTimeout("no answer")
        if (error := self.answers(monitor, silent)) is not None:
            raise error
        if self.says is not None:
            self.says(ALICE, silent)
        return OK


REFUSED = AmiRefused("MixMonitorMute", Message((("Message", "Cannot set mute flag"),)))


@dataclass
class Stage:
    asterisk: Asterisk
    silence: Silence
    notes: list[tuple[str, frozenset[str]]]
    stopped: list[str]
    over: set[str]

    def told(self) -> list[tuple[str | None, bool]]:
        return [(monitor, silent) for _, monitor, silent in self.asterisk.told]


@asynccontextmanager
async def stage(**asterisk: object) -> AsyncIterator[Stage]:
    pbx = Asterisk(**asterisk)  # type: ignore[arg-type]  # settings of one test
    for uniqueid in (ALICE, CAROL):
        pbx.live.apply(new(uniqueid), 0)
    notes: list[tuple[str, frozenset[str]]] = []
    stopped: list[str] = []
    over: set[str] = set()

    async def stop(one: OpenRecording) -> bool:
        stopped.append(one.id)
        silence.forget(one.id)
        return True

    silence = Silence(
        cast("Pbx", pbx),
        current_clock(),
        on_told=lambda one, reasons: notes.append((one.id, reasons)),
        stop=stop,
        may_be_over=lambda one: one.id in over,
    )
    pbx.says = silence.muted
    silence.rebuilt()
    running = asyncio.create_task(silence.run())
    try:
        yield Stage(pbx, silence, notes, stopped, over)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@virtual_time
async def test_a_recording_is_told_once_and_only_what_it_is_not_already() -> None:
    async with stage() as on:
        one = recording("a")
        on.silence.follow(one, NONE, begun_here=True)
        await asyncio.sleep(1)
        assert on.told() == []
        on.silence.follow(one, WHY, begun_here=True)
        assert await on.silence.silent(["a"], 1)
        on.silence.follow(one, WHY, begun_here=True)
        on.silence.follow(one, NONE, begun_here=True)
        assert not await on.silence.silent(["a"], 1)
        assert on.told() == [("0x1", True), ("0x1", False)]
        assert on.notes == [("a", WHY), ("a", NONE)]
        assert on.silence.alarms == ()


@virtual_time
async def test_of_what_a_former_process_began_the_first_that_is_known_is_written_down() -> None:
    async with stage() as on:
        on.silence.follow(recording("a"), NONE, begun_here=False)
        on.silence.follow(recording("b", CAROL), NONE, begun_here=True)
        await asyncio.sleep(1)
        on.silence.follow(recording("a"), NONE, begun_here=False)
        assert on.notes == [("a", NONE)]


@virtual_time
async def test_silence_goes_before_sound() -> None:
    async with stage() as on:
        for name, why in (("a", NONE), ("b", WHY), ("c", NONE)):
            on.silence.follow(recording(name, monitor=name), why, begun_here=False)
        await asyncio.sleep(0.01)
        assert on.told()[0] == ("b", True)
        assert sorted(on.told()[1:]) == [("a", False), ("c", False)]


@virtual_time
async def test_a_wish_that_overtakes_an_action_in_flight_is_the_one_that_holds() -> None:
    async with stage(takes_s=0.3) as on:
        one = recording("a")
        on.silence.follow(one, WHY, begun_here=True)
        await asyncio.sleep(0.1)
        on.silence.follow(one, NONE, begun_here=True)
        await asyncio.sleep(0.1)
        on.silence.follow(one, frozenset({"other"}), begun_here=True)
        await asyncio.sleep(0.1)
        on.silence.follow(one, NONE, begun_here=True)
        await asyncio.sleep(1)
        assert on.told()[-1] == ("0x1", False)
        assert len(on.told()) <= 3


@virtual_time
async def test_a_sound_that_is_retried_late_is_overtaken_at_once() -> None:
    """Asterisk refuses to let it be heard; silence does not wait for the next attempt."""
    async with stage(answers=lambda _, silent: None if silent else REFUSED) as on:
        one = recording("a")
        on.silence.follow(one, NONE, begun_here=False)
        await asyncio.sleep(20)
        on.silence.follow(one, WHY, begun_here=False)
        wished = round(asyncio.get_running_loop().time(), 3)
        assert await on.silence.silent(["a"], 0.1)
        assert on.asterisk.told[-1] == (wished, "0x1", True)
        assert on.stopped == []


@virtual_time
async def test_what_cannot_be_silenced_within_a_second_is_stopped() -> None:
    for trouble in ({"answers": lambda *_: REFUSED}, {"takes_s": 60.0}):
        async with stage(**trouble) as on:
            began = asyncio.get_running_loop().time()
            on.silence.follow(recording("a"), WHY, begun_here=True)
            await asyncio.sleep(0.99)
            assert on.stopped == []
            assert await on.silence.silent(["a"], 0.1)
            assert on.stopped == ["a"]
            assert asyncio.get_running_loop().time() - began < 1.1


@virtual_time
async def test_what_is_neither_silent_nor_stopped_is_an_alarm_until_it_is() -> None:
    refuses = True

    def answer(*_: object) -> Exception | None:
        return REFUSED if refuses else None

    async with stage(answers=answer) as on:

        async def fails(one: OpenRecording) -> bool:
            on.stopped.append(one.id)
            return False

        on.silence._stop = fails
        on.silence.follow(recording("a"), WHY, begun_here=True)
        await asyncio.sleep(3)
        assert on.stopped == ["a"]
        alarms = [len(on.silence.alarms)]
        refuses = False
        assert await on.silence.silent(["a"], 30)
        assert [*alarms, len(on.silence.alarms)] == [1, 0]


@virtual_time
async def test_nothing_is_told_while_the_channels_are_not_known() -> None:
    async with stage() as on:
        on.silence.follow(recording("a"), WHY, begun_here=True)
        assert await on.silence.silent(["a"], 1)
        on.silence.lost()
        on.silence.follow(recording("a"), NONE, begun_here=True)
        on.silence.follow(recording("b", monitor="b"), WHY, begun_here=True)
        assert not await on.silence.silent(["b"], 1)
        assert on.told() == [("0x1", True)]
        on.silence.follow(recording("a"), WHY, begun_here=True)
        on.silence.rebuilt()
        assert await on.silence.silent(["a", "b"], 1)
        # Whoever told it something meanwhile was not heard.
        assert sorted(on.told()) == [("0x1", True), ("0x1", True), ("b", True)]


@virtual_time
async def test_a_connection_that_goes_under_an_action_is_waited_for() -> None:
    down = True
    async with stage(answers=lambda *_: AmiDown("gone") if down else None) as on:
        on.silence.follow(recording("a"), WHY, begun_here=True)
        await asyncio.sleep(5)
        assert on.told() == [("0x1", True)]
        assert len(on.silence.alarms) == 1
        down = False
        on.silence.rebuilt()
        assert await on.silence.silent(["a"], 1)


@virtual_time
async def test_without_an_id_nothing_on_the_channel_is_heard_while_anything_must_not() -> None:
    async with stage() as on:
        old, fresh = recording("old", monitor=None), recording("new")
        on.silence.follow(old, NONE, begun_here=False)
        on.silence.follow(fresh, WHY, begun_here=True)
        await asyncio.sleep(1)
        assert await on.silence.silent(["old", "new"], 1)
        assert (None, False) not in on.told()
        on.silence.follow(old, WHY, begun_here=False)
        on.silence.follow(fresh, NONE, begun_here=True)
        await asyncio.sleep(1)
        assert on.told()[-1] == ("0x1", False)
        assert await on.silence.silent(["old"], 1)
        on.silence.follow(old, NONE, begun_here=False)
        await asyncio.sleep(1)
        assert on.told()[-1] == (None, False)


@virtual_time
async def test_somebody_else_who_unmutes_is_answered_at_once() -> None:
    async with stage() as on:
        on.silence.follow(recording("a"), WHY, begun_here=True)
        assert await on.silence.silent(["a"], 1)
        on.silence.muted(ALICE, False)
        on.silence.muted(CAROL, False)
        assert await on.silence.silent(["a"], 1)
        await asyncio.sleep(5)
        assert on.told() == [("0x1", True), ("0x1", True)]


@virtual_time
async def test_two_recordings_of_a_channel_are_not_taken_for_each_other() -> None:
    """Asterisk says on which channel it muted, not which recording."""
    async with stage() as on:
        on.silence.follow(recording("a", monitor="a"), WHY, begun_here=True)
        on.silence.follow(recording("b", monitor="b"), NONE, begun_here=False)
        await asyncio.sleep(5)
        assert sorted(on.told()) == [("a", True), ("b", False)]


@virtual_time
async def test_a_recording_that_ended_is_silent_for_whoever_waits() -> None:
    async with stage(takes_s=60.0) as on:
        on.silence.follow(recording("a"), WHY, begun_here=True)
        asyncio.get_running_loop().call_later(0.5, on.silence.forget, "a")
        assert await on.silence.silent(["a"], 0.6)
        on.asterisk.live.apply(hangs_up(ALICE), 1)
        await asyncio.sleep(5)
        assert len(on.told()) == 1
        assert (on.stopped, on.silence.alarms) == ([], ())


@virtual_time
async def test_what_asterisk_knows_nothing_of_has_stopped_where_it_may_have() -> None:
    async with stage(answers=lambda *_: REFUSED) as on:
        on.over.add("a")
        on.silence.follow(recording("a"), WHY, begun_here=True)
        assert await on.silence.silent(["a"], 0.1)
        assert (on.stopped, on.silence.alarms) == ([], ())


@virtual_time
async def test_somebody_else_who_unmutes_while_asterisk_is_told_is_answered_too() -> None:
    async with stage(takes_s=0.3) as on:
        on.silence.follow(recording("a"), WHY, begun_here=True)
        await asyncio.sleep(0.1)
        on.silence.muted(ALICE, False)
        assert await on.silence.silent(["a"], 1)
        assert on.told() == [("0x1", True), ("0x1", True)]


@virtual_time
async def test_what_was_silenced_with_the_whole_channel_is_heard_again() -> None:
    async with stage() as on:
        on.silence.follow(recording("new"), NONE, begun_here=True)
        on.silence.follow(recording("old", monitor=None), WHY, begun_here=False)
        await asyncio.sleep(1)
        assert on.told() == [(None, True), ("0x1", False)]


@virtual_time
async def test_a_connection_of_before_that_ends_late_is_not_taken_for_the_new_one() -> None:
    down = True
    async with stage(takes_s=0.3, answers=lambda *_: AmiDown("gone") if down else None) as on:
        on.silence.follow(recording("a"), WHY, begun_here=True)
        await asyncio.sleep(0.1)
        on.silence.lost()
        on.silence.rebuilt()
        await asyncio.sleep(0.25)
        down = False
        assert await on.silence.silent(["a"], 1)
