"""Making a recording ready, and knowing which are in progress.

The file key and the header are durable before Asterisk is told to write the first sample, so
that whatever it writes can be sealed, by this process or by the one that follows a crash.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath

import structlog
from sqlalchemy import Connection, delete, select, update

from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording import age
from callguard.recording.keys import KeyStoreError, KeyWrapper, wrap_file_key
from callguard.recording.spool import Spool
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import recordings
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

ENCODING = "pcm-8000-1"
EXTENSION = "sln"


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """A recording whose audio is not sealed yet. ``monitor`` is the id of its MixMonitor, as far
    as this process has heard it."""

    id: str
    call_id: str
    pbx: str
    channel_uniqueid: str
    spool_name: str
    monitor: str | None = None


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
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._spool = spool
        self._wrapper = wrapper
        self._folders = spool_folders
        self._durable_s = durable_s
        self._open: dict[str, OpenRecording] = {}
        self.faults: dict[str, int] = {}

    def load(self, connection: Connection) -> None:
        """Takes up what a former process left in progress, and removes from the spool what it had
        closed and not yet removed. Raises SpoolError."""
        for recording in read_open(connection):
            self._open[recording.id] = recording
        orphans = self._spool.orphans({r.spool_name for r in self._open.values()})
        closed = select(recordings.c.spool_name).where(
            recordings.c.spool_name.in_([n for n in orphans if n.endswith(f".{EXTENSION}")])
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
        """Forgets a recording that was closed."""
        self._open.pop(recording_id, None)

    async def begin(
        self, tenant: Tenant, call_id: str, pbx: str, channel_uniqueid: str
    ) -> str | None:
        """Makes a recording ready; returns the file for Asterisk to write, or None."""
        folder = self._folders.get(pbx)
        if folder is None:
            self._refuse("unknown_pbx", call_id)
            return None
        if not self._spool.has_room():
            self._refuse("spool_full", call_id)
            return None
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
            recording_id, call_id, pbx, channel_uniqueid, self._spool.new_name(EXTENSION)
        )
        row = {
            "id": recording_id,
            "tenant_id": tenant.id,
            "call_id": call_id,
            "pbx": pbx,
            "channel_uniqueid": channel_uniqueid,
            "state": "recording",
            "spool_name": opened.spool_name,
            "encoding": ENCODING,
            "header": header,
            "wrapped_file_key": wrapped,
            "started_at": at,
        }
        try:
            await self._journal.insert(Row(recordings, row), timeout=self._durable_s)
        except NotDurableError as error:
            # A commit that was under way may still succeed; nobody will record under that row.
            self._journal.post(work=partial(_forget, recording_id=recording_id))
            self._refuse("not_durable", call_id, str(error))
            return None
        self._open[recording_id] = opened
        return str(folder / opened.spool_name)

    def running(self, asterisk_path: str, monitor: str | None) -> None:
        """Remembers the MixMonitor that writes that file."""
        recording = self.by_file(asterisk_path)
        if recording is not None:
            self._open[recording.id] = replace(recording, monitor=monitor)

    def by_file(self, asterisk_path: str) -> OpenRecording | None:
        """The recording that Asterisk was to write to that file."""
        name = PurePosixPath(asterisk_path).name
        return next((r for r in self._open.values() if r.spool_name == name), None)

    def _refuse(self, fault: str, call_id: str, reason: str = "") -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1
        log.error("not_recorded", call=call_id, fault=fault, reason=reason or None)


def _forget(connection: Connection, recording_id: str) -> None:
    connection.execute(delete(recordings).where(recordings.c.id == recording_id))


def read_open(connection: Connection) -> list[OpenRecording]:
    """The recordings that are in progress according to the database."""
    rows = connection.execute(select(recordings).where(recordings.c.state == "recording"))
    return [OpenRecording(r.id, r.call_id, r.pbx, r.channel_uniqueid, r.spool_name) for r in rows]


def close_without_audio(
    connection: Connection, recording_id: str, state: str, at: datetime, expires: datetime
) -> None:
    """Ends a recording that has no audio: ``empty`` or ``lost``. Its keys go at once."""
    connection.execute(
        update(recordings)
        .where(recordings.c.id == recording_id, recordings.c.state == "recording")
        .values(state=state, header=None, wrapped_file_key=None, ended_at=at, expires_at=expires)
    )
