"""``callguard hold``: what is kept although its time has come, hidden, until somebody lets go."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from itertools import product
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, select

from callguard.cli.arguments import read_moment, read_offset, read_tenant
from callguard.cli.purge import purge
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
from callguard.config import Settings
from callguard.optout.bulk import subject_key
from callguard.policy.numbers import mask
from callguard.policy.tables import plain
from callguard.retention.holds.placing import (
    HoldError,
    NewHold,
    add,
    covered,
    due_of,
    find,
    of_case,
    release,
    wishes,
)
from callguard.retention.holds.told import as_told
from callguard.storage.schema import holds
from callguard.tenants.keeping import zone_of

app = typer.Typer(help="Holds: what may not be erased for now.", no_args_is_help=True)

CaseOption = Annotated[str, typer.Option("--case", help="The case that it belongs to.")]
LISTED = ("hold", "case", "tenant", "subject", "call", "from", "to", "reason", "review", "overdue")


@app.command("add")
def add_hold(
    reason: Annotated[str, typer.Option(help="Why; without numbers or names.")],
    review: Annotated[str, typer.Option(help="By when somebody looks whether it is needed.")],
    tenant: Annotated[str, typer.Option(help="Only what is of this tenant.")] = "",
    subject: Annotated[
        list[str] | None, typer.Option(help="Only what is about this number; repeatable.")
    ] = None,
    call: Annotated[
        list[str] | None, typer.Option(help="Only what is of this call; repeatable.")
    ] = None,
    from_: Annotated[str, typer.Option("--from", help="Only what is from then on.")] = "",
    to: Annotated[str, typer.Option("--to", help="Only what is before then.")] = "",
    case: CaseOption = "",
    everything: Annotated[
        bool, typer.Option("--everything", help="All that is kept of everybody.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Keep what is named from being purged or erased. Each part that is named must match; several
    subjects or calls make several holds. Says how many rows each covers."""
    now = SystemClock().now()
    with opened(config) as (settings, database):
        with database.writing() as connection:
            zone = zone_of(read_tenant(connection, tenant)) if tenant else UTC
            subjects: list[str | None] = [
                _subject(connection, settings, one, tenant) for one in subject or []
            ]
            which_calls: list[str | None] = [*(call or ())]
            placed = [
                _placed(connection, NewHold(
                    reason=reason,
                    author=actor(),
                    review_at=_moment(review, zone) or now,
                    tenant=tenant or None,
                    subject=whom,
                    call=which,
                    case=case or None,
                    from_at=_moment(from_, zone),
                    to_at=_moment(to, zone, pick=max),
                    everything=everything,
                ), now)
                for whom, which in product(subjects or [None], which_calls or [None])
            ]  # fmt: skip
        told: list[dict[str, object]] = []
        with database.reading() as connection:
            for hold_id, already in placed:
                row = find(connection, hold_id)
                about = {**as_told(row, now), "already": already}
                told.append({**about, "covers": covered(connection, row)})
    say(as_json, told, "\n".join(map(_in_words, told)))


@app.command("release")
def release_hold(
    hold: Annotated[list[str] | None, typer.Argument(help="Which holds.")] = None,
    case: Annotated[str, typer.Option("--case", help="All holds of this case instead.")] = "",
    purge_now: Annotated[
        bool, typer.Option("--purge-now", help="Purge at once, not with the next run.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let go. What has expired meanwhile is due, and the next purge takes it."""
    if bool(hold) == bool(case):
        raise CommandError("name the holds, or a case with --case")
    if purge_now and as_json:
        raise typer.BadParameter("--purge-now and --json do not go together")
    now = SystemClock().now()
    with opened(config) as (_, database):
        with database.reading() as connection:
            ids = hold or _held(of_case, connection, case)
            wished = _held(wishes, connection, ids)
        with database.writing() as connection:
            rows = _held(release, connection, ids, now, actor(), wished)
        with database.reading() as connection:
            due = due_of(connection, rows, now)
    value = {"released": [row.id for row in rows], "due": due}
    became = f"due now: {_counts(due)}" if due else "nothing is due"
    say(as_json, value, f"released {', '.join(row.id for row in rows)}; {became}")
    if purge_now:
        purge(config=config)


@app.command("list")
def list_holds(
    tenant: Annotated[str, typer.Option(help="Only those that name it, or no tenant.")] = "",
    case: CaseOption = "",
    all_: Annotated[bool, typer.Option("--all", help="Also those that were released.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the holds that stand, the oldest first."""
    now = SystemClock().now()
    wanted = select(holds).order_by(holds.c.at, holds.c.id)
    if not all_:
        wanted = wanted.where(holds.c.released_at.is_(None))
    if case:
        wanted = wanted.where(holds.c.case_id == case)
    with opened(config) as (_, database), database.reading() as connection:
        if tenant:
            read_tenant(connection, tenant)
            wanted = wanted.where(holds.c.tenant_id.is_(None) | (holds.c.tenant_id == tenant))
        rows = [as_told(row, now) for row in connection.execute(wanted)]
    for row in rows:
        row["subject"] = row["subject"] and mask(str(row["subject"]))
        row["case"], row["reason"] = plain(str(row["case"] or "")), plain(str(row["reason"]))
    say_table(as_json, rows, LISTED, "Holds")


@app.command("show")
def show_hold(
    hold: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Show one hold, and how many rows of each class it covers, expired or not."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        row = _held(find, connection, hold)
        told = {**as_told(row, now), "covers": covered(connection, row)}
    lines = [f"{name}: {_shown(value)}" for name, value in told.items() if value is not None]
    say(as_json, told, "\n".join(map(plain, lines)))


def _placed(connection: Connection, new: NewHold, now: datetime) -> tuple[str, bool]:
    placed = _held(add, connection, new, now)
    return placed.id, placed.already


def _held(act: Any, *arguments: Any) -> Any:
    """Raises CommandError for what cannot be held."""
    try:
        return act(*arguments)
    except HoldError as error:
        raise CommandError(plain(str(error))) from error


def _subject(connection: Connection, settings: Settings, text: str, tenant: str) -> str:
    region = settings.home_region
    if tenant:
        region = read_tenant(connection, tenant).settings.home_region
    if not (subject := subject_key(text, region)):
        raise CommandError(f"{text!r} is no telephone number")
    return subject


def _moment(
    text: str, zone: tzinfo, pick: Callable[[set[datetime]], datetime] = min
) -> datetime | None:
    """A day begins where the tenant is. Of an hour that comes twice, ``pick`` takes one."""
    if not text:
        return None
    if read_offset(text)[1]:
        return read_moment(text)
    there = datetime.fromisoformat(text.strip()).replace(tzinfo=zone)
    return pick({there.replace(fold=fold).astimezone(UTC) for fold in (0, 1)})


def _in_words(told: Mapping[str, Any]) -> str:
    stands = "stood already" if told["already"] else "stands"
    review = f"review by {told['review']}"
    return plain(f"hold {told['hold']} {stands}, {review}; covers {_counts(told['covers'])}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"


def _shown(value: object) -> str:
    return _counts(value) if isinstance(value, Mapping) else str(value)
