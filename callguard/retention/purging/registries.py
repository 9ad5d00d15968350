"""Snapshots of registries that no kept decision refers to any more go with the purge."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from callguard.clock import Clock
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.lock import Busy
from callguard.optout.registry.shelving import dropped, kept, put_away, spent, sweep
from callguard.retention.purging.purge import Write
from callguard.storage.database import Database

T = TypeVar("T")
log = structlog.get_logger(__name__)


async def drop_spent(
    database: Database, write: Write, folder: Path, clock: Clock, *, actor: str
) -> int:
    """Drops superseded snapshots that nothing refers to, and how many; frees the room of what was
    left lying. A registry that is being imported waits for the next time, and so does one whose
    folder is in trouble, which is logged. Raises what the database raises."""
    found = await asyncio.to_thread(_read, database, lambda c: list(spent(c, clock.now())))
    count = 0
    for gone in found:
        if not await _tried(gone.registry, partial(put_away, folder / gone.registry, gone.digest)):
            continue
        await write(partial(dropped, gone=gone, at=clock.now(), actor=actor))
        count += 1
    for registry in await asyncio.to_thread(_folders, folder):
        there = await asyncio.to_thread(_read, database, partial(kept, registry=registry.name))
        await _tried(registry.name, partial(_swept, registry, there, clock))
    if count:
        log.info("snapshots_dropped", count=count)
    return count


async def _tried(registry: str, work: Callable[[], bool]) -> bool:
    try:
        return await asyncio.to_thread(work)
    except Busy:
        return False
    except (RegistryError, OSError) as error:
        log.warning("snapshots_not_dropped", registry=registry, reason=str(error))
        return False


def _swept(registry: Path, there: frozenset[str], clock: Clock) -> bool:
    sweep(registry, there, clock.now())
    return True


def _read(database: Database, query: Callable[[Connection], T]) -> T:
    with database.reading() as connection:
        return query(connection)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
