"""``callguard tenant archive``: what a law wants kept of a contract that ended."""

from typing import Annotated

import typer

from callguard.audit.log import Entry, append
from callguard.cli.recording_verify import RoleOption
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
from callguard.policy.tables import plain
from callguard.recording.keyring import open_keyring
from callguard.recording.playback.access import fault_of_reason, read_role
from callguard.recording.store.opening import open_store
from callguard.retention.termination import archive as archiving
from callguard.retention.termination.archive import ArchiveError

archives = typer.Typer(help="What a law wants kept of a contract that ended.", no_args_is_help=True)

_ARCHIVES = ("archive", "tenant", "class", "rows", "basis", "sealed", "until")


@archives.command("list")
def list_archives(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the sealed archives: of whom, of what, why, and until when."""
    with opened(config) as (_, database), database.reading() as connection:
        found = archiving.listed(connection, SystemClock().now(), tenant or None)
    rows: list[dict[str, object]] = [
        {
            "archive": row.id,
            "tenant": row.tenant_id,
            "class": row.data_class,
            "rows": row.rows,
            "basis": plain(row.basis),
            "sealed": row.at.isoformat(timespec="seconds"),
            "until": row.expires_at.isoformat(timespec="seconds"),
        }
        for row in found
    ]
    say_table(as_json, rows, _ARCHIVES, "Archives")


@archives.command("open")
def open_archive(
    archive: str,
    reason: Annotated[str, typer.Option(help="Why it is read; kept in the audit log.")],
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print an archive as JSON Lines; logged before it is read. The operator alone may."""
    reader = read_role(actor(), role)
    if reader.role != "operator":
        raise CommandError(f"a reader of role {reader.role} may not open archives")
    if (fault := fault_of_reason(reason)) is not None:
        raise CommandError(fault)
    now = SystemClock().now()
    with opened(config) as (settings, database):
        wrapper, store = open_keyring(settings).identities, open_store(settings)
        with database.writing() as connection:
            try:
                row = archiving.find(connection, archive, now)
            except ArchiveError as error:
                raise CommandError(str(error)) from None
            details = {"reason": reason, "class": row.data_class, "rows": row.rows}
            target = f"archive:{row.id}"
            append(connection, Entry(now, actor(), "archive.open", target, row.tenant_id, details))
        try:
            for line in archiving.opened(row, store, wrapper):
                typer.echo(archiving.as_line(line).decode().rstrip("\n"))
        except ArchiveError as error:
            raise CommandError(str(error)) from None
