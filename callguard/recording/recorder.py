"""Making a recording ready, and knowing which are in progress.

The file key and the header are durable before Asterisk is told to write the first sample, so
that whatever it writes can be sealed, by this process or by the one that follows a crash.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath

import structlog
from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording import age
from callguard.recording.about import ABOUT, ITS_CALL, concern_of
from callguard.recording.events import CALLGUARD, RecordingEvent, as_row, read_wishes
from callguard.recording.formats import FORMATS
from callguard.recording.keys import KeyStoreError, KeyWrapper, wrap_file_key
from callguard.recording.recipients import digest_of
from callguard.recording.spool import Spool
from callguard.storage.alive import sooner
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import calls, recording_events, recordings
from callguard.tenants.keeping import NOBODY, Concern, keeping_evidence
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

RESERVED = 320
"""Bytes that a row holds free for what sealing will enter in it. A row that grows makes the
database move its neighbours, and the copies that stay behind are not overwritten when a header
is erased."""


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """A recording whose audio is not sealed yet. ``running`` is whether Asterisk is known to write
    it, ``monitor`` the id of its MixMonitor, as far as this process has heard it. ``encoding`` is
    the name of its RecordingFormat, ``concern`` whom it is about."""

    id: str
    tenant: str
    call_id: str
    pbx: str
    channel_uniqueid: str
    spool_name: str
    running: bool = False
    monitor: str | None = None
    encoding: str = "pcm-8000-1"
    concern: Concern = NOBODY


class Recorder:
    """Begins recordings and keeps the list of those in progress."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        spool: Spool,
        wrapper: KeyWrapper,
        spool_folders: dict[str, PurePosixPath],
        durable_s: float = 2.0,
        *,
        store_has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._spool = spool
        self._wrapper = wrapper
        self._folders = spool_folders
        self._durable_s = durable_s
        self._store_has_room = store_has_room
        self._open: dict[str, OpenRecording] = {}
        self._paused: set[str] = set()
        self.to_stop: dict[str, OpenRecording] = {}
        self.on_done: Callable[[OpenRecording], None] = lambda _: None
        self.on_paused: Callable[[OpenRecording], None] = lambda _: None
        self.faults: dict[str, int] = {}

    def load(self, connection: Connection) -> None:
        """Takes up what a former process left in progress, with what somebody wished about it, and
        removes from the spool what it had closed and not yet removed. Raises SpoolError."""
        for recording in read_open(connection):
            self._open[recording.id] = recording
        for recording_id, wish in read_wishes(connection, self._open).items():
            if wish == "paused":
                self._paused.add(recording_id)
            elif wish == "stopped":
                self.to_stop[recording_id] = self._open[recording_id]
        orphans = self._spool.orphans({r.spool_name for r in self._open.values()})
        closed = select(recordings.c.spool_name).where(
            recordings.c.spool_name.in_([n for n in orphans if self._spool.is_name(n)])
        )
        for name in connection.execute(closed).scalars():
            self._spool.remove(name)
            log.warning("plaintext_removed_late", spool_name=name)

    def in_progress(self) -> tuple[OpenRecording, ...]:
        return tuple(self._open.values())

    def on_channel(self, pbx: str, uniqueid: str) -> tuple[OpenRecording, ...]:
        """The recordings in progress on one channel."""
        return tuple(
            r for r in self._open.values() if (r.pbx, r.channel_uniqueid) == (pbx, uniqueid)
        )

    def of_call(self, call_id: str) -> tuple[OpenRecording, ...]:
        """The recordings in progress of one call."""
        return tuple(r for r in self._open.values() if r.call_id == call_id)

    def done(self, recording_id: str) -> None:
        """Forgets a recording that was closed; whoever follows it is told by ``on_done``."""
        recording = self._open.pop(recording_id, None)
        self._paused.discard(recording_id)
        if recording is not None:
            self.on_done(recording)

    def is_paused(self, recording_id: str) -> bool:
        """Whether it was paused and not resumed."""
        return recording_id in self._paused

    def pause(self, recording_id: str) -> None:
        """Whoever else must not hear what is said now is told by ``on_paused``."""
        self._paused.add(recording_id)
        recording = self._open.get(recording_id)
        if recording is not None:
            self.on_paused(recording)

    def resume(self, recording_id: str) -> None:
        self._paused.discard(recording_id)

    async def begin(
        self,
        tenant: Tenant,
        call_id: str,
        pbx: str,
        channel_uniqueid: str,
        *,
        paused: bool = False,
        encoding: str | None = None,
        concern: Concern = NOBODY,
    ) -> str | None:
        """Makes a recording ready, ``paused`` where its conversation is, coded as the tenant wishes
        where no other ``encoding`` is given; returns the file for Asterisk to write, or None."""
        folder = self._folders.get(pbx)
        if folder is None:
            self._refuse("unknown_pbx", call_id)
            return None
        if not self._spool.has_room():
            self._refuse("spool_full", call_id)
            return None
        if not self._store_has_room():
            self._refuse("store_full", call_id)
            return None
        coding = FORMATS[encoding or tenant.settings.recording_format]
        at = self._clock.now()
        recording_id = str(uuid7(at))
        file_key = age.new_file_key()
        try:
            recipients = [age.parse_recipient(text) for text in tenant.recipients]
            header = age.build_header(file_key, recipients)
            wrapped = wrap_file_key(self._wrapper, file_key, recording_id)
        except (age.AgeError, KeyStoreError) as error:
            self._refuse("key_missing", call_id, str(error))
            return None
        opened = OpenRecording(
            id=recording_id,
            tenant=tenant.id,
            call_id=call_id,
            pbx=pbx,
            channel_uniqueid=channel_uniqueid,
            spool_name=self._spool.new_name(coding.extension),
            encoding=coding.name,
            concern=concern,
        )
        row = {
            "id": recording_id,
            "tenant_id": tenant.id,
            "call_id": call_id,
            "pbx": pbx,
            "channel_uniqueid": channel_uniqueid,
            "state": "recording",
            "spool_name": opened.spool_name,
            "encoding": coding.name,
            "header": header,
            "keyed_for": digest_of(tenant.recipients),
            "wrapped_file_key": wrapped,
            "reserved": bytes(RESERVED),
            "started_at": at,
        }
        rows = [Row(recordings, row)]
        if paused:
            why = "its conversation is paused"
            event = RecordingEvent(recording_id, call_id, tenant.id, "paused", CALLGUARD, at, why)
            rows.append(as_row(event, keeping_evidence(tenant, concern)))
        try:
            await self._journal.insert(*rows, timeout=self._durable_s)
        except NotDurableError as error:
            # A commit that was under way may still succeed; nobody will record under that row.
            self._journal.post(work=partial(_forget, recording_id=recording_id))
            self._refuse("not_durable", call_id, str(error))
            return None
        self._open[recording_id] = opened
        if paused:
            self._paused.add(recording_id)
        return str(folder / opened.spool_name)

    def running(self, asterisk_path: str, monitor: str | None) -> OpenRecording | None:
        """Remembers that Asterisk writes that file, and by which MixMonitor; the recording, unless
        it was closed meanwhile."""
        recording = self.by_file(asterisk_path)
        if recording is None:
            return None
        known = replace(recording, running=True, monitor=monitor or None)
        self._open[recording.id] = known
        return known

    def monitor_options(self, asterisk_path: str) -> str:
        """The options that MixMonitor needs to write that file as it is to be coded."""
        recording = self.by_file(asterisk_path)
        return FORMATS[recording.encoding].options if recording is not None else ""

    def get(self, recording_id: str) -> OpenRecording | None:
        """A recording in progress, as it is now."""
        return self._open.get(recording_id)

    def by_file(self, asterisk_path: str) -> OpenRecording | None:
        """The recording that Asterisk was to write to that file."""
        name = PurePosixPath(asterisk_path).name
        return next((r for r in self._open.values() if r.spool_name == name), None)

    def is_ours(self, pbx: str, asterisk_path: str) -> bool:
        """Whether that file is one that a recorder names, also of a recording that was closed."""
        path = PurePosixPath(asterisk_path)
        return path.parent == self._folders.get(pbx) and self._spool.is_name(path.name)

    def _refuse(self, fault: str, call_id: str, reason: str = "") -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1
        log.error("not_recorded", call=call_id, fault=fault, reason=reason or None)


def _forget(connection: Connection, recording_id: str) -> None:
    ours = recording_events.c.recording_id == recording_id
    connection.execute(delete(recording_events).where(ours))
    connection.execute(delete(recordings).where(recordings.c.id == recording_id))


def read_open(connection: Connection) -> list[OpenRecording]:
    """The recordings that are in progress according to the database."""
    return _read(connection, recordings.c.state == "recording")


def read_unerased(connection: Connection, call_id: str) -> list[OpenRecording]:
    """The recordings of a call of which there is sound, sealed ones too."""
    of_call = recordings.c.call_id == call_id
    return _read(connection, and_(of_call, recordings.c.state.in_(("recording", "sealed"))))


def _read(connection: Connection, which: ColumnElement[bool]) -> list[OpenRecording]:
    """What a former process began may be running, by a MixMonitor that is not known."""
    asked = select(recordings, *ABOUT).outerjoin(calls, ITS_CALL).where(which)
    return [
        OpenRecording(
            id=row.id,
            tenant=row.tenant_id,
            call_id=row.call_id,
            pbx=row.pbx,
            channel_uniqueid=row.channel_uniqueid,
            spool_name=row.spool_name,
            running=row.state == "recording",
            encoding=row.encoding,
            concern=concern_of(row),
        )
        for row in connection.execute(asked)
    ]


def close_without_audio(
    connection: Connection, recording_id: str, state: str, at: datetime, expires: datetime | None
) -> bool:
    """Ends a recording that has no audio: ``empty`` or ``lost``. Its keys go at once. False where
    it was erased meanwhile."""
    closed = connection.execute(
        update(recordings)
        .where(recordings.c.id == recording_id, recordings.c.state == "recording")
        .values(
            state=state,
            header=None,
            wrapped_file_key=None,
            reserved=None,
            ended_at=at,
            expires_at=sooner(recordings.c.expires_at, expires),
        )
    )
    return closed.rowcount > 0
