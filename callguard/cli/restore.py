"""``callguard restore``: a backup put back, and what was erased since forgotten again, before
anything is open."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from callguard.cli.backup import progress
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    say,
)
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.gate.lease import FILE as LEASE_FILE
from callguard.policy.tables import plain
from callguard.recording import age
from callguard.retention.backup.checking import Backup, open_backup
from callguard.retention.backup.ledgers import Chosen, newest, of_backup
from callguard.retention.backup.manifest import OBJECT_LIST, BackupError
from callguard.retention.backup.placing import Place, place_of, wrapper_of
from callguard.retention.backup.restoring import require_empty
from callguard.retention.backup.restoring import restore as put_back
from callguard.retention.backup.verifying import Order, Restored
from callguard.secret_file import SecretFileError, read_secret

ALIVE_S = 10.0
"""How old a sign of life is of which nothing follows."""


def restore(
    backup: Annotated[Path, typer.Argument(help="The folder of one backup.")],
    into: Annotated[
        Path | None,
        typer.Option(help="A new folder for all of it, with settings of its own."),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="The newest erasure ledger, if it is not where it was.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="The age key that opens a sealed database.")
    ] = None,
    master_key: Annotated[
        Path | None, typer.Option(help="The master key, where no settings name it.")
    ] = None,
    accept_ledger_of_backup: Annotated[
        bool,
        typer.Option(
            "--accept-ledger-of-backup", help="Restore though later erasures are not known."
        ),
    ] = False,
    accept_incomplete: Annotated[
        bool, typer.Option("--accept-incomplete", help="Restore though objects are missing.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why less is accepted; kept in the audit log.")] = "",
    skip_object_digests: Annotated[
        bool, typer.Option("--skip-object-digests", help="Look only at the objects' sizes.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup on an empty machine, or into a new folder. It is verified, and what was
    erased since is erased again, before anything is open."""
    if (accept_ledger_of_backup or accept_incomplete) and not reason.strip():
        raise CommandError("accepting less than the whole needs a reason")
    backup = backup.absolute()
    copied = (backup / OBJECT_LIST).exists() and (backup.parent / "objects").is_dir()
    place = place_of(backup, config, into, master_key, copied=copied)
    _require_stopped(place)
    require_empty(place)
    with progress("checking", None) as told:
        found = open_backup(backup, wrapper_of(place.settings), told)
    places = [place.settings.erasure_ledger, *place.settings.ledger.copies]
    if into is not None and config.exists():
        settings = Settings.load(config)
        places += [settings.erasure_ledger, *settings.ledger.copies]
    order = Order(
        found,
        place,
        _ledger(found, places, ledger, accepted=accept_ledger_of_backup),
        _identities(identity),
        skip_object_digests,
        accept_incomplete,
        reason.strip(),
    )
    with progress("restoring", found.manifest.database.size + found.manifest.objects.size) as told:
        done = put_back(order, SystemClock(), actor=actor(), told=told)
    say(as_json, _as_json(done, order), plain(_in_words(done, order)))


def _require_stopped(place: Place) -> None:
    """Raises CommandError where a service gives signs of life in the place."""
    if place.text is not None:
        return
    alive = place.settings.spool.folder / LEASE_FILE
    with suppress(FileNotFoundError):
        if time.time() - alive.stat().st_mtime < ALIVE_S:
            raise CommandError(f"a callguard serves here ({alive} is fresh): stop it first")


def _ledger(found: Backup, places: list[Path], named: Path | None, *, accepted: bool) -> Chosen:
    mark = found.manifest.ledger
    if named is not None:
        if not named.is_file():
            raise BackupError(f"there is no erasure ledger {named}")
        places = [*places, named]
    try:
        chosen = newest(places, mark, found.ledger)
    except BackupError:
        if not accepted:
            raise
        chosen = None
    if chosen is not None:
        return chosen
    if not accepted:
        raise BackupError(
            "no erasure ledger is there beside the backup's own, so it is not known what was "
            "erased since: name one with --ledger, or give --accept-ledger-of-backup and a reason"
        )
    return of_backup(found.ledger, mark)


def _identities(path: Path | None) -> list[age.Identity]:
    if path is None:
        return []
    try:
        text = read_secret(path, "the age key").decode("ascii", errors="replace")
    except SecretFileError as error:
        raise CommandError(str(error)) from error
    lines = (line.strip() for line in text.splitlines())
    return [age.parse_identity(line) for line in lines if line and not line.startswith("#")]


def _as_json(done: Restored, order: Order) -> dict[str, object]:
    return {
        "restore": done.id,
        "config": str(order.place.config),
        "data": str(order.place.settings.data),
        "made_at": order.backup.manifest.made_at,
        "forgotten_again": done.applied.applied,
        "ledger_of_backup": done.ledger_of_backup,
        "missing_since": order.backup.manifest.made_at,
        "objects": done.verified,
        "copied": done.copied,
        "missing": done.missing,
        "damaged": done.damaged,
        "strays": done.strays,
        "bytes": done.bytes,
        "seconds": round(done.seconds, 3),
        "gb_per_minute": round(done.gigabytes_a_minute, 2),
    }


def _in_words(done: Restored, order: Order) -> str:
    place: Place = order.place
    restored = (
        f"restored to {place.settings.data} as of {order.backup.manifest.made_at}: "
        f"{done.verified} objects verified, {done.applied.applied} erasures applied again, "
        f"{done.gigabytes_a_minute:.1f} GB a minute"
    )
    since = order.backup.manifest.made_at
    lost = (
        f"ATTENTION: opt-outs, withdrawn consents and holds since {since} are missing: enter them "
        "again, then callguard reopen; until then no outbound call is let through and nothing is "
        "purged"
    )
    next_ = f"next: callguard init --config {place.config}, then callguard serve"
    lines = [restored, lost, next_]
    if done.strays:
        lines.append(
            f"{done.strays} objects or exports belong to no row: they were made after the backup, "
            "and nothing purges them (docs/backup.md)"
        )
    if place.left_out:
        lines.append(f"its settings leave out what the callguard that runs has: {place.left_out}")
    if done.missing or done.damaged:
        named = ", ".join([*done.damaged, *done.missing][:5])
        lines.append(f"{len(done.missing)} missing and {len(done.damaged)} damaged: {named}")
    if done.ledger_of_backup:
        lines.append("ATTENTION: what was erased after the backup is not known and is there again")
    return "\n".join(lines)
