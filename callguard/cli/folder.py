"""``callguard folder``: the managed folders, what lies in them, and what is in the way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection

from callguard.cli.arguments import law_of
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say_table,
)
from callguard.clock import SystemClock
from callguard.config import Folder
from callguard.retention.folders.governing import ManagedFolders
from callguard.retention.folders.own import own_places
from callguard.retention.folders.root import FolderError
from callguard.retention.folders.root import opened as opened_root
from callguard.retention.folders.standing import Standing
from callguard.tenants.directory import TenantDirectory

T = TypeVar("T")

app = typer.Typer(help="Managed folders: files of other programs.", no_args_is_help=True)

LISTED = ("folder", "class", "path", "tenants", "files", "layout", "state")
CHECKED = ("folder", "files", "bytes", "oldest", "next_due", "due", "held", "waiting", "faults")
DUE = ("folder", "class", "tenant", "count", "oldest", "bytes")

Named = Annotated[str | None, typer.Option("--folder", help="Only this one.")]


@app.command("list")
def list_(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show the folders, and whether they can be governed."""
    with opened(config) as (settings, _):
        rows: list[dict[str, object]] = []
        for folder in settings.folders:
            try:
                with opened_root(folder.path, own_places(settings, folder)):
                    state = "ok"
            except FolderError as error:
                state = str(error)
            rows.append(_described(folder) | {"state": state})
    say_table(as_json, rows, LISTED, "Folders")


@app.command("check")
def check(
    folder: Named = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Look through the folders: what is there, due, held, and in the way. Exit 1 with faults."""
    found = _look(config, folder)
    rows = [_checked(one) for one in found]
    if not as_json:
        for row in rows:
            row["faults"] = "\n".join(row["faults"]) if isinstance(row["faults"], list) else ""
    say_table(as_json, rows, CHECKED, "Folders")
    faulty = [one.folder.name for one in found if one.closed is not None or one.faults.count]
    if faulty:
        raise CommandError(f"something is in the way in: {', '.join(faulty)}")


@app.command("due")
def due(
    folder: Named = None, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Count what the next purge would take; it takes nothing."""
    rows = [
        {"folder": one.folder.name, **item.as_json()}
        for one in _look(config, folder)
        for item in one.dues.values()
    ]
    say_table(as_json, rows, DUE, "Due")


def _look(config: Path, wanted: str | None) -> list[Standing]:
    clock = SystemClock()
    with opened(config) as (settings, database):
        if wanted is not None and all(one.name != wanted for one in settings.folders):
            raise CommandError(f"there is no folder {wanted}")
        directory = TenantDirectory(law_of(settings))
        with database.reading() as connection:
            directory.refresh(connection)

        async def write(work: Callable[[Connection], T], /) -> T:
            with database.writing() as connection:
                return work(connection)

        rooms = ManagedFolders(settings, database, write, directory.get, clock, actor=actor())
        return asyncio.run(rooms.look(clock.now(), wanted))


def _described(folder: Folder) -> dict[str, object]:
    owners = folder.tenant or ", ".join(f"{k}={v}" for k, v in sorted(folder.tenants.items()))
    return {
        "folder": folder.name,
        "class": folder.data_class,
        "path": str(folder.path),
        "tenants": owners,
        "files": ", ".join(folder.files),
        "layout": folder.layout,
    }


def _checked(one: Standing) -> dict[str, object]:
    return {
        "folder": one.folder.name,
        "files": one.files,
        "bytes": one.bytes,
        "oldest": one.oldest.isoformat() if one.oldest else None,
        "next_due": one.next_due.isoformat() if one.next_due else None,
        "due": sum(item.count for item in one.dues.values()),
        "held": one.held,
        "waiting": one.waiting,
        "faults": [one.closed] if one.closed is not None else _faults(one),
    }


def _faults(one: Standing) -> list[str]:
    more = one.faults.count - len(one.faults.lines)
    linked = [f"{one.linked} of them have other names, which stay"] if one.linked else []
    return [*one.faults.lines, *([f"and {more} more"] if more else []), *linked]
