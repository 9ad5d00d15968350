"""Who may see call records, and who saw whose: in the audit log before anybody does.

| Role | Of | May |
|---|---|---|
| operator | all tenants | see them and take them away |
| tenant_admin | its own tenant | see them and take them away |
| supervisor | its own tenant | see them |
| auditor | all tenants | see them |

Numbers are seen only for a reason, which is kept; without one they come masked, and nothing is
logged. Taking records away always needs a reason. Numbers of whoever has had processing restricted
come masked unless a ground is named too (``cdr.only_stored``). What has expired and is held is seen
by readers of all tenants alone, for a reason. Of a tenant whose contract has ended nobody sees any
more. The log names tenant, period and form, and no number nor anybody's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from callguard.audit.log import Entry, append
from callguard.cdr.columns import VERSION
from callguard.cdr.export.contract import Form
from callguard.cdr.export.export import Tally
from callguard.cdr.reading import Wanted
from callguard.ids import is_call_id, uuid7
from callguard.recording.playback.access import AccessError, Reader, Role, fault_of_reason
from callguard.recording.tombstones import not_remembering
from callguard.storage.alive import time_seen
from callguard.storage.schema import tenants

SEEN = "call_records.read"
EXPORT = "call_records.export"
EXPORTED = "call_records.exported"
NOT_EXPORTED = "call_records.not_exported"

_TAKING: tuple[Role, ...] = ("operator", "tenant_admin")


class UnknownErasuresError(RuntimeError):
    """No call record is read while it is not known what was erased."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Records that somebody is to see, and why."""

    reader: Reader
    wanted: Wanted
    reason: str = ""


def whose(reader: Reader, tenant: str | None) -> str | None:
    """Whose records are meant: of a reader of one tenant, that one's. Raises AccessError."""
    if tenant and not reader.may_see(tenant):
        raise AccessError(f"a reader of role {reader.role} sees its own tenant's")
    return tenant or reader.tenant


def check_reason(reason: str) -> None:
    """Raises AccessError where it is none."""
    if not any(map(str.isalnum, reason)):
        raise AccessError("seeing the numbers of call records, or exporting them, needs a reason")
    if fault := fault_of_reason(reason):
        raise AccessError(fault)


def check_taking(reader: Reader) -> None:
    """Raises AccessError where the role may not take records away."""
    if reader.role not in _TAKING:
        raise AccessError(f"a reader of role {reader.role} may not export call records")


def check_contract(connection: Connection, reader: Reader, now: datetime) -> None:
    """Raises AccessError for a reader of a tenant whose contract has ended: so has its access."""
    if reader.tenant is None:
        return
    asked = select(tenants.c.ends_at).where(tenants.c.id == reader.tenant)
    ends_at: datetime | None = connection.execute(asked).scalar()
    if ends_at is not None and ends_at <= time_seen(connection, now):
        raise AccessError(f"the contract of {reader.tenant} has ended")


def check_held(reader: Reader, wanted: Wanted, reason: str) -> None:
    """Raises AccessError where the reader may not see what has expired and is held."""
    if not wanted.held:
        return
    if not reader.sees_expired:
        raise AccessError(f"a reader of role {reader.role} sees nothing that has expired")
    if not reason:
        raise AccessError("seeing what has expired and is held needs a reason")


def check_memory(connection: Connection) -> None:
    """Raises UnknownErasuresError."""
    if (unknown := not_remembering(connection)) is not None:
        raise UnknownErasuresError(f"no call record is read while {unknown}")


def note_seen(connection: Connection, seen: Disclosure, now: datetime) -> None:
    """Writes down that somebody sees records with their numbers."""
    _log(connection, seen, SEEN, now, {})


def note_export(connection: Connection, taken: Disclosure, form: Form, now: datetime) -> str:
    """Writes down that records are about to be taken away, in a writing transaction; returns the
    id of the export. Nothing may leave before that is durable. Raises UnknownErasuresError."""
    check_memory(connection)
    name = str(uuid7(now))
    more = {
        "export": name,
        "format": form.format,
        "columns": VERSION,
        "masked": form.masked,
        "sealed": bool(form.recipients),
    }
    _log(connection, taken, EXPORT, now, more)
    return name


def note_exported(
    connection: Connection,
    taken: Disclosure,
    export: str,
    tally: Tally,
    now: datetime,
    fault: str | None = None,
) -> None:
    """Writes down what an export came to; with a ``fault`` it is not whole, and so much may have
    been taken."""
    more: dict[str, object] = {
        "export": export,
        "rows": tally.rows,
        "bytes": tally.size,
        "sha256": tally.sha256,
    }
    if tally.masked:
        more["only_stored"] = tally.masked
    if fault is not None:
        more["fault"] = fault[:500]
    _log(connection, taken, EXPORTED if fault is None else NOT_EXPORTED, now, more)


def _log(
    connection: Connection,
    what: Disclosure,
    action: str,
    now: datetime,
    more: Mapping[str, object],
) -> None:
    wanted, reader = what.wanted, what.reader
    details: dict[str, object] = {"role": reader.role, **more}
    if reader.tenant is not None:
        details["of"] = reader.tenant
    for name, at in (("since", wanted.since), ("until", wanted.until)):
        if at is not None:
            details[name] = at.isoformat()
    if wanted.by:
        details["by"] = wanted.by
    if is_call_id(wanted.call):
        details["call"] = wanted.call
    if wanted.held:
        details["held"] = True
    if wanted.ground is not None:
        details["ground"] = wanted.ground
    if what.reason:
        details["reason"] = what.reason
    target = f"call_records:{wanted.tenant or 'all'}"
    append(connection, Entry(now, reader.actor, action, target, wanted.tenant, details))
