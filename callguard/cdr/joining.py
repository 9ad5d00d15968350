"""Rows of call records with what else is kept of their calls."""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, select

from callguard.cdr import q850
from callguard.cdr.columns import Told, masked
from callguard.storage.alive import time_seen
from callguard.storage.schema import calls, consents, recordings

_OF_CALL: Final = tuple(
    calls.c[name]
    for name in (
        *("id", "tenant_id", "verdict", "reasons", "expires_at"),
        *("direction", "purpose", "campaign", "agent"),
    )
)


def joined(
    connection: Connection, rows: Sequence[Row[Any]], now: datetime, hidden: Container[int]
) -> list[Told]:
    """Rows of ``call_records`` with the verdicts, recordings and consents of their calls, as far as
    these have not expired and are of the same tenant; masked where their ids are ``hidden``."""
    ids = {row.call_id for row in rows if row.call_id is not None}
    seen = time_seen(connection, now)
    decided: Mapping[_Key, Row[Any]] = {}
    recorded: Mapping[_Key, _States] = {}
    agreed: Mapping[_Key, _States] = {}
    if ids:
        asked = connection.execute(select(*_OF_CALL).where(calls.c.id.in_(ids)))
        decided = {(row.id, row.tenant_id): row for row in asked if _is_alive(row, seen)}
        recorded = _states(connection, recordings, ids, seen)
        agreed = _states(connection, consents, ids, seen)
    told = []
    for row in rows:
        key = (row.call_id, row.tenant_id)
        one = _told(row, decided.get(key), recorded.get(key, ()), agreed.get(key, ()))
        told.append(masked(one) if row.id in hidden else one)
    return told


_Key = tuple[str, str | None]
_States = Sequence[tuple[str, str]]


def _states(
    connection: Connection, table: Table, ids: set[str], seen: datetime
) -> Mapping[_Key, _States]:
    """Ids and states of what there is of each call and tenant, in the order of their making."""
    found: dict[_Key, list[tuple[str, str]]] = {}
    c = table.c
    asked = select(c.id, c.state, c.call_id, c.tenant_id, c.expires_at).where(c.call_id.in_(ids))
    for row in connection.execute(asked.order_by(c.id)):
        if _is_alive(row, seen):
            found.setdefault((row.call_id, row.tenant_id), []).append((row.id, row.state))
    return found


def _is_alive(row: Any, seen: datetime) -> bool:
    """As ``alive`` has it; asked of so many ids at once, SQLite would go through every row of the
    table that has no end yet."""
    return bool(row.expires_at is None or row.expires_at > seen)


def _told(row: Row[Any], call: Row[Any] | None, recorded: _States, agreed: _States) -> Told:
    """In the order of the columns."""
    return (
        row.tenant_id,
        row.pbx,
        row.call_id,
        row.linkedid,
        row.uniqueid,
        row.sequence,
        row.direction or (call and call.direction),
        row.purpose or (call and call.purpose),
        row.campaign or (call and call.campaign),
        row.agent or (call and call.agent),
        row.caller,
        row.called,
        row.own_number,
        row.routed_to,
        row.started_at,
        row.answered_at,
        row.ended_at,
        row.duration_s,
        row.billed_s,
        row.disposition,
        row.cause,
        q850.in_words(row.cause),
        row.account_code,
        call and call.verdict,
        tuple(map(_whole, call.reasons)) if call is not None else (),
        tuple(name for name, _ in recorded),
        tuple(state for _, state in recorded),
        tuple(name for name, _ in agreed),
        tuple(state for _, state in agreed),
        row.source,
    )


def _whole(text: object) -> str:
    """Text that came by JSON, which can hold halves of signs that no encoding takes."""
    return str(text).encode("utf-8", "replace").decode()
