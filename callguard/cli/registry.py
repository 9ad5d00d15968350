"""``callguard registry``: public do-not-call lists, taken into use and looked after."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from phonenumbers import SUPPORTED_REGIONS
from rich.console import Console
from rich.progress import Progress

from callguard.cli import registry_in_words
from callguard.cli.registry_rows import rows_of
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
)
from callguard.clock import SystemClock
from callguard.config import RegistryList, Settings
from callguard.optout.registry.checksums import MAX_BYTES, read_sums
from callguard.optout.registry.contract import FORMATS, Format, RegistryError
from callguard.optout.registry.importing import apply_changes, import_list
from callguard.optout.registry.outcome import Act, Outcome
from callguard.optout.registry.reading import Asked, Told
from callguard.optout.registry.records import Records
from callguard.optout.registry.snapshot import Snapshot, current
from callguard.policy.packs import all_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.tables import plain
from callguard.storage.database import Database

app = typer.Typer(help="Registries: public lists of who must not be called.", no_args_is_help=True)

KNOWN: dict[str, Format] = {"us-dnc": "us-dnc", "gb-tps": "uk-tps", "gb-ctps": "uk-tps"}
"""How the lists come of which that is known."""

LISTS = tuple(name for name in FORMATS if name != "changes")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise typer.BadParameter("a registry's name is of small letters, digits and hyphens")
    return name


def _prefixes(given: list[str] | None) -> list[str]:
    for prefix in given or []:
        if not _PREFIX.fullmatch(prefix):
            raise typer.BadParameter(f"{prefix!r} is no prefix such as +44 or +1201")
    return given or []


def _list_format(given: str | None) -> str | None:
    if given is not None and given not in LISTS:
        raise typer.BadParameter(f"{given!r} is no format; known: {', '.join(LISTS)}")
    return given


def _region(given: str | None) -> str | None:
    if given is not None and given not in SUPPORTED_REGIONS:
        raise typer.BadParameter(f"{given!r} is no region such as GB")
    return given


def _reason(given: str | None) -> str | None:
    if given is not None and not given.strip():
        raise typer.BadParameter("say why")
    return given


NameArgument = Annotated[
    str, typer.Argument(callback=_named, help="Its name in the rules, such as us-dnc.")
]
FilesArgument = Annotated[
    list[Path], typer.Argument(help="The files as they came, also zipped or gzipped.")
]
DateOption = Annotated[
    datetime | None,
    typer.Option(
        "--date", formats=["%Y-%m-%d"], help="The list's own date, if no file name bears it."
    ),
]
SumsOption = Annotated[
    Path | None, typer.Option("--sha256", help="Checksums of all files, as sha256sum has them.")
]
ColumnOption = Annotated[
    str | None, typer.Option(help="Which column the number is in: its heading, or its place.")
]
RegionOption = Annotated[
    str | None,
    typer.Option(callback=_region, help="Whose national numbers they are, such as GB."),
]
SmallerOption = Annotated[
    str | None,
    typer.Option(
        callback=_reason, metavar="REASON", help="Take a list that is smaller, this once: why."
    ),
]


@app.command("import")
def import_registry(
    name: NameArgument,
    files: FilesArgument,
    day: DateOption = None,
    list_format: Annotated[
        str | None,
        typer.Option("--format", callback=_list_format, help=f"One of: {', '.join(LISTS)}."),
    ] = None,
    covers: Annotated[
        list[str] | None,
        typer.Option(callback=_prefixes, help="A prefix the list covers: +44; repeatable."),
    ] = None,
    region: RegionOption = None,
    column: ColumnOption = None,
    sha256: SumsOption = None,
    smaller: SmallerOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take a whole list into use, in place of the present one.

    A running service asks it within a second. What looks wrong is refused, and the present list
    stays in use; killed halfway, the same command goes on where it was.
    """
    given: dict[str, object] = {"format": list_format, "covers": tuple(covers or ())}
    given |= {"region": region, "number": _column(column)}
    _take("import", name, files, day, given, sha256, smaller, config, as_json)


@app.command("apply")
def apply(
    name: NameArgument,
    files: FilesArgument,
    day: DateOption = None,
    region: RegionOption = None,
    column: ColumnOption = None,
    sha256: SumsOption = None,
    smaller: SmallerOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take the changes of a change list into use, on top of the present list."""
    given: dict[str, object] = {"region": region, "number": _column(column)}
    _take("apply", name, files, day, given, sha256, smaller, config, as_json)


@app.command("list")
def list_registries(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the registries: which list is in use, how old it is, until when it counts."""
    now = SystemClock().now()
    with opened(config) as (settings, database), database.reading() as connection:
        rows = rows_of(connection, settings, now)
    told = [plain(line) for row in rows for line in registry_in_words.lines(row)]
    say(as_json, rows, "\n".join(told) or "there is no registry")


@app.command("verify")
def verify(
    name: Annotated[
        str, typer.Argument(callback=lambda n: _named(n) if n else n, help="All if left out.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read the lists in use from end to end and check them against their SHA-256."""
    folder = Settings.load(config).registry_folder
    names = [name] if name else _there(folder)
    found: list[dict[str, object]] = []
    for each in names:
        digest = current(folder / each) if (folder / each).is_dir() else None
        if digest is None:
            if name:
                raise CommandError(f"there is no registry {name}")
            continue
        try:
            snapshot = Snapshot.open_of(folder / each, digest)
            try:
                snapshot.verify()
            finally:
                snapshot.close()
        except RegistryError as error:
            raise CommandError(f"{each}: the list in use is damaged: {error}") from error
        found.append({"registry": each, "digest": digest, "count": snapshot.manifest.count})
    told = [f"{one['registry']}: {one['count']} numbers, whole ({one['digest']})" for one in found]
    say(as_json, found, "\n".join(told) or "there is no registry")


def _take(
    act: Act,
    name: str,
    files: list[Path],
    day: datetime | None,
    given: dict[str, object],
    sha256: Path | None,
    smaller: str | None,
    config: Path,
    as_json: bool,
) -> None:
    with opened(config) as (settings, database), _private():
        chosen = settings.registries.lists.get(name) or RegistryList()
        chosen = chosen.model_copy(update={k: v for k, v in given.items() if v not in (None, ())})
        chosen = chosen.model_copy(
            update={
                "format": chosen.format or KNOWN.get(name),
                "region": chosen.region or _region_of(name),
            }
        )
        list_format: Format | None = "changes" if act == "apply" else chosen.format
        if list_format is None:
            raise CommandError(f"say with --format how {name} comes: {', '.join(LISTS)}")
        asked = Asked(
            files=tuple(files),
            list_format=list_format,
            settings=chosen,
            limits=settings.registries,
            list_date=day.date() if day else None,
            sums=_sums(sha256),
            smaller=smaller,
        )
        outcome = _run(act, name, asked, settings, database)
        if name not in _asked_for(settings):
            outcome = replace(outcome, notes=(*outcome.notes, f"no rule asks a registry {name}"))
    _answer(outcome, as_json)


def _run(act: Act, name: str, asked: Asked, settings: Settings, database: Database) -> Outcome:
    folder = settings.registry_folder
    _check_owner(settings.data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = apply_changes if act == "apply" else import_list
    ledger = Records(database, actor())
    with _progress() as told:
        return run(folder / name, asked, ledger=ledger, clock=SystemClock(), told=told)


def _answer(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        say(True, outcome.as_json(), "")
    else:
        for line in registry_in_words.aside(outcome):
            typer.echo(plain(line), err=True)
        if outcome.state != "refused":
            typer.echo(plain(registry_in_words.told(outcome)))
    if outcome.state == "refused":
        raise CommandError(plain(f"{outcome.registry}: refused: {outcome.reason}"))


@contextmanager
def _private() -> Iterator[None]:
    """What is written in here is for this user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _progress() -> Iterator[Told]:
    """A progress bar on a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {step: bar.add_task(step, total=None, start=False) for step in _STEPS}

        def told(step: str, done: int, whole: int) -> None:
            bar.start_task(tasks[step])
            bar.update(tasks[step], completed=done, total=whole)

        yield told


_STEPS = ("reading", "building")


def _column(text: str | None) -> str | int | None:
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() else text


def _region_of(name: str) -> str | None:
    region = name[:2].upper()
    return region if region in SUPPORTED_REGIONS and name[2:3] == "-" else None


def _sums(file: Path | None) -> dict[str, str] | None:
    """Raises CommandError."""
    if file is None:
        return None
    with file.open("rb") as source:
        data = source.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise CommandError(f"{file}: is longer than a list of checksums")
    try:
        return read_sums(os.fsdecode(data))
    except RegistryError as error:
        raise CommandError(f"{file}: {error}") from error


def _check_owner(data: Path) -> None:
    """A list that the service cannot read would hold every call back. Raises CommandError."""
    if (owner := data.stat().st_uid) != os.geteuid():
        raise CommandError(f"{data} belongs to user {owner}: run this as that user")


def _asked_for(settings: Settings) -> frozenset[str]:
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    return Rulebook(rule for pack in packs for rule in pack.rules).registries


def _there(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))
