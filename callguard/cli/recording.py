"""``callguard recording``: what was recorded."""

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Row, select

from callguard.audit.log import Entry, append
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    require_tenant,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.consent.chain_rows import alive
from callguard.policy.tables import plain
from callguard.recording.keyring import open_keyring
from callguard.recording.opening import open_store
from callguard.recording.reading import find_sealed, listed, plain_file, sealed_file
from callguard.storage.schema import recording_events, recordings

app = typer.Typer(help="Recordings.", no_args_is_help=True)

EVENTS = ("at", "event", "by", "reason")
COLUMNS = ("recording", "call", "tenant", "state", "started", "bytes", "expires")


@app.command("list")
def list_recordings(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 1000,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List recordings that have not expired."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
        found = listed(connection, now=now, tenant=tenant or None, limit=limit)
    rows: list[dict[str, object]] = [
        {
            "recording": row.id,
            "call": row.call_id,
            "tenant": row.tenant_id,
            "state": row.state,
            "started": row.started_at.isoformat(timespec="seconds"),
            "bytes": row.sealed_bytes,
            "expires": row.expires_at.isoformat(timespec="seconds") if row.expires_at else None,
        }
        for row in found
    ]
    say_table(as_json, rows, COLUMNS, "Recordings")


@app.command("show")
def show(
    recording: str,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a recording and what happened to it: who paused, stopped or erased it, when it was
    silent and why. Also one that was erased, as long as that is kept."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        row = connection.execute(
            select(recordings).where(recordings.c.id == recording, alive(recordings, now))
        ).one_or_none()
        ours = recording_events.c.recording_id == recording
        found = connection.execute(
            select(recording_events)
            .where(ours, alive(recording_events, now))
            .order_by(recording_events.c.at, recording_events.c.id)
        ).all()
    if row is None and not found:
        raise CommandError(f"there is no recording {plain(recording)}")
    about = _about(row) if row is not None else {**_GONE, "call": found[0].call_id}
    events = [
        {
            "at": one.at.isoformat(timespec="milliseconds"),
            "event": one.kind,
            "by": one.by,
            "reason": one.reason,
        }
        for one in found
    ]
    if as_json:
        say(True, {"recording": recording, **about, "events": events}, "")
        return
    told = [f"{name}: {value}" for name, value in about.items() if value is not None]
    say(False, None, "\n".join(map(plain, [f"recording: {recording}", *told])))
    rows = [{name: value and plain(str(value)) for name, value in one.items()} for one in events]
    say_table(False, rows, EVENTS, "Events")


_GONE: Mapping[str, object] = {"state": "gone"}
"""All that is said of a recording whose row the purge took."""


def _about(row: Row[Any]) -> dict[str, object]:
    return {
        "call": row.call_id,
        "tenant": row.tenant_id,
        "state": row.state,
        "channel": f"{row.pbx} {row.channel_uniqueid}",
        "started": _second(row.started_at),
        "ended": _second(row.ended_at),
        "sealed": _second(row.sealed_at),
        "bytes": row.sealed_bytes,
        "sha256": row.payload_sha256,
        "expires": _second(row.expires_at),
    }


def _second(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


@app.command("export")
def export(
    recording: str,
    out: Annotated[Path, typer.Argument(help="The file to write, or - for standard output.")],
    reason: Annotated[str, typer.Option(help="Why it is read; kept in the audit log.")],
    wav: Annotated[bool, typer.Option(help="Decrypted, with the tenant's own key.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write a recording as an ordinary age file, or as a plain WAV; logged before it is read."""
    if not reason.strip():
        raise CommandError("reading a recording needs a reason")
    now = SystemClock().now()
    with opened(config) as (settings, database):
        store = open_store(settings)
        with database.writing() as connection:
            row = find_sealed(connection, recording, now=now)
            details = {"reason": reason, "form": "wav" if wav else "age"}
            target = f"recording:{recording}"
            append(
                connection,
                Entry(now, actor(), "recording.export", target, row.tenant_id, details),
            )
        with database.reading() as connection:
            if wav:
                identities = open_keyring(settings).identities
                pieces = plain_file(connection, row, store, identities)
            else:
                pieces = sealed_file(row, store)
            size = _write(out, pieces)
    if str(out) != "-":
        say(as_json, {"recording": recording, "bytes": size}, f"wrote {out}: {size} bytes")


def _write(out: Path, pieces: Iterator[bytes]) -> int:
    """Writes a file that only its owner reads; nothing is left of a failed one."""
    if str(out) == "-":
        return sum(sys.stdout.buffer.write(piece) for piece in pieces)
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{out} exists already") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            return sum(file.write(piece) for piece in pieces)
    except BaseException:
        out.unlink(missing_ok=True)
        raise
