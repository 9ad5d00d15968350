"""Which headers are wrapped for whom, and replacing them. Synchronous, inside a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from callguard.recording.recipients import digest_of
from callguard.storage.schema import recordings
from callguard.tenants.keys import read_keys
from callguard.tenants.tenant import TenantError


class RecipientsChanged(TenantError):  # noqa: N818 - says what happened
    """The headers at hand are for others than the tenant's present recipients."""


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """A header as it is stored. ``wrapped_file_key`` is there while its recording runs."""

    id: str
    header: bytes = field(repr=False)
    wrapped_file_key: bytes | None = field(repr=False)


def counts(connection: Connection, tenant: str) -> dict[str | None, int]:
    """How many recordings are wrapped for each set of recipients, as ``digest_of`` names it; None
    is of those from before callguard kept that."""
    groups = (
        select(recordings.c.keyed_for, func.count())
        .where(_with_header(tenant))
        .group_by(recordings.c.keyed_for)
    )
    return {row[0]: row[1] for row in connection.execute(groups)}


def _with_header(tenant: str) -> ColumnElement[bool]:
    return (recordings.c.tenant_id == tenant) & recordings.c.header.is_not(None)


def for_others(tenant: str, target: str) -> ColumnElement[bool]:
    other = recordings.c.keyed_for.is_(None) | (recordings.c.keyed_for != target)
    return _with_header(tenant) & other


def count_others(connection: Connection, tenant: str, target: str) -> int:
    others = select(func.count()).select_from(recordings).where(for_others(tenant, target))
    return connection.execute(others).scalar_one()


def sets_of_others(connection: Connection, tenant: str, target: str) -> list[str | None]:
    """The sets of recipients that headers are wrapped for and should not."""
    groups = select(recordings.c.keyed_for).where(for_others(tenant, target)).distinct()
    return list(connection.execute(groups).scalars())


def read_some(
    connection: Connection, tenant: str, keyed_for: str | None, after: str, limit: int
) -> list[HeaderRow]:
    group = _keyed(keyed_for)
    rows = connection.execute(
        select(recordings.c.id, recordings.c.header, recordings.c.wrapped_file_key)
        .where(_with_header(tenant), group, recordings.c.id > after)
        .order_by(recordings.c.id)
        .limit(limit)
    )
    return [HeaderRow(row.id, row.header, row.wrapped_file_key) for row in rows]


def read_any(connection: Connection, tenant: str, after: str, limit: int) -> list[HeaderRow]:
    """The tenant's headers behind the id ``after``, by id."""
    rows = connection.execute(
        select(recordings.c.id, recordings.c.header, recordings.c.wrapped_file_key)
        .where(_with_header(tenant), recordings.c.id > after)
        .order_by(recordings.c.id)
        .limit(limit)
    )
    return [HeaderRow(row.id, row.header, row.wrapped_file_key) for row in rows]


def _keyed(keyed_for: str | None) -> ColumnElement[bool]:
    column = recordings.c.keyed_for
    return column.is_(None) if keyed_for is None else column == keyed_for


_REPLACE = (
    update(recordings)
    .where(recordings.c.id == bindparam("its_id"), recordings.c.header == bindparam("was"))
    .values(header=bindparam("header"), keyed_for=bindparam("keyed_for"))
)


def replace_headers(
    connection: Connection, tenant: str, target: str, changed: Sequence[dict[str, object]]
) -> int:
    """How many were replaced: one that was erased, or rewritten by another, stays as it is."""
    check_still(connection, tenant, target)
    rows = [{**one, "keyed_for": target} for one in changed]
    return connection.execute(_REPLACE, rows).rowcount


def check_still(connection: Connection, tenant: str, target: str) -> None:
    """Raises RecipientsChanged where the headers made here are for others than the present ones."""
    if digest_of(read_keys(connection, tenant).present) != target:
        raise RecipientsChanged(f"the keys of {tenant} were changed meanwhile: rotate again")
