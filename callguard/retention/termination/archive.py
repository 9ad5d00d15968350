"""Sealed archives: what a law wants kept of records that are gone, and nobody reads for anything
else.

An archive is an age file of JSON Lines. Its header lies in the database, with one stanza in which
the file key is wrapped by the master key or the KMS; its payload lies in the object store. Once
the row is gone no copy of the payload can be opened.

    header, row `sealing` durable -> payload in the store -> row `marking` -> the records it holds
    hidden, a few at a time -> row `sealed`

What a crash leaves in `sealing` is taken away and made anew; what it leaves in `marking` is read,
for it says which records it holds.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from callguard.recording import age
from callguard.recording.age_header import Stanza, encode_header
from callguard.recording.keys import KeyWrapper, UnwrapError
from callguard.recording.playback.ranges import Payload
from callguard.recording.store.objects import ObjectStore
from callguard.recording.tombstones import not_remembering
from callguard.retention.termination.plan import Fate
from callguard.retention.termination.sources import Key, Record
from callguard.storage.schema import archives

STANZA = "callguard-archive"
"""The type of the stanza; its argument is the archive's id, its body the wrapped file key."""

MOST_ROWS = 20_000
"""Most records in one archive, and in memory while it is made."""


class ArchiveError(LookupError):
    """An archive that cannot be read; one line that says why."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What one archive holds: records of a class that one basis keeps, cut down to the same
    fields, and whose times end on the same day. So none of them stays a day longer than it
    must."""

    data_class: str
    basis: str
    fields: tuple[str, ...]
    day: date

    @classmethod
    def of(cls, data_class: str, what: Fate) -> "Sort":
        assert what.until is not None
        return cls(data_class, what.basis, what.fields, what.until.date())


@dataclass(frozen=True, slots=True)
class Sealed:
    """An archive that is made: ``pieces`` are its payload, ``header`` what opens it."""

    header: bytes
    payload: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.payload))

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self.payload:
            digest.update(piece)
        return digest.hexdigest()


def line_of(record: Record, fields: tuple[str, ...]) -> bytes:
    """One record as it lies in an archive: its key, so that it is found, and these fields."""
    values = record.values
    wanted = fields or tuple(
        name
        for name in values
        if name not in ("is_held", "tenant_id", "expires_at")
        and not isinstance(values[name], bytes)
    )
    kept = {name: values[name] for name in wanted if name in values}
    return as_line({"key": list(record.key), "fields": kept})


def as_line(value: Mapping[str, object]) -> bytes:
    """One line of JSON; instants as ISO 8601."""
    return json.dumps(value, ensure_ascii=False, default=_plain).encode() + b"\n"


def seal(lines: Iterable[bytes], archive: str, wrapper: KeyWrapper) -> Sealed:
    """Seals the lines. May ask a KMS: not on the event loop. Raises KeyStoreError."""
    key, nonce = age.new_file_key(), age.new_nonce()
    header = _header(archive, key, wrapper)
    return Sealed(header, (nonce, *_chunks(lines, age.PayloadSealer(key, nonce))))


def opened(row: Row[Any], store: ObjectStore, wrapper: KeyWrapper) -> Iterator[dict[str, Any]]:
    """The records of an archive. May ask a KMS: not on the event loop. Raises ArchiveError,
    KeyStoreError, AgeError, ObjectStoreError."""
    key = _file_key(row, wrapper)
    payload = Payload(store, row.payload, row.sealed_bytes, row.payload_sha256)
    opener = age.PayloadOpener(key, payload.read(0, age.NONCE_SIZE))
    rest = b""
    for index in range(age.chunk_count(payload.size)):
        span = age.chunk_span(index, payload.size)
        with memoryview(payload.read(span.offset, span.size)) as chunk:
            rest += opener.open_chunk(index, chunk, last=span.last)
        *whole, rest = rest.split(b"\n")
        yield from map(json.loads, whole)


def rewrapped(row: Row[Any], wrapper: KeyWrapper) -> bytes | None:
    """The header with its key wrapped by the present master key or KMS; None where it is so
    already. May ask a KMS. Raises ArchiveError, KeyStoreError, AgeError."""
    if wrapper.made(_stanza(row)[1].body):
        return None
    key = _file_key(row, wrapper)
    return _header(row.id, key, wrapper)


def keys_of(row: Row[Any], store: ObjectStore, wrapper: KeyWrapper) -> list[Key]:
    """The keys of the records in an archive; see ``opened``."""
    return [tuple(map(_revived, one["key"])) for one in opened(row, store, wrapper)]


def begin(
    connection: Connection,
    archive: str,
    tenant: str,
    sort: Sort,
    made: Sealed,
    rows: int,
    *,
    at: datetime,
    until: datetime,
) -> None:
    """Its header is durable before its payload is anywhere."""
    connection.execute(
        insert(archives).values(
            id=archive,
            tenant_id=tenant,
            data_class=sort.data_class,
            state="sealing",
            basis=sort.basis,
            rows=rows,
            header=made.header,
            payload=archive,
            sealed_bytes=made.size,
            payload_sha256=made.sha256,
            at=at,
            expires_at=until,
        )
    )


def unfinished(connection: Connection, tenant: str) -> list[Row[Any]]:
    """What a crash left half made."""
    rows = connection.execute(
        select(archives).where(
            archives.c.tenant_id == tenant, archives.c.state.in_(("sealing", "marking"))
        )
    )
    return list(rows)


def give_up(connection: Connection, archive: str) -> None:
    """Takes the row of one that was never stored."""
    never = (archives.c.id == archive) & (archives.c.state == "sealing")
    connection.execute(delete(archives).where(never))


def enter(connection: Connection, archive: str, state: str) -> None:
    """Moves it on, unless it is erased meanwhile."""
    connection.execute(
        update(archives)
        .where(archives.c.id == archive, archives.c.state.in_(("sealing", "marking")))
        .values(state=state)
    )


def whole(connection: Connection) -> list[Row[Any]]:
    """All that are sealed, and can be opened."""
    openable = (archives.c.state == "sealed") & archives.c.header.is_not(None)
    return list(connection.execute(select(archives).where(openable)))


def set_header(connection: Connection, row: Row[Any], header: bytes) -> None:
    """In place of the one that was read, and of no other."""
    as_read = (archives.c.id == row.id) & (archives.c.header == row.header)
    connection.execute(update(archives).where(as_read).values(header=header))


def listed(connection: Connection, now: datetime, tenant: str | None = None) -> list[Row[Any]]:
    """The archives whose time is not over."""
    query = select(archives).where(archives.c.state == "sealed", archives.c.expires_at > now)
    if tenant is not None:
        query = query.where(archives.c.tenant_id == tenant)
    return list(connection.execute(query.order_by(archives.c.expires_at, archives.c.id)))


def find(connection: Connection, archive: str, now: datetime) -> Row[Any]:
    """An archive that may be opened. Raises ArchiveError."""
    if (forgetful := not_remembering(connection)) is not None:
        raise ArchiveError(f"no archive is opened while {forgetful}")
    row = connection.execute(
        select(archives).where(
            archives.c.id == archive,
            or_(archives.c.state == "sealed", archives.c.state == "marking"),
            archives.c.expires_at > now,
        )
    ).one_or_none()
    if row is None:
        raise ArchiveError(f"there is no archive {archive}")
    return row


def _header(archive: str, key: bytes, wrapper: KeyWrapper) -> bytes:
    wrapped = wrapper.wrap(key, _context(archive))
    return encode_header(key, (Stanza(STANZA, (archive,), wrapped),))


def _stanza(row: Row[Any]) -> tuple[age.Header, Stanza]:
    if row.header is None or row.payload is None or row.sealed_bytes is None:
        raise ArchiveError(f"archive {row.id} has been erased")
    header = age.parse_header(row.header)
    stanza = next((one for one in header.stanzas if one.type == STANZA), None)
    if stanza is None or stanza.arguments != (row.id,):
        raise ArchiveError(f"archive {row.id} cannot be opened: its header is another's")
    return header, stanza


def _file_key(row: Row[Any], wrapper: KeyWrapper) -> bytes:
    header, stanza = _stanza(row)
    key = wrapper.unwrap(stanza.body, _context(row.id))
    if len(key) != age.FILE_KEY_SIZE:
        raise UnwrapError("the wrapped key is not a file key")
    header.verify(key)
    return key


def _chunks(lines: Iterable[bytes], sealer: age.PayloadSealer) -> Iterator[bytes]:
    held = bytearray()
    for line in lines:
        held += line
        while len(held) > age.CHUNK_SIZE:  # a full chunk is not the last while a byte follows it
            yield sealer.seal_chunk(bytes(held[: age.CHUNK_SIZE]), last=False)
            del held[: age.CHUNK_SIZE]
    yield sealer.seal_chunk(bytes(held), last=True)


def _context(archive: str) -> bytes:
    return f"archive\x00{archive}".encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not written as JSON")


def _revived(part: Any) -> Any:
    if isinstance(part, str) and len(part) >= 20 and part[10:11] == "T":
        try:
            return datetime.fromisoformat(part)
        except ValueError:
            return part
    return part
