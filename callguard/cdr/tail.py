"""Following the file of call records that Asterisk writes, and what was rotated away from it.

Rotation loses nothing, however often it comes between two looks: by renaming, by copying and
truncating (but for what Asterisk writes between logrotate's two steps), packed by gzip, xz or
bzip2 or not. What is behind a place is never read again, unless a file was put back to an older
state of itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import structlog
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from callguard.cdr.family import DAMAGED, Family, Head, Member, Moved, inode_of, up_to
from callguard.storage.schema import cdr_cursors

log = structlog.get_logger(__name__)

PIECE = 1 << 15
"""Most bytes read at once, and kept in one transaction, so that no verdict waits long for it. A
line longer than this is skipped and counted as bad."""

TOO_LONG = "a line too long to be a record"
_ALL = 1 << 40
_TRIES = 10
"""How often a file may be renamed while one looks; then it is looked for again later."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the files were read: the inode of the one that is being read, the byte after the
    last whole line, its first record, and up to where its lines may have been read before."""

    inode: int
    position: int
    head: Head | None = None
    again: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines read from a file, and where reading goes on after them; ``again`` is whether
    they may have been read before."""

    lines: tuple[str, ...]
    cursor: Cursor
    again: bool = False


def read_cursor(connection: Connection, pbx: str) -> Cursor | None:
    row = connection.execute(select(cdr_cursors).where(cdr_cursors.c.pbx == pbx)).one_or_none()
    if row is None:
        return None
    if not row.head:
        return Cursor(row.inode, row.position)
    *head, again = row.head.split(":")
    return Cursor(row.inode, row.position, Head.parse(":".join(head)), int(again))


def write_cursor(connection: Connection, pbx: str, cursor: Cursor) -> None:
    """In the transaction that keeps the records before it, so that neither is without the other."""
    head = None if cursor.head is None else f"{cursor.head}:{cursor.again}"
    values = {"pbx": pbx, "inode": cursor.inode, "position": cursor.position, "head": head}
    connection.execute(
        insert(cdr_cursors)
        .values(values)
        .on_conflict_do_update(index_elements=["pbx"], set_=values)
    )


class Tail:
    """Reads a family of files in the order of their writing. Blocking, for a thread."""

    def __init__(self, family: Family, *, backlog: bool = True) -> None:
        """``backlog`` is whether the first look also takes what was rotated away before it."""
        self._family = family
        self._backlog = backlog
        self._open: tuple[Member, BinaryIO] | None = None
        self._told: set[str] = set()

    def close(self) -> None:
        """Lets go of the packed file that is being read."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def piece(self, cursor: Cursor | None) -> Piece | None:
        """What comes next after ``cursor``; None where there is nothing. A piece without lines
        goes on elsewhere. Raises OSError."""
        self._tell_of_unreadable()
        for _ in range(_TRIES):
            try:
                return self._next(self._family.members(), cursor)
            except Moved:
                self._family.forget()  # renamed while it was looked at
        return None

    def _next(self, members: Sequence[Member], cursor: Cursor | None) -> Piece | None:
        copies = self._located(members, cursor) if cursor is not None else []
        if cursor is None or (not copies and cursor.head is None):
            return self._begin(members)
        here = copies[0] if copies else None
        for copy in copies:
            # Where one ends, another may go on; a shorter one is an older state of it.
            longer = copy is here or copy.packed or copy.size > cursor.position
            if longer and (piece := self._read(copy, cursor)) is not None:
                return piece
            if copy.path == self._family.path:
                return None
        # Of a file that is gone nobody knows what it had in common with the others; and where all
        # of one may have been read before, so may the next.
        again = here is None or cursor.position <= cursor.again
        following = self._following(members, cursor, again=again)
        if following is None:
            return None
        if here is None:
            log.warning("call_record_file_gone", position=cursor.position)
            return Piece((), following)
        # Once more: somebody may have written to it before the next one was begun.
        piece = self._read(here, cursor)
        return piece or Piece(self._torn(here, cursor), following, cursor.position < cursor.again)

    def _begin(self, members: Sequence[Member]) -> Piece | None:
        """The oldest of all files, or the one that is being written."""
        headed = [(head, m.packed, m) for m in members if (head := self._family.head(m))]
        if not self._backlog:
            headed = [one for one in headed if one[2].path == self._family.path]
        if not headed:
            return None
        head, _, member = min(headed, key=lambda one: one[:2])
        return Piece((), _start_of(member, head, again=True))

    def _located(self, members: Sequence[Member], cursor: Cursor) -> list[Member]:
        """Where the file of the cursor lies now: the same one first, then copies of it."""
        if cursor.head is None:
            same = (m for m in members if m.inode == cursor.inode)
            return [m for m in same if cursor.position <= m.size]
        copies = [m for m in members if self._family.head(m) == cursor.head]

        def unlikely(member: Member) -> tuple[bool, bool, bool]:
            short = not member.packed and member.size < cursor.position
            return member.inode != cursor.inode, short, member.packed

        return sorted(copies, key=unlikely)

    def _following(
        self, members: Sequence[Member], cursor: Cursor, *, again: bool
    ) -> Cursor | None:
        """The start of the file that was written after it."""
        live = next((m for m in members if m.path == self._family.path), None)
        newest = self._family.head(live) if live is not None else None
        between = [
            (head, m.packed, m)
            for m in members
            if (head := self._family.head(m)) and m != live and head != newest
            if cursor.head is None or head > cursor.head
        ]
        if between:
            head, _, member = min(between, key=lambda one: one[:2])
            return _start_of(member, head, again=again)
        if live is None or newest is None or newest == cursor.head:
            return None  # not begun yet
        older = cursor.head is not None and newest < cursor.head
        return _start_of(live, newest, again=older or again)

    def _read(self, member: Member, cursor: Cursor) -> Piece | None:
        """What came after ``cursor`` in that file; None where there is nothing. A line without its
        end is left for the next time. Raises Moved, OSError."""
        try:
            handle = self._handle(member)
        except FileNotFoundError as error:
            raise Moved from error
        try:
            return self._read_from(handle, member, cursor)
        except (OSError, *DAMAGED) as error:
            if not member.packed:
                raise
            self._tell("call_record_file_damaged", member.path.name, reason=type(error).__name__)
            return None
        finally:
            if not member.packed:
                handle.close()

    def _read_from(self, handle: BinaryIO, member: Member, cursor: Cursor) -> Piece | None:
        if inode_of(handle) != member.inode:
            raise Moved
        head = cursor.head
        if head is None or not member.packed:
            head = self._family.head_of(handle)
        if head is None:
            return None
        if cursor.head not in (None, head):
            raise Moved
        if not self._ends_a_line(handle, cursor.position, packed=member.packed):
            return Piece((), Cursor(member.inode, 0, head, _end_of(member)))
        handle.seek(cursor.position)
        data = up_to(handle, PIECE)
        end = data.rfind(b"\n") + 1
        lines: tuple[str, ...] = (TOO_LONG,)
        position = cursor.position + end
        if end == 0:
            position = _line_end(handle) if len(data) == PIECE else 0
            if position == 0:
                return Piece((), _at(cursor, member, head)) if cursor.head is None else None
        else:
            text = data[:end].decode("utf-8", errors="replace")
            lines = tuple(line for line in text.split("\n") if line.strip())
        after = Cursor(member.inode, position, head, cursor.again)
        return Piece(lines, after, cursor.position < cursor.again)

    def _ends_a_line(self, handle: BinaryIO, position: int, *, packed: bool) -> bool:
        """Whether a line ends there: if none does, the file was put back or written anew. A packed
        file was not, so it is not searched for that from its start again and again."""
        if position == 0 or packed:
            return True
        handle.seek(position - 1)
        return handle.read(1) == b"\n"

    def _torn(self, member: Member, cursor: Cursor) -> tuple[str, ...]:
        """The last line of a file that nobody will end any more."""
        self.close()
        try:
            with member.open() as handle:
                handle.seek(cursor.position)
                rest = up_to(handle, PIECE).decode("utf-8", errors="replace")
        except (OSError, *DAMAGED):
            return ()
        return (rest,) if rest.strip() else ()

    def _handle(self, member: Member) -> BinaryIO:
        """The file, open; a packed one stays so, since every look into its middle unpacks all that
        is before."""
        if self._open is not None and self._open[0] == member:
            return self._open[1]
        self.close()
        handle = member.open()
        if member.packed:
            self._open = (member, handle)
        return handle

    def _tell_of_unreadable(self) -> None:
        for path in self._family.sealed_away():
            self._tell("call_record_file_not_readable", path.name, reason="unknown compression")

    def _tell(self, event: str, name: str, reason: str) -> None:
        """Once for each file."""
        if name not in self._told:
            self._told.add(name)
            log.warning(event, file=name, reason=reason)


def _at(cursor: Cursor, member: Member, head: Head) -> Cursor:
    return Cursor(member.inode, cursor.position, head, cursor.again)


def _start_of(member: Member, head: Head, *, again: bool) -> Cursor:
    return Cursor(member.inode, 0, head, _end_of(member) if again else 0)


def _end_of(member: Member) -> int:
    """Behind its last whole line: one without its end was never read. Raises Moved, OSError."""
    if member.packed:
        return _ALL
    try:
        with member.open() as handle:
            handle.seek(max(0, member.size - PIECE))
            last = up_to(handle, min(member.size, PIECE))
    except FileNotFoundError as error:
        raise Moved from error
    return member.size - len(last) + last.rfind(b"\n") + 1


def _line_end(handle: BinaryIO) -> int:
    """The position after the line that the handle is in; 0 while it has no end."""
    while rest := handle.readline(PIECE):
        if rest.endswith(b"\n"):
            return handle.tell()
    return 0
