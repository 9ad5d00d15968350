"""``callguard tenant policy``: how long a tenant's records are kept, and what then becomes of
them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from callguard.cli.arguments import law_of, read_span, read_tenant
from callguard.cli.redating import redate
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
)
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.policy.tables import plain
from callguard.retention.at_end import AtEnd, at_end_of
from callguard.retention.classes import CLASSES, SETTABLE
from callguard.retention.dating import AFFECTED
from callguard.retention.rescheduling import Tally
from callguard.storage.database import Database
from callguard.tenants.keeping import span_of
from callguard.tenants.lawful import check_span, in_words, of_class
from callguard.tenants.retaining import (
    NOTHING,
    Chosen,
    chosen,
    set_anonymise,
    set_at_end,
    set_retention,
)
from callguard.tenants.tenant import Tenant

DEFAULT = "default"
"""What is typed to take a choice away."""


def policy(
    tenant: str,
    data_class: Annotated[
        str, typer.Argument(metavar="[CLASS]", help=", ".join(SETTABLE), show_default=False)
    ] = "",
    span: Annotated[
        str,
        typer.Argument(
            metavar="[SPAN]",
            help="How long they are kept: 30d, 12mo, 5y, 3y14d; or default.",
            show_default=False,
        ),
    ] = "",
    anonymise: Annotated[
        bool | None,
        typer.Option("--anonymise/--no-anonymise", help="Whether figures are left of them."),
    ] = None,
    at_end: Annotated[
        str, typer.Option(help="When the contract ends: delete, archive, keep; or default.")
    ] = "",
    at_end_after: Annotated[
        str, typer.Option(metavar="SPAN", help="How long after the end all is gone.")
    ] = "",
    at_end_until: Annotated[
        str, typer.Option(metavar="DATE", help="The last day on which something is left.")
    ] = "",
    basis: Annotated[str, typer.Option(help="Why it stays: a law, a contract, a dispute.")] = "",
    existing: Annotated[
        bool, typer.Option("--existing", help="Give the records that are there their new date too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count whose date would change.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Records may go sooner than promised.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show how long a tenant's records are kept, or set it for one class, for records to come."""
    wanted = _read(data_class, span, anonymise, at_end, (at_end_after, at_end_until, basis))
    if wanted.changes and not data_class:
        raise CommandError("say of which class")
    if data_class and data_class not in SETTABLE:
        raise CommandError(f"{data_class!r} is no data class; known: {', '.join(SETTABLE)}")
    if existing and data_class and data_class not in AFFECTED:
        raise CommandError(f"no record of {data_class} has a date to change: leave --existing out")
    with opened(config) as (settings, database):
        law = law_of(settings)
        with database.reading() as connection:
            owner = read_tenant(connection, tenant, law)
            before = chosen(connection, tenant)
        if not (wanted.changes or existing or dry_run):
            _show(owner, before, data_class, as_json=as_json)
            return
        if wanted.span is not None:
            check_span(law, owner.settings, data_class, wanted.span, SystemClock().now())
        counts: Mapping[str, Tally] = {}
        if existing or dry_run:
            counts = redate(settings, database, wanted.of(owner), data_class, dry=True)
        told: tuple[str, ...] = ()
        if not dry_run:
            _check_sooner(counts, yes=yes)
            told = _write(database, owner, law, wanted)
            told += tuple(_further(settings, wanted))
            with database.reading() as connection:
                owner = read_tenant(connection, tenant, law)
                before = chosen(connection, tenant)
            if existing:
                counts = redate(settings, database, owner, data_class, dry=False)
    value: dict[str, object] = {"tenant": tenant, "class": data_class or None}
    lines: list[str] = []
    if data_class:
        value |= before.get(data_class, NOTHING).as_json()
        lines += [_said(wanted.of(owner), data_class, dry=dry_run)]
    value |= {"notes": list(told)}
    if existing or dry_run:
        value |= {"existing": {name: one.as_json() for name, one in counts.items()}}
        value |= {"dry_run": dry_run}
    lines += [f"note: {note}" for note in told]
    lines += [_counted(name, tally, dry=dry_run) for name, tally in counts.items()]
    say(as_json, value, "\n".join(map(plain, lines)))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was typed. ``span`` and ``at_end`` None take the choice away where they are set."""

    data_class: str
    sets_span: bool = False
    span: Span | None = None
    anonymise: bool | None = None
    sets_end: bool = False
    at_end: AtEnd | None = None

    @property
    def changes(self) -> bool:
        return self.sets_span or self.sets_end or self.anonymise is not None

    def of(self, tenant: Tenant) -> Tenant:
        """The tenant as it would be."""
        retention, ends = dict(tenant.retention), dict(tenant.at_end)
        if self.sets_span:
            retention.pop(self.data_class, None)
            retention |= {self.data_class: self.span} if self.span is not None else {}
        if self.sets_end:
            ends.pop(self.data_class, None)
            ends |= {self.data_class: self.at_end} if self.at_end is not None else {}
        return replace(tenant, retention=retention, at_end=ends)


def _read(
    data_class: str, span: str, anonymise: bool | None, at_end: str, rest: tuple[str, str, str]
) -> _Wanted:
    """Raises CommandError."""
    after, until, basis = rest
    end = None
    if at_end in ("", DEFAULT):
        if any(rest):
            raise CommandError("say with --at-end what becomes of them: delete, archive or keep")
    else:
        if at_end == "delete" and not (after or until) and data_class in CLASSES:
            after = str(CLASSES[data_class].at_end)
        typed = {"action": at_end, "after": after or None, "until": until or None, "basis": basis}
        try:
            end = AtEnd.parse(typed)
        except ValueError as error:
            raise CommandError(str(error)) from error
    kept = None if span in ("", DEFAULT) else read_span(span)
    return _Wanted(data_class, bool(span), kept, anonymise, bool(at_end), end)


def _write(
    database: Database, owner: Tenant, law: tuple[RetentionLimit, ...], wanted: _Wanted
) -> tuple[str, ...]:
    """Sets it, all or nothing; what whoever sets it is to know. Raises TenantError."""
    name, now, told = wanted.data_class, SystemClock().now(), tuple[str, ...]()
    with database.writing() as connection:
        if wanted.sets_span:
            told = set_retention(
                connection, owner.id, name, wanted.span, at=now, actor=actor(), limits=law
            )
        if wanted.anonymise is not None:
            set_anonymise(connection, owner.id, name, wanted.anonymise, at=now, actor=actor())
        if wanted.sets_end:
            set_at_end(connection, owner.id, name, wanted.at_end, at=now, actor=actor())
    return told


_TOLD = {
    "contact": "those entered by hand or synced stay until they are removed",
    "list": "no list is kept longer than [scrubs] keep_days; those that are there keep their date",
    "audit": "one log for all: with [purge] audit it goes when all tenants let it, not before 5y",
}


def _further(settings: Settings, wanted: _Wanted) -> Iterator[str]:
    """What whoever sets it is to know beside the law."""
    name = wanted.data_class
    if name in _TOLD and (wanted.sets_span or wanted.sets_end):
        yield f"{name}: {_TOLD[name]}"
    if wanted.sets_span and any(folder.data_class == name for folder in settings.folders):
        yield f"{name}: files that are there follow it too, from the next purge on"


def _check_sooner(counts: Mapping[str, Tally], *, yes: bool) -> None:
    """Raises CommandError where records would go sooner and nobody said so."""
    sooner = sum(tally.sooner for tally in counts.values())
    due = sum(tally.due for tally in counts.values())
    if sooner and not yes:
        raise CommandError(
            f"{sooner} records would go sooner than promised, {due} of them at once: "
            "nothing was changed; say --yes, or look with --dry-run"
        )


def _show(owner: Tenant, choices: Mapping[str, Chosen], data_class: str, *, as_json: bool) -> None:
    now = SystemClock().now()
    rows: list[dict[str, object]] = []
    for name in [data_class] if data_class else SETTABLE:
        one, span = choices.get(name, NOTHING), span_of(owner, name)
        limits = of_class(owner.limits, owner.settings, name, now)
        law = [plain(in_words(limit, owner.settings)) for limit in limits]
        end = at_end_of(name) if one.at_end is None else one.at_end
        rows.append(
            {
                "class": name,
                "kept": None if span is None else str(span),
                "chosen": one.span is not None,
                "anonymise": one.anonymise,
                "law": law,
                "at_end": end.as_json(),
                "at the end": plain(end.in_words()),
            }
        )
    if as_json:
        say(True, [{k: v for k, v in row.items() if k != "at the end"} for row in rows], "")
        return
    typer.echo("\n".join(line for row in rows for line in _lines(row)))


def _lines(row: Mapping[str, object]) -> Iterator[str]:
    """One class: what stands, then each limit of the law on a line of its own."""
    kept = row["kept"] or "until the contract ends"
    figures = ", then figures" if row["anonymise"] else ""
    default = "" if row["chosen"] else " (default)"
    yield f"{row['class']}: {kept}{default}{figures}; {row['at the end']}"
    law = row["law"]
    for limit in law if isinstance(law, list) else []:
        yield f"  {limit}"


def _said(tenant: Tenant, data_class: str, *, dry: bool) -> str:
    span = span_of(tenant, data_class)
    kept = "until the contract ends" if span is None else span.in_words()
    end = at_end_of(data_class)
    ended = tenant.at_end.get(data_class, end).in_words()
    return f"{tenant.id}: {data_class} {'would be' if dry else 'is'} kept {kept}; {ended}"


def _counted(name: str, tally: Tally, *, dry: bool) -> str:
    would = "would get" if dry else "got"
    return (
        f"{name}: of {tally.rows} records {tally.sooner} {would} a sooner date, "
        f"{tally.later} a later one; {tally.due} are due"
    )
