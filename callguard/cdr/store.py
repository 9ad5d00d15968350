"""Keeping call records: the union of both sources, each record once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from callguard.cdr.erased import ErasedLinks, not_erased
from callguard.cdr.lateness import Key, completed, enter_hidden, over_at
from callguard.cdr.linked import join_linked
from callguard.cdr.record import CallRecord
from callguard.cdr.unnumbered import Twins
from callguard.cdr.whose import Owner, Values, as_values, of_record
from callguard.contacts.exchange import exchanged
from callguard.storage.alive import time_seen
from callguard.storage.schema import call_records, calls, contacts
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class House:
    """What a record is judged by: the tenants, where numbers without a country belong, the time,
    and what was erased of late."""

    tenants: TenantDirectory
    home_region: str
    now: datetime
    erased: ErasedLinks = field(default_factory=ErasedLinks)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of some records: added, past the end of their keeping, or of erased calls. The
    rest was known."""

    added: int = 0
    too_old: int = 0
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, whose it is, and its row; of one without a sequence that is still to come."""

    record: CallRecord
    owner: Owner
    values: Values


def prepare(
    connection: Connection, pbx: str, records: Sequence[CallRecord], house: House
) -> list[Entry]:
    """What the records would be entered as. Only reads, so that the writing is short."""
    verdicts = _verdicts(connection, records)
    found = []
    for record in records:
        owner = of_record(record, verdicts, house.tenants, house.home_region)
        found.append(Entry(record, owner, as_values(pbx, record, owner)))
    return found


def keep(
    connection: Connection,
    pbx: str,
    entries: Sequence[Entry],
    house: House,
    *,
    again: bool = False,
) -> Kept:
    """Adds the records, or completes those that are there, in a writing transaction.

    What the file says replaces what AMI said, never the other way round: the file has exact
    times in UTC, AMI whole seconds in Asterisk's own time zone. ``again`` is whether these lines
    may have been read before, which only matters where they have no sequence.
    """
    staying, erased = not_erased(connection, pbx, entries, house.erased)
    known = _known(connection, pbx, [entry.record for entry in staying])
    twins = Twins(known, again=again)
    seen = time_seen(connection, house.now) if known else house.now
    sources = {(row.uniqueid, row.sequence): (row, row.source) for row in known}
    new: dict[Key, Entry] = {}
    over: dict[Key, Values] = {}
    better: dict[int, Values] = {}
    for entry in staying:
        record = entry.record
        if record.sequence is None:
            found = twins.of_line(record)
            if isinstance(found, Row):
                better[found.id] = {"source": "file"}
            if not isinstance(found, int):
                continue
            key = (record.uniqueid, found)
        else:
            key = (record.uniqueid, record.sequence)
            if key not in sources and (line := twins.of_event(record)) is not None:
                told: Values = {"sequence": record.sequence, "linkedid": record.linkedid}
                if record.source == "file":
                    told = completed(line, entry.values, entry.owner, seen)
                better[line.id] = told
                sources[key] = (line, "file")
                continue
        there = sources.get(key)
        if there is not None and (there[1] == "file" or record.source == "ami"):
            continue
        if key in new and new[key].record.source == "file":
            continue
        values = entry.values | {"sequence": key[1]}
        if there is not None:
            better[there[0].id] = completed(there[0], values, entry.owner, seen)
            continue
        until = over_at(record, entry.owner, values["expires_at"], house.tenants)
        if until is not None and until <= house.now:
            over[key] = values | {"expires_at": until}
        else:
            new[key] = Entry(record, entry.owner, values | {"expires_at": until})
    if new:
        connection.execute(insert(call_records), [entry.values for entry in new.values()])
    hidden = enter_hidden(connection, pbx, over, house.now)
    _complete(connection, better)
    linkedids = {entry.record.linkedid for entry in staying}
    join_linked(connection, pbx, linkedids, house.tenants, house.now)
    _tell_contacts(connection, new.values())
    return Kept(len(new) + hidden, len(over) - hidden, erased)


def _verdicts(connection: Connection, records: Iterable[CallRecord]) -> dict[str, Row[Any]]:
    ids = {record.call_id for record in records if record.call_id is not None}
    if not ids:
        return {}
    columns = ("id", "tenant_id", "direction", "purpose", "campaign", "agent", "subject")
    asked = select(*(calls.c[name] for name in (*columns, "caller", "called")))
    return {row.id: row for row in connection.execute(asked.where(calls.c.id.in_(ids)))}


def _known(connection: Connection, pbx: str, records: Collection[CallRecord]) -> Sequence[Row[Any]]:
    """The rows of the same channels."""
    if not records:
        return []
    asked = select(call_records).where(
        call_records.c.pbx == pbx,
        call_records.c.uniqueid.in_({record.uniqueid for record in records}),
    )
    return connection.execute(asked).all()


def _complete(connection: Connection, better: dict[int, Values]) -> None:
    """Enters what is known better now; of whole rows, with one statement."""
    whole = [
        {f"new_{name}": value for name, value in values.items()} | {"row": number}
        for number, values in better.items()
        if "pbx" in values
    ]
    if whole:
        names = [name.removeprefix("new_") for name in whole[0] if name != "row"]
        changed = update(call_records).where(call_records.c.id == bindparam("row"))
        connection.execute(changed.values({n: bindparam(f"new_{n}") for n in names}), whole)
    for number, values in better.items():
        if "pbx" not in values:
            one = update(call_records).where(call_records.c.id == number)
            connection.execute(one.values(**values))


def _tell_contacts(connection: Connection, added: Iterable[Entry]) -> None:
    """A call that was answered is an exchange with whom it was about."""
    last: dict[tuple[str, str], tuple[Tenant, datetime]] = {}
    for entry in added:
        owner, record = entry.owner, entry.record
        if record.answered_at is None or owner.tenant is None or owner.subject is None:
            continue
        key = (owner.tenant.id, owner.subject)
        if key not in last or last[key][1] < record.ended_at:
            last[key] = (owner.tenant, record.ended_at)
    if not last:
        return
    known = select(contacts.c.tenant_id, contacts.c.subject).where(
        contacts.c.tenant_id.in_({tenant for tenant, _ in last}),
        contacts.c.subject.in_({subject for _, subject in last}),
    )
    for tenant_id, subject in connection.execute(known).all():
        if (tenant_id, subject) in last:
            tenant, at = last[tenant_id, subject]
            exchanged(connection, tenant, subject, at)
