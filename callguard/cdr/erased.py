"""Records of what was erased: neither they nor the legs that are linked to them are entered."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from callguard.cdr.record import CallRecord
from callguard.recording.late_rows import erased_calls, erased_records, forget_legs
from callguard.recording.traces import record_id

MOST = 10_000
"""Linked ids that are remembered: those of one conversation end within hours of each other."""


class HasRecord(Protocol):
    """An entry that is to be made."""

    @property
    def record(self) -> CallRecord: ...


E = TypeVar("E", bound=HasRecord)


class ErasedLinks:
    """The linked ids of erased calls of which a record came lately: a leg without a call id of its
    own may come in a later piece than its call."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], None] = {}

    def add(self, pbx: str, linkedids: Iterable[str]) -> None:
        for one in linkedids:
            self._known.pop((pbx, one), None)
            self._known[pbx, one] = None
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def among(self, pbx: str, linkedids: Iterable[str]) -> set[str]:
        return {one for one in linkedids if (pbx, one) in self._known}


def not_erased(
    connection: Connection, pbx: str, entries: Collection[E], links: ErasedLinks
) -> tuple[list[E], int]:
    """The entries of what nobody erased, and how many records are left out or, where they are legs
    that came before their call, taken away again; in a writing transaction."""
    records = [entry.record for entry in entries]
    gone = erased_calls(connection, {r.call_id for r in records if r.call_id is not None})
    alone = erased_records(connection, {name for r in records if (name := _name(pbx, r))})
    linked = {record.linkedid for record in records if record.call_id in gone}
    before = forget_legs(connection, pbx, linked) if linked else 0
    links.add(pbx, linked)
    linked |= links.among(pbx, {r.linkedid for r in records if r.call_id is None})
    staying = [
        entry
        for entry in entries
        if entry.record.call_id not in gone
        and _name(pbx, entry.record) not in alone
        and not (entry.record.call_id is None and entry.record.linkedid in linked)
    ]
    return staying, len(entries) - len(staying) + before


def _name(pbx: str, record: CallRecord) -> str:
    """How the erasure ledger names it; nothing of one without a sequence."""
    if record.sequence is None:
        return ""
    return record_id(pbx, record.uniqueid, record.sequence)
