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

    async def begin(self, tenant: Tenant, call: Call, channel_uniqueid: str) -> str | None:
        return await self._recorder.begin(tenant, call.id, call.pbx, channel_uniqueid)

    def abandon(self, asterisk_path: str) -> None:
        recording = self._recorder.by_file(asterisk_path)
        if recording is not None:
            self._sealer.ended(recording)

    async def stop(self, call: Call) -> bool:
        stopped = [await self._stop(r) for r in self._recorder.of_call(call.id)]
        return bool(stopped) and all(stopped)

    def channel_gone(self, pbx: str, uniqueid: str) -> None:
        """The channel that was recorded is no more, or its recording was stopped."""
        for recording in self._recorder.on_channel(pbx, uniqueid):
            self._sealer.ended(recording)

    def resynced(self, pbx: str) -> None:
        """The list of living channels is whole again: what is on none of them has ended."""
        alive = self._pbxs[pbx].live.channels
        for recording in self._recorder.in_progress():
            if recording.pbx == pbx and recording.channel_uniqueid not in alive:
                self._sealer.ended(recording)

    async def _stop(self, recording: OpenRecording) -> bool:
        pbx = self._pbxs.get(recording.pbx)
        channel = pbx.live.channels.get(recording.channel_uniqueid) if pbx else None
        if pbx is None or channel is None:
            return False
        try:
            await pbx.session.action("StopMixMonitor", ("Channel", channel.name))
        except AmiError as error:
            log.error("stop_refused", recording=recording.id, reason=str(error))
            return False
        self._sealer.ended(recording)
        log.info("recording_stopped", recording=recording.id, call=recording.call_id)
        return True
