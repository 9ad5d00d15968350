"""Who purges: one at a time among all processes and machines of one database.

The leader has a lease until an instant and renews it in its own transactions. Each lease has a
fence, a number that only grows: a leader that was asleep while another took over finds a fence
that is not its own, and stops before it touches anything.
"""

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from callguard.storage.schema import leases

PURGE = "purge"

LEASE_S = 30.0
"""How long nobody else takes over from a leader that says nothing: one that was killed."""

RENEW_S = 5.0
"""How old a lease may be before the next transaction renews it."""


class BusyError(RuntimeError):
    """Somebody else purges, or took over; one line that says who."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was had at ``since``."""

    name: str
    holder: str
    fence: int
    since: datetime


def who(actor: str) -> str:
    """How this process names itself to those who wait."""
    return f"{actor[:48]} on {socket.gethostname()[:48]}, process {os.getpid()}"


def take(connection: Connection, name: str, holder: str, now: datetime) -> Lease:
    """Becomes the leader. Raises BusyError."""
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    until = now + timedelta(seconds=LEASE_S)
    if row is None:
        connection.execute(insert(leases).values(name=name, holder=holder, fence=1, until=until))
        return Lease(name, holder, 1, now)
    # A lease of a clock that was ahead is none: nobody has one for longer than that.
    if now < row.until <= until:
        raise BusyError(f"somebody else purges just now: {row.holder}")
    fence = row.fence + 1
    values = {"holder": holder, "fence": fence, "until": until}
    connection.execute(update(leases).where(leases.c.name == name).values(values))
    return Lease(name, holder, fence, now)


def require(connection: Connection, lease: Lease, now: datetime) -> Lease:
    """In every transaction of the leader: that it still is. Renews what is old. Raises
    BusyError."""
    mine = leases.c.name == lease.name
    row = connection.execute(select(leases.c.holder, leases.c.fence).where(mine)).one_or_none()
    if row is None or row.fence != lease.fence:
        holder = "nobody" if row is None else row.holder
        raise BusyError(f"this purge was away for so long that another took over: {holder}")
    if abs(now - lease.since) < timedelta(seconds=RENEW_S):
        return lease
    until = now + timedelta(seconds=LEASE_S)
    connection.execute(update(leases).where(mine).values(until=until))
    return Lease(lease.name, lease.holder, lease.fence, now)


def release(connection: Connection, lease: Lease, now: datetime) -> None:
    """Lets the next one in; nothing where it is somebody else's by now."""
    mine = (leases.c.name == lease.name) & (leases.c.fence == lease.fence)
    connection.execute(update(leases).where(mine).values(until=now))


def leader(connection: Connection, name: str, now: datetime) -> str | None:
    """Who has the lease now."""
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    return row.holder if row is not None and row.until > now else None
