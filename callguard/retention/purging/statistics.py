"""Counts in place of call records, for a tenant that wants statistics and nothing else of a call.

What is kept must lead nobody back to a call. Each time records go, those of one tenant and day are
put into groups by direction, purpose, campaign and disposition. A group with fewer than
``SMALLEST`` people (however often one of them was called; all that are not known are one) loses
first its campaign, then its purpose, and then all that is said of it but that there were so many
calls. Billed time is a sum over such a group, in whole minutes, and of the last kind there is
none. Because the limit holds for what is added each time and not only for the sum, who compares two
copies of the database learns no more than from one.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from callguard.storage.schema import call_records, call_statistics, tenant_retention, tenants

SMALLEST = 5
"""People whose calls a group must have, so that no one of them can be told from the others."""

LONGEST_NAME = 128
_ADDRESS = re.compile(r"(?:\d[ ()./-]*){5,}|@")
"""A campaign that is named after a telephone number or a mail address says whom it was about."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What calls are counted by; "" is not said."""

    tenant: str
    day: date
    direction: str = ""
    purpose: str = ""
    campaign: str = ""
    disposition: str = ""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is counted of a call."""

    cell: Cell
    billed_s: int
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """Calls, and their billed time in seconds: whole minutes."""

    calls: int
    billed_s: int


def grouped(calls: Iterable[CallFacts]) -> dict[Cell, Count]:
    """Pure: the calls of one transaction, in groups that are large enough. Every call is counted
    exactly once."""
    found: dict[Cell, Count] = {}
    rest = list(calls)
    for coarser in (_named, _without_campaign, _without_purpose):
        groups: dict[Cell, list[CallFacts]] = defaultdict(list)
        for call in rest:
            groups[coarser(call.cell)].append(call)
        if coarser is _named:  # those without a campaign wait, to take in the small ones
            groups = {cell: some for cell, some in groups.items() if cell.campaign}
        large = {cell: some for cell, some in groups.items() if _is_large(some)}
        for cell, some in large.items():
            before = found.get(cell, Count(0, 0))
            minutes = round(sum(call.billed_s for call in some) / 60)
            found[cell] = Count(before.calls + len(some), before.billed_s + 60 * minutes)
        rest = [call for call in rest if coarser(call.cell) not in large]
    for cell, number in Counter(Cell(call.cell.tenant, call.cell.day) for call in rest).items():
        found[cell] = Count(number, 0)
    return found


def _is_large(some: Collection[CallFacts]) -> bool:
    return len({call.subject for call in some}) >= SMALLEST


def _named(cell: Cell) -> Cell:
    tells = len(cell.campaign) > LONGEST_NAME or _ADDRESS.search(cell.campaign)
    return _without_campaign(cell) if tells else cell


def _without_campaign(cell: Cell) -> Cell:
    return Cell(cell.tenant, cell.day, cell.direction, cell.purpose, "", cell.disposition)


def _without_purpose(cell: Cell) -> Cell:
    return Cell(cell.tenant, cell.day, cell.direction, "", "", cell.disposition)


def anonymising(connection: Connection) -> dict[str, tzinfo]:
    """The tenants whose call records become counts, and where their days are counted."""
    rows = connection.execute(
        select(tenants.c.id, tenants.c.settings)
        .join(tenant_retention, tenant_retention.c.tenant_id == tenants.c.id)
        .where(tenant_retention.c.data_class == "call_record", tenant_retention.c.anonymise)
    )
    return {row.id: _zone(row.settings) for row in rows}


def _zone(settings: object) -> tzinfo:
    name = settings.get("time_zone", "UTC") if isinstance(settings, dict) else "UTC"
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError):
        return UTC


def count(connection: Connection, ids: Collection[int], of: Mapping[str, tzinfo]) -> int:
    """In the transaction that deletes these call records: counts those of the tenants ``of``; how
    many."""
    own = call_records.c
    rows = connection.execute(
        select(
            own.tenant_id,
            own.started_at,
            own.direction,
            own.purpose,
            own.campaign,
            own.disposition,
            own.billed_s,
            own.subject,
        ).where(own.id.in_(ids), own.tenant_id.in_(of))
    ).all()
    calls = [
        CallFacts(
            Cell(
                row.tenant_id,
                _day(row.started_at, of[row.tenant_id]),
                row.direction or "",
                row.purpose or "",
                row.campaign or "",
                row.disposition,
            ),
            row.billed_s,
            row.subject or "",
        )
        for row in rows
    ]
    for cell, number in grouped(calls).items():
        _add(connection, cell, number)
    return len(calls)


def _day(moment: datetime, zone: tzinfo) -> date:
    try:
        return moment.astimezone(zone).date()
    except OverflowError:
        return moment.date()


def _add(connection: Connection, cell: Cell, number: Count) -> None:
    own = call_statistics.c
    new = insert(call_statistics).values(
        tenant_id=cell.tenant,
        day=cell.day,
        direction=cell.direction,
        purpose=cell.purpose,
        campaign=cell.campaign,
        disposition=cell.disposition,
        calls=number.calls,
        billed_s=number.billed_s,
    )
    connection.execute(
        new.on_conflict_do_update(
            index_elements=list(call_statistics.primary_key.columns),
            set_={"calls": own.calls + number.calls, "billed_s": own.billed_s + number.billed_s},
        )
    )
