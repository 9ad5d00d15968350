"""``callguard scrub``: a calling list split into who may be called, who must not, and of whom it
cannot be told."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from sqlalchemy import Connection

from callguard.cli.arguments import read_offset, tenant_of
from callguard.cli.explain import YEARS, knowledge_of
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    opened,
)
from callguard.clock import SystemClock
from callguard.gate.request import MAX_TEXT, Request
from callguard.gate.scrubbing import ScrubJudge
from callguard.optout.image import PAGE, OptOutImage
from callguard.optout.registry.shelf import RegistryStatus, Shelf
from callguard.optout.scrub.contract import NAMES, Summary
from callguard.optout.scrub.output import paths_of
from callguard.optout.scrub.splitting import Asked, Progress, split
from callguard.optout.standing import Change, after
from callguard.policy.facts import CHANNELS, PURPOSES
from callguard.retention.backup.aftermath import not_reopened
from callguard.storage.attempts import LocalAttempts
from callguard.storage.grouped import GroupedReads
from callguard.storage.types import to_micros

T = TypeVar("T", bound=str)

TOLD_EVERY_S = 0.25
"""Between two lines of progress."""

_WORDS = {"may_call": "may be called", "must_not": "must not", "cannot_tell": "cannot be told"}


def scrub(
    source: Annotated[Path, typer.Argument(metavar="IN.csv", help="The list; - is the input.")],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT.csv",
            help="Who may be called; OUT.must-not.csv and OUT.cannot-tell.csv hold the rest.",
        ),
    ],
    tenant: Annotated[str, typer.Option(help="Whose calls they would be.")],
    purpose: Annotated[
        str, typer.Option(help=f"{', '.join(PURPOSES)}; the tenant's own if left out.")
    ] = "",
    channel: Annotated[str, typer.Option(help=f"{', '.join(CHANNELS)}.")] = "voice",
    at: Annotated[
        str, typer.Option(help="Another moment, such as 2026-11-22T14:30+01:00; UTC unless said.")
    ] = "",
    column: Annotated[
        str | None, typer.Option(help="Where the numbers stand: a heading, or a place from 1.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="What stands between two fields.")] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first row is one.")
    ] = None,
    caller: Annotated[
        str, typer.Option(help="The number shown; the tenant's own if left out.")
    ] = "",
    campaign: Annotated[str, typer.Option(help="For which campaign.")] = "",
    debt: Annotated[str, typer.Option(help="About which debt.")] = "",
    machine: Annotated[bool, typer.Option("--machine", help="A machine dials.")] = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="Tell on the error stream how far it is, in JSON.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Split a calling list by what the gate would say of each number, now or at another moment.

    Nothing is counted, nothing is kept, and no service need run. What is entered while it works
    is not seen.
    """
    moment = _read_at(at) if at else None
    if purpose:
        _one_of(purpose, PURPOSES, "purpose")
    way = _one_of(channel, CHANNELS, "channel")
    began = time.monotonic()
    with opened(config) as (settings, database), database.reading() as connection:
        if missing := not_reopened(connection):
            raise CommandError(missing)
        known = knowledge_of(settings, database)
        reads = GroupedReads(database, inline=connection)
        known = replace(known, reads=reads, attempts=LocalAttempts(reads, known.clock))
        known.tenants.refresh(connection)
        owner = tenant_of(known.tenants, tenant)
        now = SystemClock().now()
        _follow(known.opt_outs, connection, moment)
        shown = caller or owner.settings.shown_number
        request = Request(
            direction="outbound",
            pbx="",
            uniqueid="",
            channel="",
            number="",
            caller=shown,
            tenant=owner.id,
            purpose=purpose,
            campaign=campaign[:MAX_TEXT],
            agent="",
            account_code="",
            debt=debt[:MAX_TEXT],
            dialler="machine" if machine else "agent",
            contact_channel=way,
        )
        shelf = known.registries
        assert isinstance(shelf, Shelf)
        judge = ScrubJudge(
            known, connection, request, owner, moment or now, shelf.snapshots(), live=not at
        )
        try:
            with _reading(source) as (file, size, path), _telling(progress, as_json, size) as tell:
                asked = Asked(column, delimiter, header)
                summary = split(file, out, judge, asked=asked, path=path, progress=tell)
        finally:
            judge.close()
        asked_of = known.policy.of(owner).registries
        registries = [one for one in shelf.status() if one.name in asked_of]
    seconds = time.monotonic() - began
    answer: dict[str, object] = {
        **summary.as_json(),
        "files": dict(zip(NAMES, map(str, paths_of(out)), strict=True)),
        "tenant": owner.id,
        "purpose": purpose or owner.settings.purpose,
        "channel": way,
        "at": (moment or now).isoformat(timespec="seconds"),
        "known_up_to": now.isoformat(timespec="seconds"),
        "shown_number": bool(shown),
        "registries": [_registry(one) for one in registries],
        "seconds": round(seconds, 2),
        "rows_per_second": round(summary.rows / seconds) if seconds else None,
    }
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(summary, answer, registries, out)))


def _read_at(text: str) -> datetime:
    moment, _ = read_offset(text)
    if moment.year not in YEARS:
        raise CommandError(f"{text} is not between {YEARS.start} and {YEARS.stop - 1}")
    return moment


def _one_of(text: str, known: Sequence[T], what: str) -> T:
    for one in known:
        if one == text:
            return one
    raise CommandError(f"{text!r} is no {what}; known: {', '.join(known)}")


def _follow(image: OptOutImage, connection: Connection, at: datetime | None) -> None:
    """Takes in what anybody wished up to then; a wish lifted since stood."""
    until = None if at is None else to_micros(at)

    def pages() -> Iterator[list[Change]]:
        seen = 0
        while page := after(connection, seen, PAGE):
            seen = page[-1][0]
            yield [change for change in page if until is None or change[6] <= until]

    image.load(pages())


@contextmanager
def _reading(source: Path) -> Iterator[tuple[BinaryIO, int | None, Path | None]]:
    """The list, how long it is where that is known, and where it lies."""
    if str(source) == "-":
        yield sys.stdin.buffer, None, None
        return
    if source.is_dir():
        raise CommandError(f"{source} is a folder")
    with source.open("rb") as file:
        yield file, source.stat().st_size, source


def _telling(
    lines: bool, as_json: bool, size: int | None
) -> AbstractContextManager[Callable[[Progress], None] | None]:
    """How progress is told: in JSON, by a bar on a terminal, or not at all."""
    if lines:
        return nullcontext(_in_lines(size))
    if not as_json and sys.stderr.isatty():
        return _bar(size)
    return nullcontext()


def _in_lines(size: int | None) -> Callable[[Progress], None]:
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= TOLD_EVERY_S or progress.bytes == size:
            told = now
            line = {"rows": progress.rows, "bytes": progress.bytes, "of": size}
            print(json.dumps(line), file=sys.stderr, flush=True)

    return tell


@contextmanager
def _bar(size: int | None) -> Iterator[Callable[[Progress], None]]:
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scrub", total=size)
        yield lambda progress: bar.update(task, completed=progress.bytes)


def _registry(status: RegistryStatus) -> dict[str, object]:
    return {
        "name": status.name,
        "list_date": status.list_date.isoformat() if status.list_date else None,
        "digest": status.digest,
        "count": status.count,
        "fault": status.fault or None,
    }


def _lines(
    summary: Summary, answer: dict[str, object], registries: Sequence[RegistryStatus], out: Path
) -> Iterator[str]:
    """The summary for people."""
    yield f"{summary.rows} rows of column {summary.column}, for {answer['purpose']} calls"
    for name, count, path in zip(NAMES, summary.outcomes, paths_of(out), strict=True):
        yield f"{_WORDS[name]}: {count} ({path})"
    for rule, count in sorted(summary.by_rule.items(), key=lambda one: (-one[1], one[0])):
        yield f"  held back by {rule}: {count}"
    if summary.not_numbers:
        yield f"no telephone number: {summary.not_numbers}"
    if summary.repeats:
        yield f"rows whose number stands in an earlier one: {summary.repeats} (all kept)"
    if summary.blank_lines:
        yield f"empty lines, left out: {summary.blank_lines}"
    for one in registries:
        told = f"{one.count} numbers, list of {one.list_date}, {(one.digest or '')[:12]}"
        yield f"registry {one.name}: {one.fault or told}"
    if not answer["shown_number"]:
        yield "decided as calls that show no number: the tenant has none, nor --caller"
    yield (
        f"decided for {answer['at']}, by what was known at {answer['known_up_to']}; "
        "what was entered since is not seen"
    )
    yield f"{answer['seconds']} s, {answer['rows_per_second']} rows/s"
