"""``callguard cdr export``: call records as a file."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from sqlalchemy.exc import SQLAlchemyError

from callguard.cdr.disclosure import (
    Disclosure,
    UnknownErasuresError,
    check_contract,
    check_held,
    check_reason,
    check_taking,
    note_export,
    note_exported,
    whose,
)
from callguard.cdr.export import (
    ExportError,
    Form,
    Tally,
    check_place,
    exported,
    read_format,
    write_whole,
)
from callguard.cdr.reading import Wanted, count, read_pages
from callguard.cli.cdr_options import (
    AgentOption,
    CallOption,
    CampaignOption,
    DirectionOption,
    DispositionOption,
    FromOption,
    GroundOption,
    HeldOption,
    NumberOption,
    PurposeOption,
    ToOption,
    read_wanted,
)
from callguard.cli.recording_verify import RoleOption
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
)
from callguard.clock import SystemClock, latest
from callguard.recording.age import parse_recipient
from callguard.recording.playback.access import read_role
from callguard.storage.database import Database
from callguard.storage.faults import one_line


def export(
    out: Annotated[Path, typer.Argument(help="The file to write, or - for standard output.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every tenant's.")] = False,
    since: FromOption = None,
    until: ToOption = None,
    how: Annotated[
        str, typer.Option("--format", help="csv, jsonl or parquet; by the file's name if left out.")
    ] = "",
    call: CallOption = "",
    number: NumberOption = "",
    direction: DirectionOption = "",
    purpose: PurposeOption = "",
    campaign: CampaignOption = "",
    agent: AgentOption = "",
    disposition: DispositionOption = "",
    held: HeldOption = False,
    ground: GroundOption = "",
    mask: Annotated[bool, typer.Option("--mask", help="Without anybody's number.")] = False,
    as_is: Annotated[
        bool,
        typer.Option("--as-is", help="CSV: leave cells that a spreadsheet takes for a formula."),
    ] = False,
    recipient: Annotated[
        list[str] | None, typer.Option(help="Seal it with age for this public key; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write call records as CSV, JSON Lines or Parquet; logged before the first byte.

    What is there when it begins and has not expired is written; the file has its name only once it
    is whole. The last line says rows, bytes and SHA-256.
    """
    reader = read_role(actor(), role)
    owner = whose(reader, tenant or None)
    if (owner is None) != everything:
        raise typer.BadParameter("name a --tenant, or --all")
    check_taking(reader)
    check_reason(reason)
    to_stdout = str(out) == "-"
    try:
        recipients = tuple(parse_recipient(one) for one in recipient or ())
        form = Form(read_format(how or _by_name(out)), mask, as_is, recipients)
        if not to_stdout:
            check_place(out, force=force)
        with opened(config) as (settings, database):
            with database.reading() as connection:
                wanted = read_wanted(
                    connection,
                    settings.home_region,
                    owner,
                    since,
                    until,
                    call=call,
                    number=number,
                    direction=direction,
                    purpose=purpose,
                    campaign=campaign,
                    agent=agent,
                    disposition=disposition,
                    held=held,
                    ground=ground,
                )
                check_contract(connection, reader, SystemClock().now())
            check_held(reader, wanted, reason)
            tally = _export(database, Disclosure(reader, wanted, reason), form, out, force=force)
    except (ExportError, UnknownErasuresError) as error:
        raise CommandError(str(error)) from error
    told = {**tally.as_json(), "format": form.format}
    line = (
        f"{tally.rows} rows, {tally.size} bytes, sha256 {tally.sha256}, columns v{told['columns']}"
    )
    if tally.masked:
        line += f"; without numbers, only stored: {tally.masked} (name a --ground)"
    if to_stdout:
        typer.echo(line, err=True)
    else:
        say(as_json, {"file": str(out), **told}, f"wrote {out}: {line}")


def _by_name(out: Path) -> str:
    """The format that a file's name ends in, also where it is sealed."""
    name = out.name.removesuffix(".age")
    return Path(name).suffix.removeprefix(".").lower() or "csv"


def _export(database: Database, taken: Disclosure, form: Form, out: Path, *, force: bool) -> Tally:
    clock, tally = SystemClock(), Tally()
    with database.writing() as connection:
        name = note_export(connection, taken, form, clock.now())
    fault: str | None = "it was interrupted"
    try:
        with _progress(database, taken.wanted) as told:
            pages = read_pages(database.reading, taken.wanted, partial(latest, clock))
            pieces = exported(pages, form, tally, told)
            if str(out) == "-":
                _write_out(pieces)
            else:
                write_whole(out, pieces, force=force)
        fault = None
    except Exception as error:
        fault = one_line(error)
        raise
    finally:
        # What went wrong with the export is told, not that it could not be written down either.
        lenient = suppress(SQLAlchemyError) if fault else nullcontext()
        with lenient, database.writing() as connection:
            note_exported(connection, taken, name, tally, clock.now(), fault)
    return tally


def _write_out(pieces: Iterator[bytes]) -> None:
    try:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence()
        raise ExportError(f"standard output was not written: {error.strerror}") from error


def _silence() -> None:
    """What standard output could not take is not tried again when the process ends."""
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.__stdout__.fileno())


@contextmanager
def _progress(database: Database, wanted: Wanted) -> Iterator[Callable[[Tally], None]]:
    """Tells on a terminal how many rows are done and how long the rest takes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    total: int | None = None
    if not wanted.call:
        with database.reading() as connection:
            total = count(connection, wanted)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("call records", total=total)
        yield lambda tally: bar.update(task, completed=tally.scanned)
