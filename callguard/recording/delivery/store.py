"""The places of tenants in the database, and how a delivery stands. Synchronous; what changes them
is inside a writing transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from callguard.audit.log import Entry, append
from callguard.recording.delivery.attempt import place_of
from callguard.recording.delivery.due import OPEN
from callguard.recording.delivery.places import Place, PlaceError
from callguard.storage.alive import alive
from callguard.storage.schema import deliveries, recordings, tenant_places, tenant_recipients


def add(connection: Connection, place: Place, *, actor: str) -> None:
    """Adds a place; what is sealed from then on goes there. Raises PlaceError."""
    if _find(connection, place.tenant, place.name) is not None:
        raise PlaceError(f"{place.tenant} has a place {place.name} already")
    connection.execute(
        insert(tenant_places).values(
            tenant_id=place.tenant,
            name=place.name,
            kind=place.kind,
            settings=place.stored(),
            keep=place.keep,
            added_at=place.added_at,
        )
    )
    details = {"place": place.name, "kind": place.kind, "keep": place.keep}
    _log(connection, "place.add", place.tenant, place.added_at, actor, details)


def has_key_of_its_own(connection: Connection, tenant: str) -> bool:
    """Whether recordings are sealed for anybody who is not us."""
    whose = select(tenant_recipients.c.id).where(tenant_recipients.c.tenant_id == tenant)
    return connection.execute(whose.limit(1)).first() is not None


def remove(connection: Connection, tenant: str, name: str, *, at: datetime, actor: str) -> int:
    """Removes a place. What was still to go there does not; returns how many. Raises
    PlaceError."""
    where = (tenant_places.c.tenant_id == tenant) & (tenant_places.c.name == name)
    if not connection.execute(delete(tenant_places).where(where)).rowcount:
        raise PlaceError(f"{tenant} has no place {name}")
    there = (deliveries.c.tenant_id == tenant) & (deliveries.c.place == name)
    closed = connection.execute(
        update(deliveries)
        .where(there, deliveries.c.state.in_(OPEN))
        .values(state="closed", next_at=None, reason="the place was removed")
    ).rowcount
    connection.execute(update(deliveries).where(there).values(next_at=None))
    _log(connection, "place.remove", tenant, at, actor, {"place": name, "closed": closed})
    return closed


def get(connection: Connection, tenant: str, name: str) -> Place:
    """Raises PlaceError."""
    row = _find(connection, tenant, name)
    if row is None:
        raise PlaceError(f"{tenant} has no place {name}")
    return place_of(row)


def listed(connection: Connection, tenant: str | None) -> Sequence[Row[Any]]:
    """The rows of all places, or of a tenant's."""
    query = select(tenant_places).order_by(tenant_places.c.tenant_id, tenant_places.c.name)
    if tenant is not None:
        query = query.where(tenant_places.c.tenant_id == tenant)
    return connection.execute(query).all()


def standing(
    connection: Connection, tenant: str | None, now: datetime
) -> dict[tuple[str, str], dict[str, int]]:
    """How many recordings are on their way to each place, or arrived and were not confirmed, by
    tenant and name, and by state."""
    query = (
        select(
            deliveries.c.tenant_id,
            deliveries.c.place,
            deliveries.c.state,
            func.count().label("many"),
        )
        .where(deliveries.c.state.in_((*OPEN, "sent")), alive(deliveries, now))
        .group_by(deliveries.c.tenant_id, deliveries.c.place, deliveries.c.state)
    )
    if tenant is not None:
        query = query.where(deliveries.c.tenant_id == tenant)
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in connection.execute(query.order_by(deliveries.c.state)):
        found.setdefault((row.tenant_id, row.place), {})[row.state] = row.many
    return found


def of_recording(connection: Connection, recording: str, now: datetime) -> Sequence[Row[Any]]:
    """How its deliveries stand, of those that have not expired."""
    return connection.execute(
        select(deliveries)
        .where(
            deliveries.c.recording_id == recording,
            alive(deliveries, now),
        )
        .order_by(deliveries.c.place)
    ).all()


def retry(
    connection: Connection,
    *,
    recording: str | None,
    tenant: str | None,
    place: str | None,
    sent: bool,
    at: datetime,
    actor: str,
) -> int:
    """Makes what waits be tried now, and with ``sent`` also what was sent and not confirmed and is
    still here; returns how many."""
    states = (*OPEN, "sent") if sent else OPEN
    wanted: list[ColumnElement[bool]] = [deliveries.c.state.in_(states)]
    if recording is not None:
        wanted.append(deliveries.c.recording_id == recording)
    if tenant is not None:
        wanted.append(deliveries.c.tenant_id == tenant)
    if place is not None:
        wanted.append(deliveries.c.place == place)
    here = select(recordings.c.id).where(recordings.c.state == "sealed")
    count = connection.execute(
        update(deliveries)
        .where(*wanted, deliveries.c.recording_id.in_(here))
        .values(state="waiting", next_at=at)
    ).rowcount
    details: dict[str, object] = {"recording": recording, "place": place, "sent": sent}
    _log(connection, "delivery.retry", tenant, at, actor, {**details, "count": count})
    return count


def _find(connection: Connection, tenant: str, name: str) -> Row[Any] | None:
    return connection.execute(
        select(tenant_places).where(
            tenant_places.c.tenant_id == tenant, tenant_places.c.name == name
        )
    ).one_or_none()


def _log(
    connection: Connection,
    action: str,
    tenant: str | None,
    at: datetime,
    actor: str,
    details: dict[str, object],
) -> None:
    target = f"place:{details['place']}" if details.get("place") else "deliveries"
    append(connection, Entry(at, actor, action, target, tenant, details))
