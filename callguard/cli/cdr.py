"""``callguard cdr``: call records."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated

import typer
from sqlalchemy import select

from callguard.cdr.columns import as_mapping, masked
from callguard.cdr.disclosure import (
    Disclosure,
    UnknownErasuresError,
    check_contract,
    check_held,
    check_memory,
    check_reason,
    note_seen,
    whose,
)
from callguard.cdr.legs import as_value, read_call
from callguard.cdr.reading import Wanted, newest
from callguard.cli.cdr_export import export
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
    require_tenant,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.policy.tables import plain
from callguard.recording.playback.access import read_ground, read_role
from callguard.storage.database import Database
from callguard.storage.schema import call_statistics

app = typer.Typer(help="Call records.", no_args_is_help=True)
app.command("export")(export)

ReasonOption = Annotated[
    str,
    typer.Option(help="Why numbers are to be seen; kept in the audit log. Masked if left out."),
]

LISTED = (
    "ended_at",
    "tenant",
    "direction",
    "caller",
    "called",
    "billed_s",
    "disposition",
    "verdict",
    "call_id",
)
LEGS = ("started_at", "unique_id", "caller", "called", "routed_to", "billed_s", "disposition")
STATISTICS = (
    "day",
    "tenant",
    "direction",
    "purpose",
    "campaign",
    "disposition",
    "calls",
    "billed_s",
)


@app.command("list")
def list_records(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    since: FromOption = None,
    until: ToOption = None,
    call: CallOption = "",
    number: NumberOption = "",
    direction: DirectionOption = "",
    purpose: PurposeOption = "",
    campaign: CampaignOption = "",
    agent: AgentOption = "",
    disposition: DispositionOption = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    held: HeldOption = False,
    ground: GroundOption = "",
    reason: ReasonOption = "",
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List call records that have not expired, the last first."""
    reader = read_role(actor(), role)
    owner = whose(reader, tenant or None)
    now = SystemClock().now()
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
        _enter(database, Disclosure(reader, wanted, reason), now)
        with database.reading() as connection:
            found = newest(connection, wanted, now, limit)
    records = [as_mapping(one if reason else masked(one)) for one in found]
    shown = records if as_json else _cells(records, LISTED)
    say_table(as_json, shown, LISTED, "Call records")


@app.command("show")
def show(
    call: str,
    ground: GroundOption = "",
    reason: ReasonOption = "",
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one call: its verdict, what was consented to, its recordings, and all its legs."""
    reader = read_role(actor(), role)
    now = SystemClock().now()
    with opened(config) as (_, database):
        wanted = Wanted(reader.tenant, call=call, ground=read_ground(ground))
        _enter(database, Disclosure(reader, wanted, reason), now)
        with database.reading() as connection:
            found = read_call(connection, call, now, reader.tenant, wanted.ground)
    if found is None:
        raise CommandError(f"there is no call {plain(call[:80])}")
    told = as_value(found, numbers=bool(reason))
    if as_json:
        say(True, told, "")
        return
    lists = {name: told.pop(name) for name in ("consents", "recordings", "legs")}
    lines = (f"{name}: {_words(value)}" for name, value in told.items() if value)
    say(False, None, "\n".join(map(plain, lines)))
    for name, rows in lists.items():
        assert isinstance(rows, list)
        if rows:
            columns = LEGS if name == "legs" else tuple(rows[0])
            say_table(False, _cells(rows, columns), columns, name.capitalize())


@app.command("statistics")
def statistics(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    since: Annotated[str | None, typer.Option("--from", help="From this day on.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this day.")] = None,
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what is left of call records that were made anonymous: how many by day."""
    reader = read_role(actor(), role)
    owner = whose(reader, tenant or None)
    c = call_statistics.c
    asked = select(call_statistics).order_by(*call_statistics.primary_key.columns)
    if owner is not None:
        asked = asked.where(c.tenant_id == owner)
    if since is not None:
        asked = asked.where(c.day >= _day(since))
    if until is not None:
        asked = asked.where(c.day < _day(until))
    with opened(config) as (_, database), database.reading() as connection:
        if owner is not None:
            require_tenant(connection, owner)
        check_contract(connection, reader, SystemClock().now())
        found = connection.execute(asked).all()
    rows: list[dict[str, object]] = [
        {
            "day": row.day.isoformat(),
            "tenant": row.tenant_id,
            "direction": row.direction,
            "purpose": row.purpose,
            "campaign": row.campaign,
            "disposition": row.disposition,
            "calls": row.calls,
            "billed_s": row.billed_s,
        }
        for row in found
    ]
    shown = rows if as_json else _cells(rows, STATISTICS)
    say_table(as_json, shown, STATISTICS, "Statistics of calls")


def _enter(database: Database, seen: Disclosure, now: datetime) -> None:
    """Lets in whoever sees records; who sees their numbers is in the audit log. Raises AccessError,
    CommandError."""
    try:
        with database.reading() as connection:
            check_memory(connection)
            check_contract(connection, seen.reader, now)
    except UnknownErasuresError as error:
        raise CommandError(str(error)) from error
    check_held(seen.reader, seen.wanted, seen.reason)
    if seen.reason:
        check_reason(seen.reason)
        with database.writing() as connection:
            note_seen(connection, seen, now)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is no day such as 2026-11-22") from error


def _cells(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> list[dict[str, object]]:
    """For a terminal: without what would move its cursor, times to the second."""
    return [{name: _cell(name, row[name]) for name in columns} for row in rows]


def _cell(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = str(value)
    return plain(f"{text[:19]}{text[26:]}" if name == "at" or name.endswith("_at") else text)


def _words(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
