"""Recordings as calls go: begun by the gate, silenced where they must be, ended by what the PBX
tells, closed by the sealer."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

import structlog

from callguard.ami.errors import AmiError
from callguard.clock import Clock
from callguard.gate.callbook import Call
from callguard.gate.hearing import Kind as Speaker
from callguard.gate.pbx import Pbx
from callguard.gate.recording_log import RecordingLog
from callguard.gate.silence import Silence
from callguard.gate.supervision import Parties, Supervision
from callguard.gate.ungated import diallers
from callguard.recording.erasure import Eraser, Fate
from callguard.recording.events import CALLGUARD, Kind
from callguard.recording.recorder import OpenRecording, Recorder, read_unerased
from callguard.recording.sealer import Sealer
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

STOP_S = 1.0
"""Longest wait for Asterisk to stop a recording."""

SILENT_S = 2.5
"""Longest wait for a recording to be silent, or stopped because it cannot be silenced."""


class CallRecordings:
    """Joins recorder, supervision, sealer and PBXs."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        journal: Journal,
        recorder: Recorder,
        sealer: Sealer,
        eraser: Eraser,
        tenants: TenantDirectory,
        pbxs: Mapping[str, Pbx],
        parties: Parties,
    ) -> None:
        self._clock = clock
        self._database = database
        self._log = RecordingLog(clock, journal, tenants)
        self._recorder = recorder
        self._sealer = sealer
        self._eraser = eraser
        self._pbxs = pbxs
        self._ended: set[str] = set()
        self._pauses = Counter[str]()
        self._stopping: dict[str, asyncio.Task[bool]] = {}
        self.supervision = Supervision(clock, database, recorder, pbxs, parties, self._silence)
        recorder.on_done = self._done
        sealer.live.lost_entries.on_lost = self._entry_lost

    def _silence(self, pbx: Pbx) -> Silence:
        return Silence(
            pbx,
            self._clock,
            on_told=self._told,
            stop=self._stop_audible,
            may_be_over=lambda recording: self._sealer.has_ended(recording.id),
        )

    # --- beginning and ending -----------------------------------------------------------------

    async def begin(
        self, tenant: Tenant, call: Call, channel_uniqueid: str, encoding: str | None = None
    ) -> str | None:
        paused = any(self.paused(r) for r in self.in_progress(call, channel_uniqueid))
        return await self._recorder.begin(
            tenant,
            call.id,
            call.pbx,
            channel_uniqueid,
            paused=paused,
            encoding=encoding,
            concern=call.concern,
        )

    def monitor_options(self, asterisk_path: str) -> str:
        return self._recorder.monitor_options(asterisk_path)

    def running(self, asterisk_path: str, monitor: str | None, reason: str | None = None) -> None:
        """Asterisk writes that file; ``monitor`` is its MixMonitor's id, ``reason`` why it is not
        as the tenant wished."""
        recording = self._recorder.running(asterisk_path, monitor)
        if recording is None:
            return
        self._log.note(recording, "started", CALLGUARD, reason)
        together = self._of(recording.pbx, recording.call_id, recording.channel_uniqueid)
        if any(self.paused(r) for r in together) and not self.paused(recording):
            # It was while this one was being made ready.
            self._recorder.pause(recording.id)
            self._log.note(recording, "paused", CALLGUARD, "its conversation is paused")
        self.supervision.runs(recording)
        if recording.id in self._recorder.to_stop:
            self.supervision.silences[recording.pbx].stop_soon(recording)

    def abandon(self, asterisk_path: str) -> None:
        recording = self._recorder.by_file(asterisk_path)
        if recording is not None:
            self._log.note(recording, "lost", CALLGUARD, "Asterisk is not known to have begun it")
            self._end(recording)
            self.supervision.abandoned(recording)

    def stopped(self, recording: OpenRecording, *, by: str = CALLGUARD) -> None:
        """The recording was stopped from its own channel. That it has ended, AMI may have told
        before whoever stopped it says so."""
        if recording.id not in self._recorder.to_stop:  # then it is written already
            self._log.note(recording, "stopped", by)
        self._end(recording)
        log.info("recording_stopped", recording=recording.id, call=recording.call_id)

    def has_ended(self, recording: OpenRecording) -> bool:
        return self._recorder.get(recording.id) is None or recording.id in self._ended

    def found_ended(self, recording: OpenRecording) -> None:
        if not self.has_ended(recording):
            self.stopped(recording)

    async def stop(
        self, recording: OpenRecording, *, by: str = CALLGUARD, reason: str | None = None
    ) -> bool:
        """Stops a recording over AMI; whether it is known to have stopped. Where it cannot be
        told to now, it is as soon as the manager connection is back, also after a restart."""
        if self.has_ended(recording):
            return True
        if recording.id not in self._recorder.to_stop:
            self._recorder.to_stop[recording.id] = recording
            self._log.note(recording, "stopped", by, reason)
        known = self._recorder.get(recording.id)
        if known is not None and not known.running:
            return False  # without its id somebody else's would be stopped; it is once it runs
        stopped = await self._stop(recording)
        if not stopped:
            self.supervision.look_again(recording.id)
        return stopped

    async def _stop(self, recording: OpenRecording) -> bool:
        """Asterisk is told once, however many ask at the same time."""
        stopping = self._stopping.get(recording.id)
        if stopping is None:
            stopping = asyncio.create_task(self._tell_to_stop(recording))
            self._stopping[recording.id] = stopping
            stopping.add_done_callback(lambda _: self._stopping.pop(recording.id, None))
        return await asyncio.shield(stopping)

    async def _tell_to_stop(self, recording: OpenRecording) -> bool:
        pbx = self._pbxs.get(recording.pbx)
        channel = pbx.live.channels.get(recording.channel_uniqueid) if pbx else None
        if pbx is None or channel is None:
            return False
        known = self._recorder.get(recording.id) or recording
        which = [("MixMonitorID", known.monitor)] if known.monitor else []
        try:
            await pbx.session.action(
                "StopMixMonitor", ("Channel", channel.name), *which, timeout=STOP_S
            )
        except AmiError as error:
            log.error("stop_refused", recording=recording.id, reason=str(error))
            return False
        self._end(recording)
        log.info("recording_stopped", recording=recording.id, call=recording.call_id)
        return True

    async def _stop_audible(self, recording: OpenRecording) -> bool:
        """Ends a recording that must be silent and cannot be made so, or that nobody follows."""
        if self.has_ended(recording):
            return await self._stop(recording)
        return await self.stop(recording, reason="it could not be silenced")

    def _end(self, recording: OpenRecording) -> None:
        self._recorder.to_stop.pop(recording.id, None)
        self.supervision.ended(recording)
        if self._recorder.get(recording.id) is not None:
            self._ended.add(recording.id)
            self._sealer.ended(recording)

    def _done(self, recording: OpenRecording) -> None:
        """It was closed."""
        self._ended.discard(recording.id)
        self._pauses.pop(recording.id, None)
        self.supervision.ended(recording)

    def _entry_lost(self, recording: OpenRecording) -> None:
        """What Asterisk goes on writing is kept nowhere: it is stopped, so that nobody believes it
        is recorded. Without its id another recording of that channel could be stopped instead."""
        here = self._recorder.on_channel(recording.pbx, recording.channel_uniqueid)
        if self.has_ended(recording) or (recording.monitor is None and len(here) > 1):
            return
        if recording.id not in self._recorder.to_stop:
            self._recorder.to_stop[recording.id] = recording
            self._log.note(recording, "stopped", CALLGUARD, "its spool entry is gone")
        if (silence := self.supervision.silences.get(recording.pbx)) is not None:
            silence.stop_soon(recording)

    def none_left(self, pbx: str, uniqueid: str) -> None:
        """No recording is known to run on that channel any more. Asterisk does not say which one
        stopped, and what began before callguard did was not counted: ours are followed until
        Asterisk has let go of what it writes."""
        for recording in self._recorder.on_channel(pbx, uniqueid):
            self._sealer.ended(recording)

    def channel_gone(self, pbx: str, uniqueid: str) -> None:
        """The channel that was recorded is no more."""
        waiting = tuple(self._recorder.to_stop.values())
        there = [r for r in waiting if (r.pbx, r.channel_uniqueid) == (pbx, uniqueid)]
        for recording in (*self._recorder.on_channel(pbx, uniqueid), *there):
            self._end(recording)

    # --- pausing ------------------------------------------------------------------------------

    def paused(self, recording: OpenRecording) -> bool:
        return self._recorder.is_paused(recording.id)

    async def pause(self, recording: OpenRecording, *, by: str) -> bool:
        """The silence does not wait for the row that says so; whoever asked does, for both."""
        if self.has_ended(recording):
            return True
        self._recorder.pause(recording.id)
        self._pauses[recording.id] += 1
        self.supervision.look_again(recording.id)
        if not await self._log.keep_wish(recording, "paused", by):
            return False
        return await self._are_silent([recording])

    async def resume(self, recording: OpenRecording, *, by: str) -> bool:
        if by == "subject" or self.has_ended(recording) or not self.paused(recording):
            return False  # whoever is recorded never begins it
        pauses = self._pauses[recording.id]
        if not await self._log.keep_wish(recording, "resumed", by):
            return False
        if self._pauses[recording.id] != pauses:
            return False  # somebody paused it anew meanwhile
        self._recorder.resume(recording.id)
        self.supervision.look_again(recording.id)
        return True

    async def hush(self, call: Call, channel_uniqueid: str) -> bool:
        self.supervision.parties.strangers.add((call.pbx, channel_uniqueid))
        recordings = [r for r in self.in_progress(call, channel_uniqueid) if not self.has_ended(r)]
        for recording in recordings:
            self.supervision.joins(recording, channel_uniqueid)
        silent = await self._are_silent(recordings)
        if not silent:
            log.error("not_hushed", call=call.id, recordings=[r.id for r in recordings])
        return silent

    async def _are_silent(self, recordings: Iterable[OpenRecording]) -> bool:
        by_pbx: dict[str, list[str]] = {}
        for recording in recordings:
            by_pbx.setdefault(recording.pbx, []).append(recording.id)
        silences = self.supervision.silences
        for name, ids in by_pbx.items():
            if name not in silences or not await silences[name].silent(ids, SILENT_S):
                return False
        return True

    # --- erasing ------------------------------------------------------------------------------

    async def erase(self, recording: OpenRecording, *, by: str) -> Fate:
        """Whether or not it can be stopped now, what is written has no key any more, unless a hold
        keeps it: then it ends like any other."""
        await self.stop(recording, by=by, reason="consent was withdrawn")
        fate = await self._eraser.erase(recording, by=by, keep=self._log.keep(recording))
        if fate is Fate.ERASED:
            self.supervision.ended(recording)
            known = self._recorder.get(recording.id)
            if known is not None and known.running:
                # Whatever Asterisk still writes is removed once it lets go of it; what it has yet
                # to begin, once that is known.
                self._sealer.ended(recording)
        return fate

    def silent_for(self, recording: OpenRecording) -> frozenset[str]:
        silence = self.supervision.silences.get(recording.pbx)
        return silence.reasons(recording.id) if silence else frozenset()

    def speaks_outside(self, pbx: str, uniqueid: str) -> bool | None:
        here = self._pbxs.get(pbx)
        channel = here.live.channels.get(uniqueid) if here else None
        if channel is None:
            return None
        return self.supervision.parties.kind(pbx, channel) is Speaker.OUTSIDE

    def was_called_for(self, call: Call, uniqueid: str) -> bool:
        here = self._pbxs.get(call.pbx)
        channel = here.live.channels.get(uniqueid) if here else None
        if here is None or channel is None or channel.dialled_by in (None, call.uniqueid):
            return True
        return any(one.uniqueid == call.uniqueid for one in diallers(channel, here.live))

    # --- finding ------------------------------------------------------------------------------

    def lives(self, call: Call) -> bool:
        """Whether the call goes on for anybody: its first channel lives, or a recording of it is
        in progress, or somebody who was told in it is still there; or that is not known."""
        pbx = self._pbxs.get(call.pbx)
        if pbx is None:
            return False
        if self.first_lives(call):
            return True
        if any(not self.has_ended(recording) for recording in self._recorder.of_call(call.id)):
            return True
        told = self.supervision.parties.told.of_call(call.id)
        alive = pbx.live.channels
        return any(name == call.pbx and uniqueid in alive for name, uniqueid, _ in told)

    def first_lives(self, call: Call) -> bool:
        pbx = self._pbxs.get(call.pbx)
        if pbx is None:
            return False
        return pbx.session.state != "up" or call.uniqueid in pbx.live.channels

    def in_progress(self, call: Call, channel_uniqueid: str) -> tuple[OpenRecording, ...]:
        """The recordings of a conversation: of the call, of whoever began it, was told or is
        recorded in it, and of every channel that is connected or linked with one of these or the
        one given, which may belong to another call that was passed on."""
        recorded = [r.channel_uniqueid for r in self._recorder.of_call(call.id)]
        told = self.supervision.parties.told.of_call(call.id)
        there = [uniqueid for pbx, uniqueid, _ in told if pbx == call.pbx]
        return self._of(call.pbx, call.id, call.uniqueid, channel_uniqueid, *recorded, *there)

    def _of(self, pbx: str, call_id: str, *uniqueids: str) -> tuple[OpenRecording, ...]:
        found = {r.id: r for r in self._recorder.of_call(call_id)}
        for uniqueid in self._together(pbx, uniqueids):
            found.update((r.id, r) for r in self._recorder.on_channel(pbx, uniqueid))
        return tuple(found.values())

    def _together(self, name: str, uniqueids: Iterable[str]) -> set[str]:
        """These channels, and all that they are connected or linked with."""
        pbx, together = self._pbxs.get(name), set(uniqueids)
        if pbx is None:
            return together
        for start in tuple(together):
            heard = self.supervision.hears(name, start)
            for channel in heard.reached if heard else ():
                together.add(channel.uniqueid)
                together |= {other.uniqueid for other in pbx.live.linked(channel.linkedid)}
        return together

    async def of_call_all(self, call_id: str) -> tuple[OpenRecording, ...]:
        """Every recording of a call that was not erased, sealed ones too. Raises TimeoutError or
        SQLAlchemyError."""
        known = await self._database.read(lambda c: read_unerased(c, call_id))
        found = {recording.id: recording for recording in known}
        found.update((r.id, r) for r in self._recorder.of_call(call_id) if r.id in found)
        return tuple(found.values())

    def held_during(self, pbx: str, uniqueid: str, since: float) -> bool | None:
        here = self._pbxs.get(pbx)
        channel = here.live.channels.get(uniqueid) if here else None
        if here is None or channel is None:
            return None
        if channel.was_held_since(since):
            return True
        return False if here.has_followed(channel) else None

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line for each recording that should be silent and is not known to be, and one for
        what could not be written down."""
        return (*self.supervision.alarms, *self._log.alarms)

    async def keep_log(self) -> None:
        """Tries again to write down what could not be. For ever."""
        await self._log.run()

    # --- the PBX ------------------------------------------------------------------------------

    async def resynced(self, pbx: str) -> None:
        """The list of living channels is whole again: what is on none of them has ended; what must
        be silent is silenced first, and what somebody wished stopped meanwhile is stopped."""
        here = self._pbxs[pbx]
        for recording in self._recorder.in_progress():
            gone = recording.channel_uniqueid not in here.live.channels
            if recording.pbx == pbx and gone:
                self.channel_gone(pbx, recording.channel_uniqueid)
        await self.supervision.rebuild(here)
        for recording in tuple(self._recorder.to_stop.values()):
            if recording.pbx == pbx:
                await self._stop(recording)

    def end_of_unknown(self) -> None:
        """Closes what was recorded on an Asterisk that is no longer configured."""
        for recording in self._recorder.in_progress():
            if recording.pbx not in self._pbxs:
                self._end(recording)

    # --- what is kept of it -------------------------------------------------------------------

    def _told(self, recording: OpenRecording, reasons: frozenset[str]) -> None:
        """Asterisk confirmed that a recording is silent, or is heard again."""
        kind: Kind = "silenced" if reasons else "heard"
        self._log.note(recording, kind, CALLGUARD, ", ".join(sorted(reasons)) or None)
