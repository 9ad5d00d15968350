"""The keeper of call records: takes AMI's events at once and the file's lines as they come."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.ami.wire import Message
from callguard.cdr.record import CallRecord, RecordError, from_event, from_line
from callguard.cdr.store import keep
from callguard.cdr.tail import (
    Cursor,
    Piece,
    following,
    locate,
    read_cursor,
    read_piece,
    write_cursor,
)
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.tenants.directory import TenantDirectory

log = structlog.get_logger(__name__)

POLL_S = 0.5
WAITING = 10_000
"""Most AMI records waiting to be kept; beyond it they are left to the file."""


@dataclass(slots=True)
class KeeperCounts:
    """For the page and the metrics."""

    kept: int = 0
    bad: int = 0
    left_to_file: int = 0


class CallRecordKeeper:
    """Keeps the call records of one Asterisk."""

    def __init__(
        self,
        pbx: str,
        file: Path | None,
        database: Database,
        journal: Journal,
        tenants: TenantDirectory,
    ) -> None:
        self._pbx = pbx
        self._file = file
        self._database = database
        self._journal = journal
        self._tenants = tenants
        self._events: asyncio.Queue[CallRecord] = asyncio.Queue(WAITING)
        self.counts = KeeperCounts()

    def take(self, event: Message) -> None:
        """Takes an AMI ``Cdr`` event; never waits."""
        try:
            self._events.put_nowait(from_event(dict(event.headers)))
        except RecordError as error:
            self._bad("ami", str(error))
        except asyncio.QueueFull:
            self.counts.left_to_file += 1

    async def run(self) -> None:
        """Keeps records for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_events())
            if self._file is not None:
                group.create_task(self._follow(self._file))

    async def _keep_events(self) -> None:
        while True:
            record = await self._events.get()
            try:
                added = await self._journal.write(
                    partial(keep, pbx=self._pbx, record=record, tenants=self._tenants.get)
                )
            except (NotDurableError, SQLAlchemyError) as error:
                self.counts.left_to_file += 1
                log.warning("call_record_left_to_file", pbx=self._pbx, reason=one_line(error))
            else:
                self.counts.kept += added

    async def _follow(self, file: Path) -> None:
        cursor: Cursor | None = None
        known = faulty = False
        while True:
            try:
                if not known:
                    cursor = await self._database.read(lambda c: read_cursor(c, self._pbx))
                    known = True
                cursor = await self.catch_up(file, cursor)
            except (NotDurableError, SQLAlchemyError, TimeoutError, OSError) as error:
                if not faulty:
                    log.error("call_record_file_not_read", pbx=self._pbx, reason=one_line(error))
                known, faulty = False, True
            else:
                faulty = False
            await asyncio.sleep(POLL_S)

    async def catch_up(self, file: Path, cursor: Cursor | None) -> Cursor | None:
        """Reads all that is new in the file, those that were rotated away first."""
        done: set[int] = set()
        while True:
            place = file if cursor is None else await asyncio.to_thread(locate, file, cursor.inode)
            if place is not None and (piece := await asyncio.to_thread(read_piece, place, cursor)):
                await self._keep_piece(piece)
                cursor = piece.cursor
                continue
            if cursor is None or place == file:
                return cursor
            if place != await asyncio.to_thread(locate, file, cursor.inode):
                continue  # renamed again while it was opened
            further = await asyncio.to_thread(following, file, cursor.inode, done)
            if further is None:
                return cursor
            if place is None:
                log.warning("call_record_file_gone", pbx=self._pbx, position=cursor.position)
            done.add(cursor.inode)
            cursor = further

    async def _keep_piece(self, piece: Piece) -> None:
        records, faults = await asyncio.to_thread(_parse, piece.lines)

        def work(connection: Connection) -> int:
            added = sum(
                keep(connection, self._pbx, record, self._tenants.get) for record in records
            )
            write_cursor(connection, self._pbx, piece.cursor)
            return added

        self.counts.kept += await self._journal.write(work, timeout=30)
        for fault in faults:
            self._bad("file", fault)

    def _bad(self, source: str, reason: str) -> None:
        self.counts.bad += 1
        log.warning("call_record_unreadable", pbx=self._pbx, source=source, reason=reason)


def _parse(lines: Iterable[str]) -> tuple[list[CallRecord], list[str]]:
    """The records of the lines, and for each line that is none, why."""
    records, faults = [], []
    for line in lines:
        try:
            records.append(from_line(line))
        except RecordError as error:
            faults.append(str(error))
    return records, faults
