"""``callguard optout``: who does not want to be called."""

from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from sqlalchemy import Connection, select

from callguard.cli import optout_file
from callguard.cli.evidence import evidence_of
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
from callguard.config import Settings
from callguard.optout.bulk import subject_key
from callguard.optout.events import OptOutEvent, add
from callguard.optout.export import Format
from callguard.optout.scope import cells
from callguard.optout.standing import Wish, history, newest, wishes
from callguard.policy.facts import CHANNELS, PURPOSES
from callguard.policy.tables import plain
from callguard.storage.schema import tenants

app = typer.Typer(help="Opt-outs: who does not want to be called.", no_args_is_help=True)

TenantOption = Annotated[
    str, typer.Option("--tenant", help="Whose calls are not wanted; all tenants' if left out.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
PurposeOption = Annotated[
    list[str] | None, typer.Option("--purpose", help="Only contacts for this; repeatable.")
]
ChannelOption = Annotated[
    list[str] | None, typer.Option("--channel", help="Only contacts by this; repeatable.")
]
LISTED = ("subject", "tenant", "since", "way", "purposes", "channels")


@app.command("add")
def add_opt_out(
    number: str,
    tenant: TenantOption = "",
    purpose: PurposeOption = None,
    channel: ChannelOption = None,
    reason: ReasonOption = "",
    evidence: Annotated[
        str, typer.Option(help="Where the wish is kept, or @FILE: its name and SHA-256 are kept.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter an opt-out; a running service obeys it within a second."""
    purposes, channels = _scope(purpose, channel)
    with opened(config) as (settings, database), database.writing() as connection:
        subject = _subject(connection, settings, number, tenant)
        event = OptOutEvent(
            subject=subject,
            tenant=tenant or None,
            standing=True,
            way="cli",
            actor=actor(),
            at=SystemClock().now(),
            purposes=purposes,
            channels=channels,
            reason=reason.strip() or None,
            evidence=evidence_of(evidence) or None,
        )
        add(connection, event)
    say(as_json, {"subject": subject, "standing": True}, f"{subject} opted out")


@app.command("remove")
def remove(
    number: str,
    reason: ReasonOption,
    evidence: Annotated[
        str,
        typer.Option(help="Where the proof is, or @FILE: its name and SHA-256 are kept. Required."),
    ] = "",
    tenant: TenantOption = "",
    purpose: PurposeOption = None,
    channel: ChannelOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Lift an opt-out, with the evidence that the subject wants calls again.

    Only for the purposes and channels that are named, if any are; the rest goes on standing. What
    was said stays on record. A re-consent to one tenant does not lift an opt-out of all tenants.
    """
    purposes, channels = _scope(purpose, channel)
    with opened(config) as (settings, database), database.writing() as connection:
        subject = _subject(connection, settings, number, tenant)
        event = OptOutEvent(
            subject=subject,
            tenant=tenant or None,
            standing=False,
            way="cli",
            actor=actor(),
            at=SystemClock().now(),
            purposes=purposes,
            channels=channels,
            reason=reason.strip() or None,
            evidence=evidence_of(evidence) or None,
        )
        stood = wishes(history(connection, subject))
        overlap = [
            wish for wish in stood if wish.event.tenant == event.tenant and _meet(wish, event)
        ]
        of_all = [wish for wish in stood if wish.event.tenant is None and _meet(wish, event)]
        if not overlap:
            told = f"{subject} has not opted out of {tenant or 'all tenants'}{_about(event)}"
            raise CommandError(f"{told}, but of all tenants" if of_all else told)
        add(connection, event)
    value: dict[str, object] = {"subject": subject, "standing": False}
    told = f"{subject} may be called again{_about(event)}"
    if tenant and of_all:
        value["of_all_tenants"] = True
        told += "; the opt-out of all tenants still stands"
    say(as_json, value, told)


@app.command("list")
def list_opt_outs(
    tenant: TenantOption = "",
    number: Annotated[str, typer.Option(help="All that this subject ever said.")] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")
    ] = 1_000,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the opt-outs that stand, newest last, or the whole history of one number."""
    with opened(config) as (settings, database), database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
        if number:
            subject = _subject(connection, settings, number, tenant)
            said = [
                event
                for _, event in history(connection, subject)
                if not tenant or event.tenant in (tenant, None)
            ]
            told = "\n".join(map(_told, said)) or f"{subject} never said anything"
            say(as_json, [_spoken(event) for event in said], told)
            return
        found, more = newest(connection, limit, tenant or None)
    say_table(as_json, [_listed(wish) for wish in found], LISTED, "Opt-outs")
    if more and not as_json:
        typer.echo(f"the newest {limit} of more: see --limit, and export")


@app.command("import")
def import_opt_outs(
    file: Annotated[Path, typer.Argument(help="Numbers, one a line, or CSV.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose calls are not wanted.")] = "",
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="Nobody's calls are wanted.")
    ] = False,
    purpose: PurposeOption = None,
    channel: ChannelOption = None,
    column: Annotated[
        str, typer.Option(help="Which column holds the number: its name, or counted from 1.")
    ] = "",
    purpose_column: Annotated[str, typer.Option(help="Which holds purposes.")] = "",
    channel_column: Annotated[str, typer.Option(help="Which holds channels.")] = "",
    date_column: Annotated[str, typer.Option(help="Which holds since when, as 2026-11-22.")] = "",
    tenant_column: Annotated[str, typer.Option(help="Which holds the tenant; * for all.")] = "",
    delimiter: Annotated[str, typer.Option(help="What parts columns; found out if left out.")] = "",
    reason: ReasonOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter the opt-outs of a file; those that stand already are left as they are.

    Good lines are entered whatever the others are; bad ones are shown, and end it with exit 1. An
    import that was broken off is simply run again. A file that `export` wrote needs no options.
    """
    if sum(map(bool, (tenant, all_tenants, tenant_column))) > 1:
        raise CommandError("say one of --tenant, --all-tenants and --tenant-column")
    purposes, channels = _scope(purpose, channel)
    asked = optout_file.named_columns(
        column, purpose_column, channel_column, date_column, tenant_column, delimiter
    )
    with opened(config) as (settings, database), optout_file.opened_list(file) as source:
        work = optout_file.Import(
            database,
            settings,
            source,
            file.name,
            asked,
            tenant=tenant or None,
            everyone=all_tenants,
            purposes=purposes,
            channels=channels,
            reason=reason,
        )
        work.run(dry=dry_run)
    say(as_json, work.report(dry=dry_run), "\n".join(work.told(dry=dry_run)))
    if work.tally.bad or work.tally.undated:
        raise typer.Exit(1)


@app.command("export")
def export_opt_outs(
    file: Annotated[
        Path | None, typer.Argument(help="A new file; standard output if left out.")
    ] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Those that bind it; everybody's if left out.")
    ] = "",
    form: Annotated[str, typer.Option("--format", help="csv, or json: one object a line.")] = "csv",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write the opt-outs that stand, with where each came from."""
    if form not in get_args(Format):
        raise CommandError(f"{form!r} is no format; known: {', '.join(get_args(Format))}")
    with opened(config) as (_, database):
        if tenant:
            with database.reading() as connection:
                require_tenant(connection, tenant)
        count = optout_file.export(database, tenant or None, cast("Format", form), file)
    if file is not None:
        typer.echo(f"{count} opt-outs written to {plain(str(file))}")


def _scope(
    purpose: list[str] | None, channel: list[str] | None
) -> tuple[frozenset[str], frozenset[str]]:
    purposes, channels = frozenset(purpose or []), frozenset(channel or [])
    if unknown := purposes - set(PURPOSES):
        raise CommandError(f"{sorted(unknown)[0]!r} is no purpose; known: {', '.join(PURPOSES)}")
    if unknown := channels - set(CHANNELS):
        raise CommandError(f"{sorted(unknown)[0]!r} is no channel; known: {', '.join(CHANNELS)}")
    return purposes, channels


def _meet(wish: Wish, event: OptOutEvent) -> bool:
    """Whether the event is about anything that the wish still stands for."""
    stands = cells(wish.event.purposes, wish.event.channels)
    return bool(stands & cells(event.purposes, event.channels))


def _about(event: OptOutEvent) -> str:
    purposes = f" for {_joined(event.purposes)}" if event.purposes else ""
    return purposes + (f" by {_joined(event.channels)}" if event.channels else "")


def _joined(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _listed(wish: Wish) -> dict[str, object]:
    event = wish.event
    return {
        "subject": event.subject,
        "tenant": event.tenant or "all",
        "since": event.at.isoformat(timespec="seconds"),
        "way": event.way,
        "purposes": _joined(event.purposes) or "all",
        "channels": _joined(event.channels) or "all",
    }


def _spoken(event: OptOutEvent) -> dict[str, object]:
    return {
        "at": event.at.isoformat(timespec="seconds"),
        "tenant": event.tenant or "all",
        "standing": event.standing,
        "purposes": sorted(event.purposes),
        "channels": sorted(event.channels),
        "way": event.way,
        "actor": event.actor,
        "call": event.call_id,
        "prompt": event.prompt,
        "reason": event.reason,
        "evidence": event.evidence,
    }


def _told(event: OptOutEvent) -> str:
    said = "opted out of" if event.standing else "opted in again to"
    what = f"{said} {event.tenant or 'all tenants'}{_about(event)}"
    given = (event.reason, event.evidence, event.call_id and f"call {event.call_id}", event.prompt)
    whence = "; ".join(filter(None, (f"{event.way} by {event.actor}", *given)))
    return plain(f"{event.at.isoformat(timespec='seconds')} {what} ({whence})")


def _subject(connection: Connection, settings: Settings, number: str, tenant: str) -> str:
    region = settings.home_region
    if tenant:
        require_tenant(connection, tenant)
        chosen = select(tenants.c.settings).where(tenants.c.id == tenant)
        region = str(connection.execute(chosen).scalar_one()["home_region"])
    subject = subject_key(number, region)
    if not subject:
        raise CommandError(f"{number!r} is no telephone number")
    return subject
