"""``callguard optout``: who does not want to be called."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, select

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
from callguard.optout.events import OptOutEvent, add, after
from callguard.policy.facts import PURPOSES
from callguard.policy.numbers import parse_number
from callguard.storage.schema import tenants

app = typer.Typer(help="Opt-outs: who does not want to be called.", no_args_is_help=True)

TenantOption = Annotated[
    str, typer.Option("--tenant", help="Whose calls are not wanted; all tenants' if left out.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
PAGE = 10_000


@app.command("add")
def add_opt_out(
    number: str,
    tenant: TenantOption = "",
    purpose: Annotated[
        list[str] | None, typer.Option(help="Only calls for this; repeatable.")
    ] = None,
    reason: ReasonOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter an opt-out; a running service obeys it within a second."""
    purposes = frozenset(purpose or [])
    if unknown := purposes - set(PURPOSES):
        raise CommandError(f"{sorted(unknown)[0]!r} is no purpose; known: {', '.join(PURPOSES)}")
    subject = _enter(config, number, tenant, standing=True, purposes=purposes, reason=reason)
    say(as_json, {"subject": subject, "standing": True}, f"{subject} opted out")


@app.command("remove")
def remove(
    number: str,
    reason: ReasonOption,
    tenant: TenantOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Lift an opt-out, with the evidence that the subject wants calls again."""
    if not reason.strip():
        raise CommandError("an opt-out is lifted only with a reason")
    subject = _enter(config, number, tenant, standing=False, purposes=frozenset(), reason=reason)
    say(as_json, {"subject": subject, "standing": False}, f"{subject} may be called again")


@app.command("list")
def list_opt_outs(
    tenant: TenantOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the opt-outs that stand."""
    with opened(config) as (_, database), database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
        standing = _standing(connection)
    rows: list[dict[str, object]] = [
        {
            "subject": event.subject,
            "tenant": event.tenant or "all",
            "since": event.at.isoformat(timespec="seconds"),
            "way": event.way,
            "purposes": ", ".join(sorted(event.purposes)) or "all",
        }
        for event in standing.values()
        if not tenant or event.tenant in (tenant, None)
    ]
    say_table(as_json, rows, ("subject", "tenant", "since", "way", "purposes"), "Opt-outs")


def _enter(
    config: Path,
    number: str,
    tenant: str,
    *,
    standing: bool,
    purposes: frozenset[str],
    reason: str,
) -> str:
    with opened(config) as (settings, database), database.writing() as connection:
        subject = _subject(connection, settings, number, tenant)
        if not standing and (subject, tenant or None) not in _standing(connection):
            raise CommandError(f"{subject} has not opted out of {tenant or 'all tenants'}")
        event = OptOutEvent(
            subject=subject,
            tenant=tenant or None,
            standing=standing,
            way="cli",
            actor=actor(),
            at=SystemClock().now(),
            purposes=purposes,
            reason=reason or None,
        )
        add(connection, event)
    return subject


def _subject(connection: Connection, settings: Settings, number: str, tenant: str) -> str:
    region = settings.home_region
    if tenant:
        require_tenant(connection, tenant)
        chosen = select(tenants.c.settings).where(tenants.c.id == tenant)
        region = str(connection.execute(chosen).scalar_one()["home_region"])
    parsed = parse_number(number, region)
    if not parsed.known:
        raise CommandError(f"{number!r} is no telephone number")
    return parsed.key


def _standing(connection: Connection) -> dict[tuple[str, str | None], OptOutEvent]:
    standing: dict[tuple[str, str | None], OptOutEvent] = {}
    seen = 0
    while page := after(connection, seen, PAGE):
        for sequence, event in page:
            seen = sequence
            if event.standing:
                standing[event.subject, event.tenant] = event
            else:
                standing.pop((event.subject, event.tenant), None)
    return standing
