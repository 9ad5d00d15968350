"""``callguard campaign``: what a dialler tells of its campaigns."""

from datetime import date, timedelta
from typing import Annotated

import typer
from sqlalchemy import delete, insert, select

from callguard.audit.log import Entry, append
from callguard.cli.arguments import read_tenant
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.gate.request import MAX_TEXT
from callguard.storage.schema import campaign_days

app = typer.Typer(help="Campaigns: calls answered and abandoned.", no_args_is_help=True)

COLUMNS = ("day", "answered", "abandoned")
MOST = 1_000_000_000


@app.command("report")
def report(
    tenant: str,
    campaign: Annotated[str, typer.Argument(help="Its name, as the dialplan gives it.")],
    answered: Annotated[int, typer.Option(help="Calls that a person answered.")],
    abandoned: Annotated[int, typer.Option(help="Those of them that found no agent in time.")],
    day: Annotated[str, typer.Option(help="In UTC, such as 2026-11-22; today if left out.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say how one day of a campaign went, in place of what was said of that day before."""
    if not campaign or len(campaign) > MAX_TEXT:
        raise CommandError(f"a campaign's name has 1 to {MAX_TEXT} characters")
    if not 0 <= abandoned <= answered <= MOST:
        raise CommandError(f"{abandoned} abandoned of {answered} answered calls cannot be")
    now = SystemClock().now()
    when = _day(day, now.date())
    with opened(config) as (_, database), database.writing() as connection:
        owner = read_tenant(connection, tenant).id
        key = {"tenant_id": owner, "campaign": campaign, "day": when}
        connection.execute(delete(campaign_days).filter_by(**key))
        figures = {"answered": answered, "abandoned": abandoned}
        connection.execute(insert(campaign_days).values(**key, **figures))
        details = {"day": when.isoformat(), **figures}
        append(connection, Entry(now, actor(), "campaign.report", campaign, owner, details))
    value = {"tenant": owner, "campaign": campaign, "day": when.isoformat(), **figures}
    say(as_json, value, f"{campaign} on {when}: {abandoned} of {answered} calls abandoned")


@app.command("show")
def show(
    tenant: str,
    campaign: str,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what was said of a campaign, by day."""
    with opened(config) as (_, database), database.reading() as connection:
        owner = read_tenant(connection, tenant).id
        found = connection.execute(
            select(campaign_days)
            .filter_by(tenant_id=owner, campaign=campaign)
            .order_by(campaign_days.c.day)
        ).all()
    rows: list[dict[str, object]] = [
        {"day": row.day.isoformat(), "answered": row.answered, "abandoned": row.abandoned}
        for row in found
    ]
    say_table(as_json, rows, COLUMNS, f"Campaign {campaign}")


def _day(text: str, today: date) -> date:
    """Raises CommandError."""
    if not text:
        return today
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is no day such as 2026-11-22") from error
    if found > today + timedelta(days=1):
        raise CommandError(f"{found} lies in the future")
    return found
