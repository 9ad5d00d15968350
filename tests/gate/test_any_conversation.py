"""Whatever happens, in whatever order, also while the manager connection is away: once Asterisk
has answered, nothing is heard in a recording of anybody who did not agree, nor in a pause."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.ami.calls import ChannelGone, LiveCalls
from callguard.ami.errors import AmiDown, AmiRefused
from callguard.ami.wire import Message
from callguard.consent.states import ConsentState
from callguard.gate.callbook import CallBook
from callguard.gate.pbx import Pbx
from callguard.gate.silence import Silence
from callguard.gate.supervision import Parties, Supervision
from callguard.gate.told import Told, ToldParties
from callguard.recording.recorder import OpenRecording, Recorder
from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory
from tests.clock import HandClock
from tests.gate.scenes import CHANNELS, STEPS, TRUNKS, Scene, World, channel

EAST = "east"
GONE = AmiRefused("MixMonitorMute", Message((("Message", "No such channel"),)))
UNKNOWN = AmiRefused("MixMonitorMute", Message((("Message", "Cannot set mute flag"),)))


@dataclass
class Monitor:
    """A MixMonitor in Asterisk."""

    who: str
    identity: str
    silent: bool = False


@dataclass
class Asterisk(Scene):
    """Tells of its channels while it is connected, and silences recordings as it is asked to."""

    name: str = EAST
    up: bool = True
    monitors: dict[str, Monitor] = field(default_factory=dict)
    there: LiveCalls = field(default_factory=LiveCalls)
    on_event: Callable[[Message], None] = lambda _: None

    @property
    def session(self) -> "Asterisk":
        return self

    def hears(self, message: Message) -> None:
        self.there.apply(message, 0.0)
        if self.up:
            self.on_event(message)

    async def action(self, name: str, *headers: tuple[str, str], timeout: float) -> Message:
        await asyncio.sleep(0)
        if not self.up:
            raise AmiDown("gone")
        values = dict(headers)
        uniqueid = next((u for u, n in self.names.items() if n == values["Channel"]), "")
        living = [
            u for u in self.there.channels if self.there.channels[u].name == values["Channel"]
        ]
        if not living:
            raise GONE
        (uniqueid,) = living
        wanted = values.get("MixMonitorID")
        meant = [
            m for m in self.monitors.values() if m.who == uniqueid and wanted in (None, m.identity)
        ]
        if not meant:
            raise UNKNOWN
        for monitor in meant:
            monitor.silent = values["State"] == "1"
        self.says("MixMonitorMute", uniqueid, ("Direction", "both"), ("State", values["State"]))
        return Message((("Response", "Success"),))

    def listed(self) -> list[Message]:
        """What CoreShowChannels answers."""
        return [
            Message(
                (
                    ("Event", "CoreShowChannel"),
                    *self.shown(uniqueid),
                    ("BridgeId", one.bridge or ""),
                )
            )
            for uniqueid, one in self.there.channels.items()
        ]


@dataclass
class Recordings:
    """Stands for the recorder: what is in progress, and what is paused."""

    open: dict[str, OpenRecording] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    to_stop: dict[str, OpenRecording] = field(default_factory=dict)

    def get(self, recording_id: str) -> OpenRecording | None:
        return self.open.get(recording_id)

    def in_progress(self) -> tuple[OpenRecording, ...]:
        return tuple(self.open.values())

    def is_paused(self, recording_id: str) -> bool:
        return recording_id in self.paused

    def on_channel(self, pbx: str, uniqueid: str) -> tuple[OpenRecording, ...]:
        return tuple(r for r in self.open.values() if r.channel_uniqueid == uniqueid)


class Nobody(Database):
    """A ledger in which nothing is written."""

    def __init__(self) -> None:
        pass

    async def read(self, query: Callable[..., Any], *, timeout: float = 2.0) -> Any:
        return {}


class Supervised:
    """callguard's side and Asterisk's, and the model that says who hears whom."""

    def __init__(self) -> None:
        self.asterisk = Asterisk()
        self.world = World(self.asterisk)
        self.told = ToldParties()
        self.recordings = Recordings()
        self.numbers = 0
        self.pbx = cast("Pbx", self.asterisk)
        parties = Parties(self.told, CallBook(), TenantDirectory(), {EAST: TRUNKS})
        self.supervision = Supervision(
            HandClock(),
            Nobody(),
            cast("Recorder", self.recordings),
            {EAST: self.pbx},
            parties,
            self._silence,
        )
        self.asterisk.on_event = self._event

    def _silence(self, pbx: Pbx) -> Silence:
        return Silence(
            pbx, HandClock(), on_told=lambda *_: None, stop=self._stop, may_be_over=lambda _: False
        )

    async def _stop(self, recording: OpenRecording) -> bool:
        raise AssertionError("Asterisk always does what it is asked")

    def _event(self, message: Message) -> None:
        self._seen(self.asterisk.live.apply(message, 0.0))

    def _seen(self, changes: Any) -> None:
        for change in changes:
            self.supervision.changed(self.pbx, change)
        for uniqueid in [r.channel_uniqueid for r in self.recordings.in_progress()]:
            if uniqueid not in self.asterisk.live.channels:
                self._ended(uniqueid)
        self.supervision.touched(EAST, self.asterisk.live.take_touched())

    def _ended(self, uniqueid: str) -> None:
        for recording in self.recordings.on_channel(EAST, uniqueid):
            self.supervision.ended(recording)
            del self.recordings.open[recording.id]

    async def step(self, what: str, who: str, with_what: str) -> None:
        here = self.world.here.get(who, "")
        match what:
            case "records" if here and CHANNELS[who][0] in "PD":
                self._records(here, known=with_what == "known")
            case "pauses" | "resumes":
                for recording in self.recordings.on_channel(EAST, here):
                    change = self.recordings.paused.add
                    (change if what == "pauses" else self.recordings.paused.discard)(recording.id)
                    self.supervision.look_again(recording.id)
            case "joins" if here:
                self.supervision.parties.strangers.add((EAST, here))
                for recording in self.recordings.in_progress():
                    self.supervision.joins(recording, here)
            case "loses":
                self.asterisk.up = False
                self.supervision.lost(self.pbx)
            case "returns" if not self.asterisk.up:
                self.asterisk.up = True
                self._seen(self.asterisk.live.resync(self.asterisk.listed(), 1.0))
                await self.supervision.rebuild(self.pbx)
            case _:
                self.world.step(what, who, with_what)
                for uniqueid in self.world.touched:
                    self.told.enter(EAST, uniqueid, self.asterisk.told[uniqueid])
                self.world.touched.clear()

    def _records(self, uniqueid: str, *, known: bool) -> None:
        """A recording begins; of one that is not ``known`` it is as after a restart."""
        self.numbers += 1
        name = f"r{self.numbers}"
        self.asterisk.monitors[name] = Monitor(uniqueid, name)
        recording = OpenRecording(
            id=name,
            tenant="a",
            call_id="call",
            pbx=EAST,
            channel_uniqueid=uniqueid,
            spool_name=name,
            running=True,
            monitor=name if known else None,
        )
        self.recordings.open[name] = recording
        (self.supervision.runs if known else self.supervision.look_at)(recording)

    def check(self) -> None:
        """Nobody is heard who did not agree, and nothing is silent without a reason."""
        whose = {uniqueid: who for who, uniqueid in self.world.here.items()}
        for name, recording in self.recordings.open.items():
            uniqueid = recording.channel_uniqueid
            monitor, who = self.asterisk.monitors[name], whose[uniqueid]
            if not monitor.silent:
                assert not self.recordings.is_paused(name)
                assert all(self.world.agreed(voice) for voice in self.world.voices(who))
            elif recording.monitor is not None:
                assert self.supervision.silences[EAST].reasons(name)


AGREES = st.tuples(st.just("told"), channel, st.just(ConsentState.GRANTED))
MEETS = st.tuples(st.just("enters"), channel, st.just("x"))
MORE = st.one_of(
    STEPS,
    AGREES,
    MEETS,
    MEETS,
    st.tuples(st.just("records"), channel, st.sampled_from(["known", "known", "unknown"])),
    st.tuples(st.sampled_from(["pauses", "resumes", "resumes", "joins"]), channel, st.just("")),
    st.tuples(st.sampled_from(["loses", "returns", "returns"]), channel, st.just("")),
)
BEGINNING = (
    ("comes", "a1", "1"),
    ("comes", "t1", "1"),
    ("told", "t1", ConsentState.GRANTED),
    ("enters", "a1", "x"),
    ("enters", "t1", "x"),
    ("records", "t1", "known"),
)
"""A call as most are: an agent, and somebody who agreed and is recorded."""


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@settings(max_examples=250, derandomize=True)
@given(st.lists(MORE, max_size=60))
def test_nobody_is_recorded_who_did_not_agree(steps: list[tuple[str, str, str]]) -> None:
    async def everything() -> None:
        on = Supervised()
        silence = on.supervision.silences[EAST]
        silence.rebuilt()
        telling = asyncio.create_task(silence.run())
        for step in (*BEGINNING, *steps):
            await on.step(*step)
            if on.asterisk.up:
                await silence.settled(5)
                on.check()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)

    run(everything)


def test_who_is_about_to_join_counts_before_asterisk_has_told_of_them() -> None:
    async def everything() -> None:
        on = Supervised()
        await on.step("comes", "a1", "1")
        await on.step("records", "a1", "known")
        (recording,) = on.recordings.in_progress()
        on.supervision.joins(recording, "9.9")
        silence = on.supervision.silences[EAST]
        assert silence.reasons(recording.id) == {"not told: 9.9"}
        on.told.enter(EAST, "9.9", Told("a", "call", "+4420", ConsentState.GRANTED))
        assert silence.reasons(recording.id) == set()
        on.supervision.joins(recording, "9.8")
        on.supervision.changed(on.pbx, ChannelGone("9.8", None))
        on.supervision.look_again(recording.id)
        assert silence.reasons(recording.id) == set()

    run(everything)
