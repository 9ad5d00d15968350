"""What the database knows of the erasure ledger: tombstones (rows of ``erasures``), the mark up to
which lines were applied, and a fault of the ledger, while which no recording is read.

Lines are applied in their order and the mark moves in the same transaction, so whatever stands
before the mark is erased here.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, delete, insert, select, update

from callguard.ids import uuid7
from callguard.recording.traces import MAY_STAY, forget_call_records, forget_calls, forget_rows
from callguard.retention.erasures.ledger import (
    ARCHIVE,
    BEGINNING,
    CALL,
    CALL_PART,
    CALL_RECORD,
    CONSENT,
    CONTACT,
    DELIVERED,
    RECORDING,
    TENANT,
    TENANT_KEY,
    Erasure,
    ErasureLedger,
    LedgerError,
    Line,
    Mark,
)
from callguard.storage.schema import (
    archives,
    consents,
    contacts,
    erasure_mark,
    erasures,
    recordings,
    tenant_keys,
    tenants,
    terminations,
)
from callguard.tenants.keys import fingerprint, touch

AT_ONCE = 500
"""Lines that are applied with one statement a table."""

WITH_PAYLOAD = (RECORDING, DELIVERED, ARCHIVE)
"""Classes of which something lies in the store, which goes after the line was applied."""


def known_mark(connection: Connection) -> Mark | None:
    """The place up to which the ledger was applied; None where there was none yet. Raises
    LedgerError while the ledger has a fault."""
    mark, fault = mark_and_fault(connection)
    if fault is not None:
        raise LedgerError(fault)
    return mark


def not_remembering(connection: Connection) -> str | None:
    """Before anything is read or sent that may have been erased: why that is not known, in one
    line; None where it is."""
    fault = mark_and_fault(connection)[1]
    return f"it is not known what was erased: {fault}" if fault is not None else None


def mark_and_fault(connection: Connection) -> tuple[Mark | None, str | None]:
    """The mark, and why the ledger is not trusted."""
    row = connection.execute(select(erasure_mark)).one_or_none()
    if row is None:
        return None, None
    mark = Mark(row.sequence, row.digest, row.position) if row.digest else None
    return mark, row.fault


def set_mark(connection: Connection, mark: Mark | None, fault: str | None = None) -> None:
    """Says up to where the ledger was applied, and its fault."""
    place = mark or Mark(0, "", 0)
    connection.execute(delete(erasure_mark))
    connection.execute(
        insert(erasure_mark).values(
            id=1,
            sequence=place.sequence,
            digest=place.digest,
            position=place.position,
            fault=fault,
        )
    )


def catch_up(connection: Connection, ledger: ErasureLedger) -> list[Erasure]:
    """Applies, in a writing transaction, every line behind the mark; what was new. Raises
    LedgerError."""
    mark = known_mark(connection)
    return apply_lines(connection, ledger.after(mark or BEGINNING))


def apply_lines(connection: Connection, lines: Iterable[Line]) -> list[Erasure]:
    """Applies lines that follow the mark, and moves it; what was new. Raises LedgerError."""
    new, newest = list[Erasure](), None
    for some in _batches(lines):
        new += _apply(connection, [line.erasure for line in some])
        newest = some[-1].mark
    if newest is not None:
        set_mark(connection, newest)
    return new


def are_tombstoned(connection: Connection, keys: Collection[tuple[str, str]]) -> bool:
    """Whether all of these (class, id) are erased as far as the database knows."""
    return not keys or len(_tombstoned(connection, keys)) == len(keys)


def _tombstoned(connection: Connection, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    ids = {object_id for _, object_id in keys}
    found = connection.execute(
        select(erasures.c.data_class, erasures.c.object_id).where(erasures.c.object_id.in_(ids))
    )
    return {(row.data_class, row.object_id) for row in found} & set(keys)


def forget(connection: Connection, erasures_: Sequence[Erasure]) -> None:
    """Does once more what lines do that were applied, to rows that came since; in a writing
    transaction."""
    for data_class, effect in _EFFECTS.items():
        if some := [one for one in erasures_ if one.data_class == data_class]:
            effect(connection, some)


def tombstoned(connection: Connection, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these (class, id) are erased as far as the database knows."""
    return _tombstoned(connection, keys)


def _apply(connection: Connection, wanted: Sequence[Erasure]) -> list[Erasure]:
    there = _tombstoned(connection, {erasure.key for erasure in wanted})
    new = list({erasure.key: erasure for erasure in wanted if erasure.key not in there}.values())
    for data_class in {erasure.data_class for erasure in wanted}:
        if data_class not in _EFFECTS:
            raise LedgerError(f"the erasure ledger names a class that is not known: {data_class}")
    for data_class, effect in _EFFECTS.items():
        some = [erasure for erasure in wanted if erasure.data_class == data_class]
        if some:
            effect(connection, some)
    if new:
        connection.execute(insert(erasures), [_tombstone(erasure) for erasure in new])
    return new


def _tombstone(erasure: Erasure) -> dict[str, object]:
    done: datetime | None = None if erasure.data_class in WITH_PAYLOAD else erasure.at
    return {
        "data_class": erasure.data_class,
        "object_id": erasure.object_id,
        "payload": erasure.payload,
        "at": erasure.at,
        "done_at": done,
    }


def _deliver(connection: Connection, some: Sequence[Erasure]) -> None:
    ids = [erasure.object_id for erasure in some]
    connection.execute(
        update(recordings)
        .where(recordings.c.id.in_(ids), recordings.c.state != "erasing")
        .values(state="delivered", header=None, wrapped_file_key=None)
    )


def _erase(connection: Connection, some: Sequence[Erasure]) -> None:
    ids = [erasure.object_id for erasure in some]
    connection.execute(
        update(recordings)
        .where(recordings.c.id.in_(ids))
        .values(state="erasing", header=None, wrapped_file_key=None)
    )


def _unseal(connection: Connection, some: Sequence[Erasure]) -> None:
    ids = [erasure.object_id for erasure in some]
    connection.execute(
        update(archives).where(archives.c.id.in_(ids)).values(state="erasing", header=None)
    )


def _forget_calls(connection: Connection, some: Sequence[Erasure]) -> None:
    forget_calls(connection, [erasure.object_id for erasure in some])


def _forget_parts(connection: Connection, some: Sequence[Erasure]) -> None:
    by_rest: dict[str, list[str]] = {}
    for erasure in some:
        call, _, rest = erasure.object_id.partition("/")
        by_rest.setdefault(rest, []).append(call)
    for rest, ids in by_rest.items():
        kept = frozenset(rest.split("+"))
        if not kept <= MAY_STAY:
            raise LedgerError(f"the erasure ledger names what is not known to stay: {rest}")
        forget_calls(connection, ids, kept)


def _forget_records(connection: Connection, some: Sequence[Erasure]) -> None:
    if bad := forget_call_records(connection, [erasure.object_id for erasure in some]):
        raise LedgerError(f"the erasure ledger names no call record: {bad}")


def _forget_consents(connection: Connection, some: Sequence[Erasure]) -> None:
    forget_rows(connection, consents, [erasure.object_id for erasure in some])


def _forget_contacts(connection: Connection, some: Sequence[Erasure]) -> None:
    forget_rows(connection, contacts, [erasure.object_id for erasure in some])


def _destroy(connection: Connection, some: Sequence[Erasure]) -> None:
    for erasure in some:
        tenant, version, public = _read_key_id(erasure.object_id)
        key = and_(tenant_keys.c.tenant_id == tenant, tenant_keys.c.version == version)
        recipient = connection.execute(select(tenant_keys.c.recipient).where(key)).scalar()
        if recipient is None or fingerprint(recipient) != public:
            continue  # made since, under a number that a restored database gave out again
        undone = tenant_keys.c.destroyed_at.is_(None) | tenant_keys.c.wrapped_identity.is_not(None)
        done = connection.execute(
            update(tenant_keys)
            .where(key, undone)
            .values(wrapped_identity=None, destroyed_at=erasure.at)
        )
        if done.rowcount:
            touch(connection, tenant, erasure.at)


def _end(connection: Connection, some: Sequence[Erasure]) -> None:
    """A contract that had ended, in a database that does not know it, ends again."""
    for erasure in some:
        ends_at = datetime.fromisoformat(erasure.payload) if erasure.payload else erasure.at
        mine = tenants.c.id == erasure.object_id
        known = select(terminations.c.id).where(
            terminations.c.tenant_id == erasure.object_id, terminations.c.state != "withdrawn"
        )
        there = connection.execute(select(tenants.c.id).where(mine)).first()
        if there is None or connection.execute(known).first() is not None:
            continue
        connection.execute(
            insert(terminations).values(
                id=str(uuid7(erasure.at)),
                tenant_id=erasure.object_id,
                ends_at=ends_at,
                choice="delete",
                state="planned",
                asked_at=erasure.at,
                actor="erasure ledger",
                steps={},
            )
        )
        connection.execute(update(tenants).where(mine).values(ends_at=ends_at))
        touch(connection, erasure.object_id, erasure.at)


def key_id(tenant: str, version: int, recipient: str) -> str:
    """How the ledger names one version of a tenant's identity."""
    return f"{tenant}/{version}/{fingerprint(recipient)}"


def _read_key_id(name: str) -> tuple[str, int, str]:
    rest, _, public = name.rpartition("/")
    tenant, _, version = rest.rpartition("/")
    if not tenant or not version.isdecimal():
        raise LedgerError(f"the erasure ledger names no tenant's key: {name}")
    return tenant, int(version), public


_EFFECTS: Mapping[str, Callable[[Connection, Sequence[Erasure]], None]] = {
    DELIVERED: _deliver,
    RECORDING: _erase,
    ARCHIVE: _unseal,
    CALL: _forget_calls,
    CALL_PART: _forget_parts,
    CALL_RECORD: _forget_records,
    CONSENT: _forget_consents,
    CONTACT: _forget_contacts,
    TENANT: _end,
    TENANT_KEY: _destroy,
}
"""In this order: a recording that was delivered and then erased is erased."""


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    rest = iter(lines)
    while some := list(itertools.islice(rest, AT_ONCE)):
        yield some
