"""May a recording go from here, because its tenant has it? Synchronous, inside a writing
transaction: what it finds and what follows stand or fall together."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from callguard.audit.log import Entry, append
from callguard.recording.delivery.attempt import ACTOR, LOOK_AGAIN, mark_of, why_only_stored
from callguard.recording.delivery.due import OPEN
from callguard.recording.delivery.parcel import said
from callguard.recording.recipients import digest_of
from callguard.retention.holds.covering import is_held
from callguard.storage.alive import time_seen
from callguard.storage.schema import deliveries, recordings, tenant_keys, tenant_places


@dataclass(frozen=True, slots=True)
class Given:
    """A recording that only its tenant is to have from now on."""

    recording: str
    tenant: str
    payload: str


def may_go(connection: Connection, recording: str, now: datetime) -> Given | None:
    """Whether every place that wishes nothing kept has shown that it holds the bytes that are here
    now and that another key than those held here opens, nothing is still on its way, and neither a
    hold nor a restriction keeps it. What keeps it is written into the rows; a place that holds
    another header is sent the present one."""
    row = connection.execute(
        select(recordings, is_held(recordings).label("held")).where(recordings.c.id == recording)
    ).one_or_none()
    if row is not None and row.state == "delivered":
        given(connection, Given(recording, row.tenant_id, row.payload), now)  # by who came before
        return None
    if row is None or row.state != "sealed" or _has_expired(row, time_seen(connection, now)):
        _look(connection, recording, None, None)
        return None
    there = {
        one.name: one
        for one in connection.execute(
            select(
                tenant_places.c.name,
                tenant_places.c.keep,
                tenant_places.c.kind,
                tenant_places.c.settings,
                tenant_places.c.added_at,
                deliveries,
            )
            .outerjoin(
                deliveries,
                (deliveries.c.recording_id == recording)
                & (deliveries.c.place == tenant_places.c.name)
                & (deliveries.c.begun_at >= tenant_places.c.added_at),
            )
            .where(
                tenant_places.c.tenant_id == row.tenant_id,
                tenant_places.c.added_at <= row.sealed_at,
            )
        )
    }
    if all(one.keep for one in there.values()):
        _look(connection, recording, None, None)
        return None
    older = [n for n, one in there.items() if not one.keep and _holds_other_header(one, row)]
    for name in older:
        _send_again(connection, recording, name, max(now, there[name].begun_at), now)
    reason = _what_keeps_it(row, there, older) or _who_keeps_it(connection, row)
    if reason is not None:
        _look(connection, recording, reason, now + LOOK_AGAIN)
        return None
    return Given(recording, row.tenant_id, row.payload)


def _has_expired(row: Row[Any], now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _what_keeps_it(row: Row[Any], there: Mapping[str, Row[Any]], older: list[str]) -> str | None:
    for name, one in sorted(there.items()):
        if name in older:
            return f"kept: {name} has it with an older header, and is sent the new one"
        if one.state is None or one.state in OPEN:
            return f"kept: {name} does not have it yet"
        if one.keep:
            continue
        if one.state != "confirmed":
            return f"kept: {name} has not confirmed it"
        if not _is_of_these_bytes(one, row):
            return f"kept: {name} confirmed other bytes than those here"
        if (one.proof or {}).get("place") != mark_of(one):
            return f"kept: another place that was called {name} has it"
    return None


def _who_keeps_it(connection: Connection, row: Row[Any]) -> str | None:
    if row.held:
        return "kept: a hold stands"
    if (only_stored := why_only_stored(connection, row)) is not None:
        return f"kept: {only_stored}"
    own = select(tenant_keys.c.recipient).where(tenant_keys.c.tenant_id == row.tenant_id)
    held_here = {digest_of([one]) for one in connection.execute(own).scalars()}
    if row.keyed_for is None or row.keyed_for in held_here:
        return "kept: the tenant has no key that opens it, only callguard does"
    return None


def _is_of_these_bytes(delivery: Row[Any], row: Row[Any]) -> bool:
    proof = delivery.proof or {}
    return (
        delivery.bytes == len(row.header) + row.sealed_bytes
        and hmac.compare_digest(str(proof.get("payload_sha256")), str(row.payload_sha256))
        and hmac.compare_digest(str(proof.get("header_sha256")), _digest(row.header))
    )


def _holds_other_header(delivery: Row[Any], row: Row[Any]) -> bool:
    return delivery.state == "confirmed" and (delivery.proof or {}).get("header_sha256") != _digest(
        row.header
    )


def _digest(header: bytes) -> str:
    return hashlib.sha256(header).hexdigest()


def _send_again(
    connection: Connection, recording: str, place: str, begun_at: datetime, now: datetime
) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.recording_id == recording, deliveries.c.place == place)
        .values(
            state="waiting", attempts=0, begun_at=begun_at, next_at=now, reason="a newer header"
        )
    )


def _look(
    connection: Connection, recording: str, reason: str | None, next_at: datetime | None
) -> bool:
    """When those that wish nothing kept are looked at again; None is never. Whether there are
    any."""
    found = connection.execute(
        update(deliveries)
        .where(
            deliveries.c.recording_id == recording,
            deliveries.c.state == "confirmed",
            deliveries.c.next_at.is_not(None),
        )
        .values(next_at=next_at, reason=reason)
    )
    return bool(found.rowcount)


def keep_for_now(connection: Connection, recording: str, reason: str, until: datetime) -> None:
    """It could have gone, and something failed."""
    _look(connection, recording, said(reason), until)


def given(connection: Connection, one: Given, now: datetime) -> None:
    """Writes down that it went, once; in the transaction in which its header goes."""
    if not _look(connection, one.recording, None, None):
        return
    target = f"recording:{one.recording}"
    append(connection, Entry(now, ACTOR, "recording.give_away", target, one.tenant, {}))
