"""``callguard backup``: everything but the master key, while the service runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
)
from callguard.clock import SystemClock
from callguard.policy.tables import plain
from callguard.recording.keyring import open_keyring
from callguard.recording.store.opening import open_store
from callguard.retention.backup.making import Made, Source, make
from callguard.retention.backup.sealing import read_recipients
from callguard.retention.erasures.copies import open_ledger


def backup(
    dest: Annotated[Path, typer.Argument(help="The folder of backups; each gets one of its own.")],
    objects: Annotated[
        bool, typer.Option("--objects", help="Copy the sealed recordings too, those not yet there.")
    ] = False,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="Seal the database for this age recipient; may be repeated."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Back up database, erasure ledger, settings and prompts, and with --objects the recordings. It
    holds personal data; the master key is not in it: keep that apart from it."""
    began = time.monotonic()
    recipients = read_recipients(recipient or ())
    with opened(config) as (settings, database):
        source = Source(
            settings,
            config,
            database,
            open_store(settings),
            open_ledger(settings),
            open_keyring(settings).identities,
        )
        with progress("backing up", None) as told:
            made = make(
                source,
                dest,
                SystemClock(),
                actor=actor(),
                objects=objects,
                recipients=recipients,
                told=told,
            )
    told_of = _as_json(made, time.monotonic() - began)
    say(as_json, told_of, plain(_in_words(made)))


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """A progress bar on a terminal, by the bytes done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def told(more: int) -> None:
            bar.advance(task, more)

        yield told


def _as_json(made: Made, seconds: float) -> dict[str, object]:
    tally = made.tally
    return {
        "backup": str(made.folder),
        "manifest": made.digest,
        "database_bytes": made.manifest.database.size,
        "sealed": made.manifest.sealed,
        "objects": made.manifest.objects.count,
        "object_bytes": made.manifest.objects.size,
        "copied": tally.copied if tally else None,
        "copied_bytes": tally.copied_bytes if tally else None,
        "missing": tally.missing if tally else None,
        "damaged": tally.damaged if tally else None,
        "in_progress": list(made.manifest.in_progress),
        "seconds": round(seconds, 3),
    }


def _in_words(made: Made) -> str:
    manifest, tally = made.manifest, made.tally
    lines = [
        f"backed up to {made.folder}: database {manifest.database.size} bytes, "
        f"{manifest.objects.count} objects "
        + (f"({tally.copied} copied now)" if tally else "by reference")
        + "; the master key is not in it"
    ]
    if tally and (tally.missing or tally.damaged):
        named = ", ".join([*tally.damaged, *tally.missing][:5])
        lines.append(
            f"not copied: {len(tally.missing)} missing and {len(tally.damaged)} damaged: {named}"
        )
    if manifest.in_progress:
        lines.append(f"in progress, without their sound: {', '.join(manifest.in_progress[:5])}")
    return "\n".join(lines)
