"""Recordings as calls go: begun by the gate, ended by what the PBX tells, closed by the sealer."""

from collections.abc import Mapping

import structlog

from callguard.ami.errors import AmiError
from callguard.gate.callbook import Call
from callguard.gate.pbx import Pbx
from callguard.recording.recorder import OpenRecording, Recorder
from callguard.recording.sealer import Sealer
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)


class CallRecordings:
    """Joins recorder, sealer and PBXs."""

    def __init__(self, recorder: Recorder, sealer: Sealer, pbxs: Mapping[str, Pbx]) -> None:
        self._recorder = recorder
        self._sealer = sealer
        self._pbxs = pbxs
        self._to_stop: set[str] = set()

    def lives(self, call: Call) -> bool:
        """Whether the first channel of the call is not known to be gone."""
        pbx = self._pbxs.get(call.pbx)
        if pbx is None:
            return False
        return pbx.session.state != "up" or call.uniqueid in pbx.live.channels

    async def begin(self, tenant: Tenant, call: Call, channel_uniqueid: str) -> str | None:
        return await self._recorder.begin(tenant, call.id, call.pbx, channel_uniqueid)

    def running(self, asterisk_path: str, monitor: str | None) -> None:
        """Asterisk writes that file; ``monitor`` is its MixMonitor's id."""
        self._recorder.running(asterisk_path, monitor)

    def abandon(self, asterisk_path: str) -> None:
        recording = self._recorder.by_file(asterisk_path)
        if recording is not None:
            self._sealer.ended(recording)

    def in_progress(self, call: Call, channel_uniqueid: str) -> tuple[OpenRecording, ...]:
        """The recordings of a conversation: of the call, and of every channel that is linked with
        the one given, which may belong to another call that was passed on."""
        found = {r.id: r for r in self._recorder.of_call(call.id)}
        pbx = self._pbxs.get(call.pbx)
        here = pbx.live.channels.get(channel_uniqueid) if pbx else None
        if pbx is not None and here is not None:
            for recording in self._recorder.in_progress():
                channel = pbx.live.channels.get(recording.channel_uniqueid)
                if recording.pbx == pbx.name and channel and channel.linkedid == here.linkedid:
                    found[recording.id] = recording
        return tuple(found.values())

    def stopped(self, recording: OpenRecording) -> None:
        """The recording was stopped from its own channel."""
        self._sealer.ended(recording)
        log.info("recording_stopped", recording=recording.id, call=recording.call_id)

    async def stop(self, recording: OpenRecording) -> bool:
        """Stops a recording over AMI; whether it is known to have stopped. Where it cannot be
        told to now, it is as soon as the manager connection is back."""
        self._to_stop.add(recording.id)
        pbx = self._pbxs.get(recording.pbx)
        channel = pbx.live.channels.get(recording.channel_uniqueid) if pbx else None
        if pbx is None or channel is None:
            return False
        which = [("MixMonitorID", recording.monitor)] if recording.monitor else []
        try:
            await pbx.session.action("StopMixMonitor", ("Channel", channel.name), *which)
        except AmiError as error:
            log.error("stop_refused", recording=recording.id, reason=str(error))
            return False
        self._to_stop.discard(recording.id)
        self.stopped(recording)
        return True

    def channel_gone(self, pbx: str, uniqueid: str) -> None:
        """The channel that was recorded is no more, or no recording runs on it any more."""
        for recording in self._recorder.on_channel(pbx, uniqueid):
            self._to_stop.discard(recording.id)
            self._sealer.ended(recording)

    async def resynced(self, pbx: str) -> None:
        """The list of living channels is whole again: what is on none of them has ended, and what
        somebody wished stopped meanwhile is stopped."""
        alive = self._pbxs[pbx].live.channels
        for recording in self._recorder.in_progress():
            if recording.pbx != pbx:
                continue
            if recording.channel_uniqueid not in alive:
                self.channel_gone(pbx, recording.channel_uniqueid)
            elif recording.id in self._to_stop:
                await self.stop(recording)

    def end_of_unknown(self) -> None:
        """Closes what was recorded on an Asterisk that is no longer configured."""
        for recording in self._recorder.in_progress():
            if recording.pbx not in self._pbxs:
                self._sealer.ended(recording)
