"""``callguard purge``: take away what has expired."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection

from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.recording.store.opening import open_store
from callguard.retention.forgetting import forget_again, verify
from callguard.retention.ledger import ErasureLedger
from callguard.retention.purge import Certificate, due
from callguard.retention.purge import purge as run_purge
from callguard.retention.registries import drop_spent

T = TypeVar("T")


def purge(
    dry_run: Annotated[bool, typer.Option(help="Only count what is due.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take away all that has expired, and leave a certificate."""
    clock = SystemClock()
    with opened(config) as (settings, database):
        if dry_run:
            with database.reading() as connection:
                rows = [item.as_json() for item in due(connection, clock.now())]
            say_table(as_json, rows, ("class", "tenant", "count", "oldest", "bytes"), "Due")
            return

        async def write(work: Callable[[Connection], T], /) -> T:
            with database.writing() as connection:
                return work(connection)

        store, ledger = open_store(settings), ErasureLedger(settings.erasure_ledger)
        forget_again(database, ledger, clock, actor=actor())

        async def run() -> Certificate:
            certificate = await run_purge(write, store, ledger, clock, actor=actor())
            folder = settings.registry_folder
            await drop_spent(database, write, folder, clock, actor=actor())
            return certificate

        certificate = asyncio.run(run())
        database.checkpoint()
        verify(database, ledger)
    total = sum(certificate.counts.values())
    say(as_json, certificate.as_json(), f"purged {total} rows; certificate {certificate.id}")
