"""``callguard purge``: take away what has expired."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection, Row

from callguard.cli.arguments import law_of
from callguard.cli.ending import terminations
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
    say_table,
)
from callguard.clock import Clock, SystemClock
from callguard.config import Settings
from callguard.recording.erasure import tidy
from callguard.recording.store.opening import open_store
from callguard.retention.backup.aftermath import not_reopened
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.forgetting import forget_again, verify
from callguard.retention.folders.governing import ManagedFolders
from callguard.retention.holds.ending import ReleasedHolds
from callguard.retention.purging.certificates import listed, shown
from callguard.retention.purging.clock_sense import ClockSense, confirm
from callguard.retention.purging.expired import kept_back
from callguard.retention.purging.giving_way import GivingWay
from callguard.retention.purging.purge import Certificate, Surroundings, Write, due
from callguard.retention.purging.purge import purge as run_purge
from callguard.retention.purging.registries import drop_spent
from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.longest import longest

T = TypeVar("T")

SHARE = 2.0
"""How long it rests for each second that it writes: beside it a service may run, whose calls it
cannot see waiting."""


def purge(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what is due.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="The last certificates.")] = False,
    show: Annotated[str | None, typer.Option(help="One certificate, whole.")] = None,
    confirm_clock: Annotated[
        bool, typer.Option("--confirm-clock", help="Say that the clock is right after a jump.")
    ] = False,
    reason: Annotated[str, typer.Option(help="How you know that it is right.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take away all that has expired, and leave a certificate."""
    if sum((dry_run, list_, show is not None, confirm_clock)) > 1:
        raise typer.BadParameter("--dry-run, --list, --show and --confirm-clock go alone")
    if confirm_clock and not reason.strip():
        raise typer.BadParameter("--confirm-clock wants a --reason")
    clock = SystemClock()
    with opened(config) as (settings, database):
        if list_:
            _list(database, as_json)
        elif show is not None:
            _show(database, show, as_json)
        elif confirm_clock:
            _confirm(settings, database, clock, reason.strip(), as_json)
        elif dry_run:
            asyncio.run(_count(settings, database, clock, as_json))
        else:
            _purge(settings, database, clock, as_json)


def _list(database: Database, as_json: bool) -> None:
    with database.reading() as connection:
        rows = [_in_short(row) for row in listed(connection)]
    say_table(as_json, rows, ("id", "kind", "started", "finished", "gone"), "Certificates")


def _in_short(row: Row[Any]) -> dict[str, object]:
    counts = row.certificate.get("counts")
    numbers = counts.values() if isinstance(counts, dict) else ()
    return {
        "id": row.id,
        "kind": row.kind,
        "started": row.started_at.isoformat(),
        "finished": row.finished_at.isoformat() if row.finished_at else None,
        "gone": sum(number for number in numbers if isinstance(number, int)),
    }


def _show(database: Database, purge_id: str, as_json: bool) -> None:
    with database.reading() as connection:
        row = shown(connection, purge_id)
    if row is None:
        raise CommandError(f"there is no certificate {purge_id}")
    lines = [f"{name}: {value}" for name, value in row.certificate.items()]
    say(as_json, {"kind": row.kind, **row.certificate}, "\n".join(lines))


def _confirm(
    settings: Settings, database: Database, clock: Clock, reason: str, as_json: bool
) -> None:
    with database.writing() as connection:
        found = ClockSense(clock, settings.purge.max_gap_days).look(connection)
        if found is None:
            raise CommandError("the clock is believed: there is nothing to confirm")
        if missing := not_reopened(connection):
            raise CommandError(missing)
        now = clock.now()
        confirm(connection, now, actor(), reason)
    text = f"it is {now:%Y-%m-%d %H:%M:%S}Z, and what has expired by then may be purged"
    say(as_json, {"confirmed": now.isoformat(), "fault": found}, text)


async def _count(settings: Settings, database: Database, clock: Clock, as_json: bool) -> None:
    now = clock.now()
    with database.reading() as connection:
        rows = [{**one.as_json(), "held": False} for one in due(connection, now)]
        rows += [{**one.as_json(), "held": True} for one in kept_back(connection, now)]
    for room in _surroundings(settings, database, clock, _write_of(database)).further:
        rows += [{**one.as_json(), "held": False} for one in await room.due(now)]
    say_table(as_json, rows, ("class", "tenant", "count", "oldest", "bytes", "held"), "Due")


def _write_of(database: Database) -> Write:
    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    return write


def _surroundings(
    settings: Settings, database: Database, clock: Clock, write: Write
) -> Surroundings:
    tenants = TenantDirectory(law_of(settings))
    with database.reading() as connection:
        tenants.refresh(connection)
    folders = ManagedFolders(settings, database, write, tenants.get, clock, actor=actor())
    return Surroundings(
        sense=ClockSense(clock, settings.purge.max_gap_days),
        further=(
            folders,
            terminations(settings, database, write, clock),
            ReleasedHolds(write, tenants.get),
        ),
        exports=settings.export_folder,
        audit=longest(tenants, "audit") if settings.purge.audit else None,
        way=GivingWay(share=SHARE),
    )


def _purge(settings: Settings, database: Database, clock: Clock, as_json: bool) -> None:
    write = _write_of(database)
    store, ledger = open_store(settings), open_ledger(settings)
    forget_again(database, ledger, clock, actor=actor())
    around = _surroundings(settings, database, clock, write)

    async def run() -> Certificate:
        made = await run_purge(write, store, ledger, clock, actor=actor(), around=around)
        await drop_spent(database, write, settings.registry_folder, clock, actor=actor())
        return made

    certificate = asyncio.run(run())
    tidy(database.tidy)
    verify(database, ledger)
    if certificate.faults:
        room, why = next(iter(certificate.faults.items()))
        raise CommandError(f"not all was purged: {room}: {why}; certificate {certificate.id}")
    total = sum(certificate.counts.values())
    say(as_json, certificate.as_json(), f"purged {total} rows; certificate {certificate.id}")
