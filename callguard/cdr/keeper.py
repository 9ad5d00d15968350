"""The keeper of call records: takes AMI's events at once and the file's lines as they come."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.ami.wire import Message
from callguard.cdr.erased import ErasedLinks
from callguard.cdr.family import Family
from callguard.cdr.lines import read_lines
from callguard.cdr.record import CallRecord, RecordError, from_event
from callguard.cdr.source import CallRecordSource
from callguard.cdr.store import House, Kept, keep, prepare
from callguard.cdr.tail import Cursor, Piece, Tail, read_cursor, write_cursor
from callguard.clock import Clock
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.tenants.directory import TenantDirectory

log = structlog.get_logger(__name__)

POLL_S = 0.5
READ_S = 30.0
"""Longest that reading or writing one piece may take; then it is tried again."""

WAITING = 10_000
"""Most AMI records waiting to be kept; beyond it they are left to the file."""

TOGETHER = 100
"""Most AMI records kept in one transaction."""


@dataclass(slots=True)
class KeeperCounts:
    """For the page and the metrics. ``too_old`` were past the end of their keeping when they were
    read, ``erased`` were of calls that somebody had erased: neither was entered."""

    kept: int = 0
    bad: int = 0
    left_to_file: int = 0
    too_old: int = 0
    erased: int = 0


class CallRecordKeeper:
    """Keeps the call records of one Asterisk."""

    def __init__(
        self,
        pbx: str,
        source: CallRecordSource,
        database: Database,
        journal: Journal,
        tenants: TenantDirectory,
        clock: Clock,
        home_region: str = "GB",
    ) -> None:
        self._pbx = pbx
        self._source = source
        self._tail = (
            Tail(Family(source.file, source.layout), backlog=source.backlog)
            if source.file is not None
            else None
        )
        self._database = database
        self._journal = journal
        self._tenants = tenants
        self._clock = clock
        self._home_region = home_region
        self._erased = ErasedLinks()
        self._events: asyncio.Queue[CallRecord] = asyncio.Queue(WAITING)
        self.counts = KeeperCounts()

    def take(self, event: Message) -> None:
        """Takes an AMI ``Cdr`` event; never waits."""
        try:
            self._events.put_nowait(from_event(dict(event.headers), self._source.zone))
        except RecordError as error:
            self._bad("ami", str(error))
        except asyncio.QueueFull:
            self.counts.left_to_file += 1

    async def run(self) -> None:
        """Keeps records for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_events())
            if self._tail is not None:
                group.create_task(self._follow(self._tail))

    async def _keep_events(self) -> None:
        while True:
            records = [await self._events.get()]
            while len(records) < TOGETHER and not self._events.empty():
                records.append(self._events.get_nowait())
            try:
                kept = await self._journal.write(partial(self._keep_told, records=records))
            except (NotDurableError, SQLAlchemyError) as error:
                self.counts.left_to_file += len(records)
                log.warning("call_record_left_to_file", pbx=self._pbx, reason=one_line(error))
            else:
                self._count(kept)

    async def _follow(self, tail: Tail) -> None:
        cursor: Cursor | None = None
        known = faulty = False
        try:
            while True:
                try:
                    if not known:
                        cursor = await self._database.read(lambda c: read_cursor(c, self._pbx))
                        known = True
                    cursor = await self.catch_up(cursor)
                except (NotDurableError, SQLAlchemyError, TimeoutError, OSError) as error:
                    if not faulty:
                        reason = one_line(error)
                        log.error("call_record_file_not_read", pbx=self._pbx, reason=reason)
                    known, faulty = False, True
                else:
                    faulty = False
                await asyncio.sleep(POLL_S)
        finally:
            tail.close()

    async def catch_up(self, cursor: Cursor | None) -> Cursor | None:
        """Reads all that is new in the file, those that were rotated away first. Raises OSError,
        NotDurableError."""
        tail = self._tail
        while tail is not None:
            piece = await asyncio.to_thread(tail.piece, cursor)
            if piece is None:
                break
            if piece.lines or piece.cursor != cursor:
                await self._keep_piece(piece)
            cursor = piece.cursor
        return cursor

    async def _keep_piece(self, piece: Piece) -> None:
        records, faults = await asyncio.to_thread(read_lines, piece.lines, self._source.layout)
        house = self._house()
        entries = await self._database.read(
            lambda connection: prepare(connection, self._pbx, records, house), timeout=READ_S
        )

        def work(connection: Connection) -> Kept:
            kept = keep(connection, self._pbx, entries, house, again=piece.again)
            write_cursor(connection, self._pbx, piece.cursor)
            return kept

        self._count(await self._journal.write(work, timeout=READ_S))
        for fault in faults:
            self._bad("file", fault)

    def _keep_told(self, connection: Connection, records: Sequence[CallRecord]) -> Kept:
        house = self._house()
        return keep(connection, self._pbx, prepare(connection, self._pbx, records, house), house)

    def _house(self) -> House:
        return House(self._tenants, self._home_region, self._clock.now(), self._erased)

    def _count(self, kept: Kept) -> None:
        self.counts.kept += kept.added
        self.counts.too_old += kept.too_old
        self.counts.erased += kept.erased

    def _bad(self, source: str, reason: str) -> None:
        self.counts.bad += 1
        log.warning("call_record_unreadable", pbx=self._pbx, source=source, reason=reason)
