"""Asking for the end of a contract, withdrawing it until its day, and how far it has come.
Synchronous; what changes something is inside a writing transaction.

A termination goes through these states, each durable before the next begins:

    planned -> ended -> returned -> cleared -> waiting -> finished
       \\-> withdrawn
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Row, insert, select, update

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.storage.schema import tenants, terminations
from callguard.tenants.stamp import touch
from callguard.tenants.tenant import Tenant, TenantError

Choice = Literal["return", "delete"]
State = Literal["planned", "ended", "returned", "cleared", "waiting", "finished", "withdrawn"]
OVER = ("finished", "withdrawn")
"""States in which nothing more happens."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a contract is to end. ``recipient`` is an age public key for which the package is
    sealed, ``plain`` whether recordings are in it as audio, ``confirm`` whether nothing goes
    before its receipt is confirmed, or its time is over."""

    tenant: str
    ends_at: datetime
    choice: Choice = "delete"
    recipient: str = ""
    plain: bool = False
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class Termination:
    """One termination, as it is stored. ``steps`` says what was done so far."""

    id: str
    tenant: str
    ends_at: datetime
    choice: str
    state: str
    asked_at: datetime
    actor: str
    steps: Mapping[str, object] = field(repr=False)
    finished_at: datetime | None = None
    certificate: Mapping[str, object] | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "tenant": self.tenant,
            "ends_at": self.ends_at.isoformat(),
            "choice": self.choice,
            "state": self.state,
            "asked_at": self.asked_at.isoformat(),
            "actor": self.actor,
            "steps": dict(self.steps),
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "certificate": dict(self.certificate) if self.certificate else None,
        }


def ask(connection: Connection, wanted: Wanted, *, at: datetime, actor: str) -> Termination:
    """Plans the end; from its instant on the tenant's access is over, whoever carries out the
    rest. Raises TenantError where there is no such tenant, or its end is asked for already."""
    found = latest(connection, wanted.tenant)
    if found is not None and found.state == "finished":
        raise TenantError(f"the contract of {wanted.tenant} ended for good on {_day(found)}")
    if found is not None and found.state != "withdrawn":
        raise TenantError(f"the contract of {wanted.tenant} ends on {_day(found)} already")
    if (
        connection.execute(select(tenants.c.id).where(tenants.c.id == wanted.tenant)).first()
        is None
    ):
        raise TenantError(f"there is no tenant {wanted.tenant}")
    steps = {
        "recipient": wanted.recipient,
        "plain": wanted.plain,
        "confirm": wanted.confirm,
    }
    made = Termination(
        str(uuid7(at)), wanted.tenant, wanted.ends_at, wanted.choice, "planned", at, actor, steps
    )
    connection.execute(
        insert(terminations).values(
            id=made.id,
            tenant_id=made.tenant,
            ends_at=made.ends_at,
            choice=made.choice,
            state=made.state,
            asked_at=at,
            actor=actor,
            steps=steps,
        )
    )
    _end_at(connection, wanted.tenant, wanted.ends_at, at)
    details = {"ends_at": wanted.ends_at.isoformat(), "choice": wanted.choice}
    _log(connection, made, "tenant.terminate", at, actor, details)
    return made


def withdraw(connection: Connection, tenant: str, *, at: datetime, actor: str) -> Termination:
    """The contract goes on. Raises TenantError where nothing is planned, or the day has come."""
    found = latest(connection, tenant)
    if found is None or found.state in OVER:
        raise TenantError(f"no end of the contract of {tenant} is planned")
    if found.state != "planned" or found.ends_at <= at:
        raise TenantError(f"the contract of {tenant} ended on {_day(found)}: it is not withdrawn")
    note(connection, found, "withdrawn")
    _end_at(connection, tenant, None, at)
    _log(connection, found, "tenant.terminate.withdraw", at, actor, {})
    return found


def confirm(connection: Connection, tenant: str, *, at: datetime, actor: str) -> Termination:
    """The tenant has its package. Raises TenantError where none was made."""
    found = latest(connection, tenant)
    if found is None or found.choice != "return" or found.state in ("planned", "ended", *OVER):
        raise TenantError(f"no package of {tenant} waits for its receipt")
    note(connection, found, found.state, confirmed_at=at.isoformat())
    _log(connection, found, "tenant.terminate.received", at, actor, {})
    return found


def latest(connection: Connection, tenant: str) -> Termination | None:
    """The tenant's last termination. Of all there is at most one that was not withdrawn, and that
    is the last one, whatever the clock was when it was asked for."""
    row = connection.execute(
        select(terminations)
        .where(terminations.c.tenant_id == tenant)
        .order_by(terminations.c.state == "withdrawn", terminations.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _of(row)


def under_way(connection: Connection) -> list[Termination]:
    """All that are not over, the oldest end first."""
    rows = connection.execute(
        select(terminations)
        .where(terminations.c.state.not_in(OVER))
        .order_by(terminations.c.ends_at, terminations.c.id)
    )
    return [_of(row) for row in rows]


def reread(connection: Connection, termination: str) -> Termination:
    """One as it stands now."""
    row = connection.execute(select(terminations).where(terminations.c.id == termination)).one()
    return _of(row)


def note(connection: Connection, one: Termination, state: str, **steps: object) -> None:
    """Enters how far it has come, beside what was entered before."""
    row = connection.execute(
        select(terminations.c.steps).where(terminations.c.id == one.id)
    ).scalar_one()
    connection.execute(
        update(terminations)
        .where(terminations.c.id == one.id)
        .values(state=state, steps={**row, **steps})
    )


def counted(connection: Connection, one: Termination, data_class: str, **more: int) -> None:
    """Adds to the counts of a class: ``found``, ``archived`` and ``taken`` rows."""
    steps = connection.execute(
        select(terminations.c.steps).where(terminations.c.id == one.id)
    ).scalar_one()
    counts = dict(steps.get("counts", {}))
    of_class = dict(counts.get(data_class, {}))
    for name, number in more.items():
        of_class[name] = of_class.get(name, 0) + number
    counts[data_class] = of_class
    connection.execute(
        update(terminations)
        .where(terminations.c.id == one.id)
        .values(steps={**steps, "counts": counts})
    )


def require(tenant: Tenant | None, name: str) -> Tenant:
    """Raises TenantError where it is not there, or its settings cannot be read."""
    if tenant is None:
        raise TenantError(f"there is no tenant {name} whose settings can be read")
    return tenant


def _end_at(connection: Connection, tenant: str, ends_at: datetime | None, at: datetime) -> None:
    connection.execute(update(tenants).where(tenants.c.id == tenant).values(ends_at=ends_at))
    touch(connection, tenant, at)


def _of(row: Row[tuple[object, ...]]) -> Termination:
    return Termination(
        row.id,
        row.tenant_id,
        row.ends_at,
        row.choice,
        row.state,
        row.asked_at,
        row.actor,
        row.steps,
        row.finished_at,
        row.certificate,
    )


def _day(one: Termination) -> str:
    return one.ends_at.isoformat(timespec="minutes")


def _log(
    connection: Connection,
    one: Termination,
    action: str,
    at: datetime,
    actor: str,
    details: Mapping[str, object],
) -> None:
    target = f"termination:{one.id}"
    append(connection, Entry(at, actor, action, target, one.tenant, details))
