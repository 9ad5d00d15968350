"""``callguard recording``: what was recorded."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import select

from callguard.cli.erase import erase, ledger_state
from callguard.cli.key_rotate import rewrap
from callguard.cli.recording_export import export
from callguard.cli.recording_verify import RoleOption, verify
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
from callguard.policy.tables import plain
from callguard.recording.playback.access import Asked, Refusal, read_role
from callguard.recording.playback.admission import Admitted, consider, note_refusal
from callguard.recording.playback.reading import listed
from callguard.storage.alive import alive
from callguard.storage.schema import recording_events

app = typer.Typer(help="Recordings.", no_args_is_help=True)

EVENTS = ("at", "event", "by", "reason")
COLUMNS = ("recording", "call", "tenant", "state", "started", "bytes", "expires")


app.command("export")(export)
app.command("verify")(verify)
app.command("erase")(erase)
app.command("ledger")(ledger_state)
app.command("rewrap")(rewrap)


@app.command("list")
def list_recordings(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    call: Annotated[str, typer.Option(help="Only of this call.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 1000,
    before: Annotated[str, typer.Option(help="Go on after this one.")] = "",
    held: Annotated[
        bool, typer.Option("--held", help="Only what has expired, and a hold keeps.")
    ] = False,
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List recordings that have not expired, or that a hold keeps."""
    reader = read_role(actor(), role)
    if held and not reader.sees_expired:
        raise CommandError(f"a reader of role {reader.role} does not see what has expired")
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
            if not reader.may_see(tenant):
                raise CommandError(f"a reader of role {reader.role} sees its own tenant's")
        found = listed(
            connection,
            now=now,
            tenant=tenant or reader.tenant,
            call=call or None,
            before=before or None,
            limit=limit,
            held=reader.sees_expired,
            expired=held,
        )
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
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a recording and what happened to it: who paused, stopped or erased it, when it was
    silent and why. Also one that was erased, as long as that is kept."""
    asked = Asked(read_role(actor(), role), "metadata")
    now = SystemClock().now()
    with opened(config) as (_, database):
        with database.reading() as connection:
            one = consider(connection, asked, recording, now)
            ours = recording_events.c.recording_id == recording
            if asked.reader.tenant is not None:
                ours &= recording_events.c.tenant_id == asked.reader.tenant
            found = connection.execute(
                select(recording_events)
                .where(ours, alive(recording_events, now))
                .order_by(recording_events.c.at, recording_events.c.id)
            ).all()
        if isinstance(one, Refusal) and not found:
            with database.writing() as connection:
                note_refusal(connection, asked, recording, now, one)
            raise CommandError(plain(one.line))
    about = {**_GONE, "call": found[0].call_id} if isinstance(one, Refusal) else _about(one)
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


def _about(one: Admitted) -> dict[str, object]:
    row, facts = one.row, one.facts
    return {
        "call": row.call_id,
        "tenant": row.tenant_id,
        "state": row.state,
        "channel": f"{row.pbx} {row.channel_uniqueid}",
        "started": _second(row.started_at),
        "ended": _second(row.ended_at),
        "sealed": _second(row.sealed_at),
        "coding": row.encoding,
        "bytes": row.sealed_bytes,
        "missing": row.missing_bytes,
        "sha256": row.payload_sha256,
        "expires": _second(row.expires_at),
        "key": _KEYS[facts.own_key],
        "holds": ", ".join(facts.holds) or None,
        "restricted": _RESTRICTED[facts.restricted],
    }


_KEYS: Mapping[str, str] = {
    "here": "here",
    "none": "only the tenant's",
    "destroyed": "destroyed",
}
_RESTRICTED: Mapping[bool | None, str | None] = {True: "yes", False: None, None: "not known"}


def _second(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
