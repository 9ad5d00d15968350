"""The dates of the rows of the ledger of consents, and what they are made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from callguard.consent.evidence import keep_of
from callguard.consent.given import GRANTED, WITHDRAWN, About, row_of
from callguard.ids import is_call_id, made_at
from callguard.retention.schedule import Keep, later
from callguard.storage.schema import calls, consents
from callguard.tenants.keeping import Concern, keeping_evidence
from callguard.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Date:
    """``sure`` is whether all is known that the law asks of the row; where it is not, the row may
    be kept longer than before and never shorter."""

    until: datetime | None
    sure: bool = True


def calls_of(connection: Connection, named: Iterable[str | None]) -> dict[str, Concern]:
    """Whom these calls are about, as far as their verdicts are still there."""
    ids = {call for call in named if call is not None}
    found = connection.execute(
        select(calls.c.id, calls.c.subject, calls.c.purpose, calls.c.direction).where(
            calls.c.id.in_(ids)
        )
    )
    return {row.id: Concern(row.subject, row.purpose or "", row.direction) for row in found}


def consent_dates(connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    known = calls_of(connection, (row.call_id for row in rows))
    entered = _given_in(connection, tenant, rows)
    given = [*(row for row in rows if row.call_id is None), *entered.values()]
    uses, withdrawn = _uses(connection, tenant, given), _withdrawals(connection, tenant, given)

    def of_given(row: Row[Any]) -> datetime | None:
        keep = keep_of(tenant, About(tenant.id, row.subject, row.purpose))
        until = _given(tenant, row, withdrawn.get((row.subject, row.purpose)), keep)
        return later(until, keep(uses[row.id])) if row.id in uses else until

    found = []
    for row in rows:
        if row.call_id is None:
            found.append(Date(of_given(row)))
            continue
        concern = known.get(row.call_id, Concern(row.subject))
        until = keeping_evidence(tenant, concern)(row.at)
        if row.id in entered:  # what was said in this call is the proof of that one
            until = later(until, of_given(entered[row.id]))
        found.append(Date(until, row.call_id in known))
    return found


def _given_in(
    connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]
) -> dict[str, Row[Any]]:
    """The consents that were given for further calls too, by the row of the call."""
    calls_ = {row.id: row for row in rows if row.call_id is not None and row.state == GRANTED}
    asked = select(consents).where(
        consents.c.tenant_id == tenant.id,
        consents.c.subject.in_({row.subject for row in calls_.values()}),
        consents.c.state == GRANTED,
        consents.c.call_id.is_(None),
    )
    found = {row_of(row.proof): row for row in connection.execute(asked)}
    return {key: row for key, row in found.items() if key is not None and key in calls_}


def _given(
    tenant: Tenant, row: Row[Any], withdrawn: datetime | None, keep: Keep
) -> datetime | None:
    """Of a consent that was given elsewhere: from when it is over; one that stands is kept."""
    if row.state != GRANTED:
        return keep(row.at)
    ends = [row.until] if row.until is not None else []
    ends += [withdrawn] if withdrawn is not None and withdrawn > row.at else []
    ends += [tenant.ended_at] if tenant.ended_at is not None else []
    if not ends:
        return None
    entered = made_at(row.id) if is_call_id(row.id) else row.at
    return keep(max(min(ends), entered))


def _uses(
    connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]
) -> Mapping[str, datetime]:
    """When calls last rested on these rows."""
    proofs = {f"consent:{row.id}": row.id for row in rows}
    subjects = {row.subject for row in rows}
    found = connection.execute(
        select(consents.c.proof, func.max(consents.c.at))
        .where(
            consents.c.tenant_id == tenant.id,
            consents.c.subject.in_(subjects),
            consents.c.proof.in_(proofs),
        )
        .group_by(consents.c.proof)
    )
    return {proofs[proof]: at for proof, at in found}


def _withdrawals(
    connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]
) -> Mapping[tuple[str, str], datetime]:
    """When each of these subjects last withdrew its consent to each purpose."""
    subjects = {row.subject for row in rows}
    found = connection.execute(
        select(consents.c.subject, consents.c.purpose, func.max(consents.c.at))
        .where(
            consents.c.tenant_id == tenant.id,
            consents.c.subject.in_(subjects),
            consents.c.state == WITHDRAWN,
            consents.c.call_id.is_(None),
        )
        .group_by(consents.c.subject, consents.c.purpose)
    )
    return {(row[0], row[1]): row[2] for row in found}
