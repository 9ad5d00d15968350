"""What a tenant chose for its data classes: how long its records are kept, whether call records
are anonymised, what becomes of each class at the end of the contract. Synchronous, inside a
transaction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from callguard.audit.log import Entry, append
from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd
from callguard.retention.classes import CLASSES, SETTABLE
from callguard.storage.schema import tenant_retention, tenants
from callguard.tenants.lawful import check_span, notes
from callguard.tenants.stamp import touch
from callguard.tenants.tenant import TenantError, TenantSettings

LONGEST = Span(months=100 * 12)
"""No tenant keeps a record longer."""

ENDLESS = frozenset({"opt_out", "account"})
"""Classes that last as long as the contract, whatever anybody would choose."""

WITH_THE_CONTRACT = frozenset({"list"})
"""Classes that go with the contract itself, whatever anybody would choose."""

ANONYMISED = frozenset({"call_record"})
"""Classes of which figures can be left when the records go."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Of one class; None is what stands where nothing was chosen."""

    span: Span | None = None
    anonymise: bool = False
    at_end: AtEnd | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "span": None if self.span is None else str(self.span),
            "anonymise": self.anonymise,
            "at_end": None if self.at_end is None else self.at_end.as_json(),
        }


NOTHING = Chosen()


def chosen(connection: Connection, tenant_id: str) -> dict[str, Chosen]:
    """What a tenant chose, by class."""
    rows = connection.execute(
        select(tenant_retention).where(tenant_retention.c.tenant_id == tenant_id)
    )
    return {
        row.data_class: Chosen(
            None if row.span is None else Span.parse(row.span),
            bool(row.anonymise),
            None if row.at_end is None else AtEnd.parse(row.at_end),
        )
        for row in rows
    }


def standing(connection: Connection, tenant_id: str) -> Mapping[str, Span]:
    """How long a tenant chose to keep its records, by class."""
    return {
        name: one.span
        for name, one in chosen(connection, tenant_id).items()
        if one.span is not None
    }


def set_retention(
    connection: Connection,
    tenant_id: str,
    data_class: str,
    span: Span | None,
    *,
    at: datetime,
    actor: str,
    limits: Iterable[RetentionLimit] = (),
) -> tuple[str, ...]:
    """Sets how long a tenant's records of a class are kept, for records to come; None takes its
    choice away. Returns a line for each of ``limits`` that keeps some of them otherwise.

    Raises TenantError, also where the span crosses a limit on all of them.
    """
    _check_class(data_class)
    known = tuple(limits)
    settings = _settings(connection, tenant_id)
    if span is not None:
        if data_class in ENDLESS:
            raise TenantError(f"{data_class} is kept until the contract ends, no shorter or longer")
        if span.may_exceed(LONGEST):
            raise TenantError(f"{span} is longer than {LONGEST}")
        check_span(known, settings, data_class, span, at)
    before = chosen(connection, tenant_id).get(data_class, NOTHING)
    _keep(connection, tenant_id, data_class, before, replace(before, span=span), at, actor)
    counts = CLASSES[data_class].default if span is None else span
    return notes(known, settings, data_class, counts, at)


def set_anonymise(
    connection: Connection,
    tenant_id: str,
    data_class: str,
    anonymise: bool,
    *,
    at: datetime,
    actor: str,
) -> None:
    """Sets whether figures are left of the records of a class that go. Raises TenantError."""
    _check_class(data_class)
    if anonymise and data_class not in ANONYMISED:
        raise TenantError(f"{data_class} leaves no figures: only {', '.join(ANONYMISED)} does")
    before = chosen(connection, tenant_id).get(data_class, NOTHING)
    after = replace(before, anonymise=anonymise)
    _keep(connection, tenant_id, data_class, before, after, at, actor)


def set_at_end(
    connection: Connection,
    tenant_id: str,
    data_class: str,
    at_end: AtEnd | None,
    *,
    at: datetime,
    actor: str,
) -> None:
    """Sets what becomes of a class when the contract ends; None takes the choice away. Raises
    TenantError, also for what has no basis or no end."""
    _check_class(data_class)
    if at_end is not None:
        _check_end(data_class, at_end, at)
        try:
            at_end.check()
        except ValueError as error:
            raise TenantError(f"{data_class}: {error}") from error
    before = chosen(connection, tenant_id).get(data_class, NOTHING)
    after = replace(before, at_end=at_end)
    _keep(connection, tenant_id, data_class, before, after, at, actor)


def _check_class(data_class: str) -> None:
    if data_class not in SETTABLE:
        raise TenantError(f"{data_class!r} is no data class; known: {', '.join(SETTABLE)}")


def _check_end(data_class: str, at_end: AtEnd, at: datetime) -> None:
    if data_class in WITH_THE_CONTRACT:
        raise TenantError(f"{data_class} goes with the contract itself, no later")
    if at_end.after is not None and at_end.after.may_exceed(LONGEST):
        raise TenantError(f"{data_class}: {at_end.after} is longer than {LONGEST}")
    if at_end.until is not None and not at.date() <= at_end.until <= LONGEST.after(at).date():
        raise TenantError(f"{data_class}: {at_end.until} is over, or more than {LONGEST} away")


def _settings(connection: Connection, tenant_id: str) -> TenantSettings:
    found = connection.execute(
        select(tenants.c.settings).where(tenants.c.id == tenant_id)
    ).one_or_none()
    if found is None:
        raise TenantError(f"there is no tenant {tenant_id}")
    return TenantSettings.model_validate(found.settings)


def _keep(
    connection: Connection,
    tenant_id: str,
    data_class: str,
    before: Chosen,
    after: Chosen,
    at: datetime,
    actor: str,
) -> None:
    touch(connection, tenant_id, at)
    mine = (tenant_retention.c.tenant_id == tenant_id) & (
        tenant_retention.c.data_class == data_class
    )
    connection.execute(delete(tenant_retention).where(mine))
    if after != NOTHING:
        row = {"tenant_id": tenant_id, "data_class": data_class, **after.as_json()}
        connection.execute(insert(tenant_retention).values(row))
    details = {"class": data_class, "before": before.as_json(), "after": after.as_json()}
    append(connection, Entry(at, actor, "tenant.retention", tenant_id, tenant_id, details))
