"""Follows every recording in progress: whom it hears, and whether it may.

What a recording hears is worked out again whenever something that the last answer depended on looks
different: a channel, a bridge, what somebody was told, a pause.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.ami.calls import (
    Change,
    Channel,
    ChannelGone,
    RecordingMuted,
    RecordingStarted,
)
from callguard.clock import Clock
from callguard.gate.callbook import CallBook
from callguard.gate.hearing import (
    ORIGINATED,
    PAUSED,
    STOPPED,
    Hearing,
    Kind,
    Trunks,
    hearing,
    in_company,
    is_technical,
    reasons_for_silence,
)
from callguard.gate.pbx import Pbx
from callguard.gate.silence import WITHIN_S, Silence
from callguard.gate.told import ToldParties, read_told
from callguard.recording.recorder import OpenRecording, Recorder
from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory

log = structlog.get_logger(__name__)

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Parties:
    """Who speaks on a channel, as far as callguard knows its people. ``strangers`` are the channels
    of whom the gate said that they did not consent."""

    told: ToldParties
    calls: CallBook
    tenants: TenantDirectory
    trunks: Mapping[str, Trunks]
    strangers: set[tuple[str, str]] = field(default_factory=set)

    def is_trunk(self, pbx: str, channel_name: str) -> bool:
        """Whether the world is behind that channel."""
        trunks = self.trunks.get(pbx)
        return trunks is not None and trunks.has(channel_name)

    def kind(self, pbx: str, channel: Channel) -> Kind:
        if channel.pair is not None or is_technical(channel.name):
            return Kind.TECHNICAL
        here = (pbx, channel.uniqueid)
        if self.told.of(*here) is not None or here in self.strangers:
            return Kind.OUTSIDE  # whoever is told is one who has to be
        trunks = self.trunks.get(pbx)
        if trunks and not trunks.has(channel.name):
            return Kind.INSIDE
        if self.tenants.has_line(channel.name):
            return Kind.INSIDE
        call = None
        if not channel.uniqueid.startswith(ORIGINATED):
            call = self.calls.of_channel(*here)
        placed = call is not None and call.direction == "outbound" and not call.passed_on
        return Kind.INSIDE if placed else Kind.OUTSIDE


class Supervision:
    """All recordings in progress, on every Asterisk."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        recorder: Recorder,
        pbxs: Mapping[str, Pbx],
        parties: Parties,
        silence: Callable[[Pbx], Silence],
    ) -> None:
        self._clock = clock
        self._database = database
        self._recorder = recorder
        self._pbxs = pbxs
        self.parties = parties
        self.silences = {name: silence(pbx) for name, pbx in pbxs.items()}
        self._watched: dict[str, tuple[_Key, ...]] = {}
        self._watching: defaultdict[_Key, set[str]] = defaultdict(set)
        self._joining: defaultdict[str, set[str]] = defaultdict(set)
        self._begun_here: set[str] = set()
        self._abandoned: dict[_Key, tuple[OpenRecording, ...]] = {}
        self._read: set[str] = set()
        parties.told.watch(lambda pbx, uniqueid: self.touched(pbx, frozenset({uniqueid})))

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line for each recording that should be silent and is not known to be."""
        return tuple(alarm for one in self.silences.values() for alarm in one.alarms)

    def hears(self, pbx: str, uniqueid: str) -> Hearing | None:
        """Whom a recording on that channel would hear."""
        here = self._pbxs.get(pbx)
        return hearing(here.live, uniqueid) if here else None

    def silent_for(self, pbx: str, uniqueid: str, tenant: str | None = None) -> frozenset[str]:
        """Why a recording on that channel, of that tenant or of anybody, must be silent."""
        heard = self.hears(pbx, uniqueid)
        return self._reasons(pbx, heard, tenant) if heard is not None else frozenset()

    def runs(self, recording: OpenRecording) -> None:
        """Asterisk writes a recording that this process began."""
        self._begun_here.add(recording.id)
        self.look_at(recording)

    def joins(self, recording: OpenRecording, uniqueid: str) -> None:
        """Somebody who was not told is about to join what is recorded."""
        self._joining[recording.id].add(uniqueid)
        self.look_at(recording)

    def abandoned(self, recording: OpenRecording) -> None:
        """Asterisk is not known to have begun a recording that nobody follows: if it did, or does
        yet, it is stopped."""
        where = (recording.pbx, recording.channel_uniqueid)
        self._abandoned[where] = (*self._abandoned.get(where, ()), recording)
        pbx = self._pbxs.get(recording.pbx)
        channel = pbx.live.channels.get(recording.channel_uniqueid) if pbx else None
        known = [one for one in self._recorder.on_channel(*where) if one.running]
        if pbx is not None and channel is not None and channel.recordings > len(known):
            self.silences[pbx.name].stop_soon(recording)

    def ended(self, recording: OpenRecording) -> None:
        """It is not written any more."""
        self._unwatch(recording.id)
        self._joining.pop(recording.id, None)
        self._begun_here.discard(recording.id)
        if (silence := self.silences.get(recording.pbx)) is not None:
            silence.forget(recording.id)

    def touched(self, pbx: str, keys: frozenset[str]) -> None:
        """These channels, calls and bridges of an Asterisk look different."""
        due: set[str] = set()
        for key in keys:
            due |= self._watching.get((pbx, key), set())
        for recording_id in sorted(due):
            self.look_again(recording_id)

    def changed(self, pbx: Pbx, change: Change) -> None:
        """What a change says beyond who is where."""
        match change:
            case RecordingStarted(uniqueid=uniqueid):
                for abandoned in self._abandoned.get((pbx.name, uniqueid), ()):
                    self.silences[pbx.name].stop_soon(abandoned)
            case RecordingMuted(uniqueid=uniqueid, muted=muted):
                self.silences[pbx.name].muted(uniqueid, muted)
            case ChannelGone(uniqueid=uniqueid):
                for recording_id, joining in self._joining.items():
                    recording = self._recorder.get(recording_id)
                    if recording is not None and recording.pbx == pbx.name:
                        joining.discard(uniqueid)
                self._abandoned.pop((pbx.name, uniqueid), None)
                self.parties.told.gone(pbx.name, uniqueid)
                self.parties.strangers.discard((pbx.name, uniqueid))
            case _:
                pass

    def lost(self, pbx: Pbx) -> None:
        """Nothing is heard of that Asterisk, and nothing can be told."""
        self.silences[pbx.name].lost()

    async def rebuild(self, pbx: Pbx) -> None:
        """The living channels are known again: who was told is, and every recording is looked at
        before anything is told to Asterisk. Returns once all of it is told, or cannot be."""
        if pbx.name not in self._read:
            await self._read_told(pbx)
        self.parties.told.keep_only(pbx.name, pbx.live.channels)
        for recording in self._recorder.in_progress():
            if recording.pbx == pbx.name:
                self.look_at(recording)
        self.silences[pbx.name].rebuilt()
        await self.silences[pbx.name].settled(WITHIN_S)

    async def _read_told(self, pbx: Pbx) -> None:
        """What a former process was told. While it cannot be read nobody was told anything, and
        the next time that the channels are known anew it is tried again."""
        told, alive, now = self.parties.told, list(pbx.live.channels), self._clock.now()
        try:
            found = await self._database.read(lambda c: read_told(c, pbx.name, alive, now))
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("told_parties_unread", pbx=pbx.name, reason=str(error))
            return
        self._read.add(pbx.name)
        for uniqueid, what in found.items():
            if told.of(pbx.name, uniqueid) is None:
                told.enter(pbx.name, uniqueid, what)

    def look_again(self, recording_id: str) -> None:
        """Something else is wished of a recording."""
        recording = self._recorder.get(recording_id)
        if recording is not None:
            self.look_at(recording)

    def look_at(self, recording: OpenRecording) -> None:
        """Works out anew whom a recording hears, and why it must be silent."""
        pbx = self._pbxs.get(recording.pbx)
        if pbx is None or not recording.running:
            return
        joining = self._joining.get(recording.id, set())
        for uniqueid in tuple(joining):
            channel = pbx.live.channels.get(uniqueid)
            said = self.parties.told.of(pbx.name, uniqueid)
            agreed = said is not None and said.may_be_recorded
            if agreed or (channel is not None and in_company(pbx.live, channel)):
                joining.discard(uniqueid)
        heard = hearing(pbx.live, recording.channel_uniqueid, joining)
        self._watch(recording, heard.watched)
        reasons = set(self._reasons(pbx.name, heard, recording.tenant))
        seen = {channel.uniqueid for channel in (*heard.reached, *heard.coming)}
        reasons |= {f"not told: {uniqueid}" for uniqueid in joining if uniqueid not in seen}
        if self._recorder.is_paused(recording.id):
            reasons.add(PAUSED)
        if recording.id in self._recorder.to_stop:
            reasons.add(STOPPED)
        self.silences[pbx.name].follow(
            recording, frozenset(reasons), begun_here=recording.id in self._begun_here
        )

    def _reasons(self, pbx: str, heard: Hearing, tenant: str | None) -> frozenset[str]:
        return reasons_for_silence(
            heard,
            lambda channel: self.parties.kind(pbx, channel),
            lambda uniqueid: self.parties.told.of(pbx, uniqueid),
            tenant,
        )

    def _watch(self, recording: OpenRecording, keys: frozenset[str]) -> None:
        watched = tuple((recording.pbx, key) for key in sorted(keys))
        if self._watched.get(recording.id) == watched:
            return
        self._unwatch(recording.id)
        self._watched[recording.id] = watched
        for key in watched:
            self._watching[key].add(recording.id)

    def _unwatch(self, recording_id: str) -> None:
        for key in self._watched.pop(recording_id, ()):
            watching = self._watching[key]
            watching.discard(recording_id)
            if not watching:
                del self._watching[key]
