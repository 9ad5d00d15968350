"""The backstop: what goes past the gate is found by what Asterisk tells, stopped and reported.

Two things do: a recording that callguard did not begin, and a call on a trunk that got no verdict.
Both are looked at again when it is their turn, as the channels are then, so that what an event told
and a later one took back is left alone; and never before the channels are known again after a
connection was lost.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.ami.calls import (
    Bridged,
    Change,
    Channel,
    ChannelGone,
    Dialled,
    RecordingMuted,
    RecordingStarted,
    RecordingStopped,
)
from callguard.ami.errors import AmiDown, AmiError, AmiRefused
from callguard.config import Asterisk
from callguard.gate.foreign import ForeignRecordings
from callguard.gate.hearing import PAUSED
from callguard.gate.pbx import Pbx, variable_of
from callguard.gate.room import Gate
from callguard.gate.supervision import Supervision
from callguard.gate.ungated_calls import UngatedCalls
from callguard.recording.recorder import OpenRecording, Recorder

log = structlog.get_logger(__name__)

WAITING = 4_096
"""Most channels that wait to be looked at; what is beyond is counted as a fault."""

ACTION_S = 2.0
MOST_STOPPED = 8
"""Most recordings of one channel that are stopped at a time."""

AGAIN_S = 1.0
"""What Asterisk did not answer is tried again so much later."""

ASKED_AT_ONCE = 16
"""Most channels that are asked for their recordings at the same time."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A channel that something was told of. ``dialled`` is by whom and what, for a call that
    Asterisk places; without it the recordings are looked at."""

    uniqueid: str
    dialled: Dialled | None = None


class Backstop:
    """Watches every Asterisk."""

    def __init__(
        self,
        gate: Gate,
        pbxs: Mapping[str, Pbx],
        settings: Mapping[str, Asterisk],
        recorder: Recorder,
        supervision: Supervision,
    ) -> None:
        self._gate = gate
        self._pbxs = pbxs
        self._settings = settings
        self._recorder = recorder
        self._supervision = supervision
        self._calls = UngatedCalls(gate, settings)
        self._foreign = ForeignRecordings(self._own_on)
        self._queues: dict[str, asyncio.Queue[_Look]] = {
            name: asyncio.Queue(WAITING) for name in pbxs
        }
        self._waiting: set[tuple[str, str]] = set()
        self._known = {name: asyncio.Event() for name in pbxs}
        self._unasked = {name: asyncio.Event() for name in pbxs}
        recorder.on_paused = self._paused
        gate.told.watch(lambda pbx, _: self._look_again(self._pbxs[pbx]))
        self.foreign = 0
        self.stopped = 0
        self.forbidden = False

    @property
    def alarms(self) -> tuple[str, ...]:
        """What was found since the start, one line for each kind."""
        told = []
        if self.foreign:
            told.append(
                f"channels on which recordings ran that callguard did not begin: {self.foreign}; "
                f"stopped there: {self.stopped}"
            )
        if self.forbidden:
            told.append("the manager user may not stop recordings (docs/install.md)")
        if self._calls.found:
            told.append(f"calls on a trunk without a verdict: {self._calls.found}")
        return tuple(told)

    def changed(self, pbx: Pbx, change: Change) -> None:
        """Something was told of a channel. Does nothing itself."""
        match change:
            case RecordingStarted(uniqueid=uniqueid):
                if self._foreign.started(pbx.name, uniqueid):
                    self._look_at(pbx, _Look(uniqueid))
            case Dialled(uniqueid=uniqueid):
                channel = pbx.live.channels.get(uniqueid)
                parties = self._supervision.parties
                if channel is not None and parties.is_trunk(pbx.name, channel.name):
                    self._look_at(pbx, _Look(uniqueid, change))
            case ChannelGone(uniqueid=uniqueid):
                self._foreign.gone(pbx.name, uniqueid)
                self._look_again(pbx)
            case Bridged() | RecordingMuted():
                self._look_again(pbx)
            case RecordingStopped(uniqueid=uniqueid):
                channel = pbx.live.channels.get(uniqueid)
                counted = channel is not None and channel.recordings > 0
                if not counted and not self._foreign.is_mixed(pbx.name, uniqueid):
                    self._foreign.ended_alone(pbx.name, uniqueid)
                else:
                    self._foreign.ended_one(pbx.name, uniqueid)
            case _:
                pass

    def lost(self, pbx: Pbx) -> None:
        """Nothing is told any more; nothing is touched until it is known what became of it."""
        self._known[pbx.name].clear()
        self._foreign.lost(pbx.name)

    def resynced(self, pbx: Pbx) -> None:
        """The channels are known again; no list tells of recordings that began meanwhile, so every
        channel is asked."""
        for recording in self._recorder.in_progress():
            if recording.pbx == pbx.name and recording.running:
                self._foreign.runs(pbx.name, recording.channel_uniqueid, recording.id)
        self._look_again(pbx)
        self._unasked[pbx.name].set()
        self._known[pbx.name].set()

    async def run(self) -> None:
        """Looks for ever."""
        async with asyncio.TaskGroup() as group:
            for name, queue in self._queues.items():
                group.create_task(self._work(self._pbxs[name], queue))
                group.create_task(self._ask_all(self._pbxs[name]))

    def _own_on(self, pbx: str, uniqueid: str) -> dict[str, bool]:
        return {one.id: one.running for one in self._recorder.on_channel(pbx, uniqueid)}

    def _paused(self, recording: OpenRecording) -> None:
        pbx = self._pbxs.get(recording.pbx)
        if pbx is not None:
            self._look_again(pbx)

    def _look_again(self, pbx: Pbx) -> None:
        for uniqueid in self._foreign.on(pbx.name):
            self._look_at(pbx, _Look(uniqueid))

    def _look_at(self, pbx: Pbx, look: _Look) -> None:
        where = pbx.name, look.uniqueid
        if look.dialled is None and where in self._waiting:
            return
        try:
            self._queues[pbx.name].put_nowait(look)
        except asyncio.QueueFull:
            self._gate.counts.fault("backstop_full")
        else:
            if look.dialled is None:
                self._waiting.add(where)

    async def _work(self, pbx: Pbx, queue: "asyncio.Queue[_Look]") -> None:
        while True:
            look = await queue.get()
            await self._known[pbx.name].wait()
            try:
                if look.dialled is not None:
                    await self._calls.check(pbx, look.dialled)
                else:
                    self._waiting.discard((pbx.name, look.uniqueid))
                    await self._check_recordings(pbx, look.uniqueid)
            except (AmiError, SQLAlchemyError, TimeoutError) as error:
                if look.uniqueid not in pbx.live.channels:
                    continue  # it ended meanwhile
                self._gate.counts.fault("backstop_failed")
                log.error("backstop_failed", pbx=pbx.name, reason=str(error))
                if look.dialled is None:
                    asyncio.get_running_loop().call_later(AGAIN_S, self._look_at, pbx, look)

    async def _check_recordings(self, pbx: Pbx, uniqueid: str) -> None:
        channel = pbx.live.channels.get(uniqueid)
        if channel is None or not self._foreign.is_suspected(pbx.name, uniqueid):
            return
        why = sorted(self._against(pbx.name, uniqueid))
        if self._foreign.report_once(pbx.name, uniqueid):
            self.foreign += 1
            self._gate.counts.fault("foreign_recording")
            log.warning("foreign_recording", pbx=pbx.name, channel=channel.name, without=why)
        if why and self._settings[pbx.name].foreign_recordings == "stop":
            await self._stop(pbx, channel)

    def _against(self, pbx: str, uniqueid: str) -> frozenset[str]:
        """Why nobody may record on that channel: somebody whom it hears did not agree, or what is
        said there now is not to be recorded."""
        reasons = self._supervision.silent_for(pbx, uniqueid)
        heard = self._supervision.hears(pbx, uniqueid)
        for channel in heard.reached if heard is not None else ():
            for recording in self._recorder.on_channel(pbx, channel.uniqueid):
                if self._recorder.is_paused(recording.id):
                    return reasons | {PAUSED}
        return reasons

    async def _ask_all(self, pbx: Pbx) -> None:
        """Whenever the channels are known anew, asks each for its recordings: beside the queue, so
        that what is told meanwhile does not wait for a thousand answers."""
        while True:
            await self._unasked[pbx.name].wait()
            self._unasked[pbx.name].clear()
            channels = tuple(pbx.live.channels)
            for start in range(0, len(channels), ASKED_AT_ONCE):
                some = channels[start : start + ASKED_AT_ONCE]
                await asyncio.gather(*(self._ask(pbx, uniqueid) for uniqueid in some))

    async def _ask(self, pbx: Pbx, uniqueid: str) -> None:
        """The variable names the file that was begun last there, also when it has ended."""
        channel = pbx.live.channels.get(uniqueid)
        try:
            file = await variable_of(pbx, channel, "MIXMONITOR_FILENAME") if channel else ""
        except AmiDown:
            return  # the next list of channels follows
        except AmiError as error:
            if uniqueid in pbx.live.channels:
                self._gate.counts.fault("backstop_failed")
                log.error("backstop_failed", pbx=pbx.name, reason=str(error))
            return
        if file and self._recorder.by_file(file) is None:
            ours = self._recorder.is_ours(pbx.name, file)
            self._foreign.suspect(pbx.name, uniqueid, ours=ours)
            self._look_at(pbx, _Look(uniqueid))

    async def _stop(self, pbx: Pbx, channel: Channel) -> None:
        """Asterisk names no recording but our own: one of ours that began after somebody else's
        goes with it, and so does one of which that is not known."""
        if self._foreign.is_unsure(pbx.name, channel.uniqueid):
            await self._find_ours(pbx, channel)
        mixed = self._foreign.is_mixed(pbx.name, channel.uniqueid)
        await self._stop_newest(pbx, channel)
        if mixed and not self._foreign.is_mixed(pbx.name, channel.uniqueid):
            for recording in self._recorder.on_channel(pbx.name, channel.uniqueid):
                self._end_own(recording.id)

    async def _stop_newest(self, pbx: Pbx, channel: Channel) -> None:
        """Until none is left that is not ours."""
        here = pbx.name, channel.uniqueid
        for _ in range(MOST_STOPPED):
            if not self._foreign.is_suspected(*here):
                return
            self._foreign.order(*here)
            try:
                await pbx.session.action(
                    "StopMixMonitor", ("Channel", channel.name), timeout=ACTION_S
                )
            except AmiRefused as error:
                self._foreign.order(*here, -1)
                self._none_stopped(pbx, channel, error)
                return
            except AmiError:
                self._foreign.order(*here, -1)
                raise
            own = self._foreign.stopped_newest(*here)
            if own is not None:
                self._end_own(own)
                continue
            self.stopped += 1
            log.warning("foreign_recording_stopped", pbx=pbx.name, channel=channel.name)

    def _none_stopped(self, pbx: Pbx, channel: Channel, error: AmiRefused) -> None:
        """Either nothing runs there any more, or it is not for us to stop it."""
        if "permission" in str(error).casefold():
            self.forbidden = True
            self._gate.counts.fault("foreign_recording_not_stopped")
            log.error("foreign_recording_not_stopped", pbx=pbx.name, reason=str(error))
            return
        self._foreign.ended_alone(pbx.name, channel.uniqueid)

    async def _find_ours(self, pbx: Pbx, channel: Channel) -> None:
        """One ended there, and Asterisk did not say whose: whether it was ours is told by making
        ours silent, which they have to be anyway where somebody else's may not hear."""
        living = []
        for recording in self._recorder.on_channel(pbx.name, channel.uniqueid):
            if recording.monitor is None:
                return
            which = ("Channel", channel.name), ("MixMonitorID", recording.monitor)
            silent = ("Direction", "both"), ("State", "1")
            try:
                await pbx.session.action("MixMonitorMute", *which, *silent, timeout=ACTION_S)
            except AmiRefused:
                self._end_own(recording.id)
            else:
                living.append(recording.id)
        self._foreign.only_these_live(pbx.name, channel.uniqueid, living)

    def _end_own(self, recording_id: str) -> None:
        recording = self._recorder.get(recording_id)
        if recording is not None:
            self._gate.recordings.found_ended(recording)
