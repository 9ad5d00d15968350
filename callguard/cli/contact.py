"""``callguard contact``: what a tenant knows of the people it calls."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.audit.log import Entry, append
from callguard.cli import contact_in_words
from callguard.cli.arguments import maybe, read_past, read_tenant, subject_of
from callguard.cli.contact_file import Details, Fault, Line, detailed, read_lines
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
from callguard.contacts.contact import Contact, ContactError
from callguard.contacts.store import change, read
from callguard.gate.request import MAX_TEXT
from callguard.policy.facts import RelationKind, Relationship
from callguard.policy.tables import plain
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.tenants.tenant import Tenant

app = typer.Typer(help="Contacts: what a tenant knows of whom it calls.", no_args_is_help=True)

TenantOption = Annotated[str, typer.Option("--tenant", help="Which tenant knows it.")]
BATCH = 200
"""Most contacts written in one transaction, which holds other writers up."""

SHOWN = 10
"""Most bad lines that are shown."""


@app.command("set")
def set_contact(
    number: str,
    tenant: TenantOption,
    region: Annotated[str | None, typer.Option(help="Country, such as GB.")] = None,
    subdivision: Annotated[str | None, typer.Option(help="Part of it, such as US-FL.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone, such as Europe/London.")] = None,
    kind: Annotated[str | None, typer.Option(help="consumer, business or unknown.")] = None,
    purchase: Annotated[str | None, typer.Option(help="Day on which they bought.")] = None,
    inquiry: Annotated[str | None, typer.Option(help="Day on which they inquired.")] = None,
    callback: Annotated[
        str | None, typer.Option(help="Day on which they asked to be called back.")
    ] = None,
    callback_until: Annotated[
        str | None, typer.Option(help="Until when that holds; that day alone if left out.")
    ] = None,
    contract_since: Annotated[str | None, typer.Option(help="Day a contract began.")] = None,
    contract_until: Annotated[str | None, typer.Option(help="Day it ends.")] = None,
    transaction: Annotated[
        str | None,
        typer.Option("--transaction", "--transaction-since", help="Day a transaction began."),
    ] = None,
    transaction_until: Annotated[str | None, typer.Option(help="Day it ends.")] = None,
    refused: Annotated[str | None, typer.Option(help="Day on which they said no.")] = None,
    campaign: Annotated[str | None, typer.Option(help="The campaign they said no to.")] = None,
    restrict: Annotated[
        bool | None,
        typer.Option("--restrict/--unrestrict", help="Whether processing is restricted."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Set what is known of a subject; a running service heeds it from the next call on.

    A day is its midnight in UTC; a moment such as 2026-11-22T14:30+01:00 may stand in its place.
    """
    now = SystemClock().now()
    if campaign is not None and refused is None:
        raise CommandError("--campaign says what was refused: give --refused too")
    if campaign is not None and len(campaign) > MAX_TEXT:
        raise CommandError(f"a campaign has at most {MAX_TEXT} characters")
    given = {
        "region": region,
        "subdivision": subdivision,
        "zone": zone,
        "kind": kind,
        "purchase": purchase,
        "inquiry": inquiry,
        "callback": callback or callback_until,
        "contract": contract_since or contract_until,
        "transaction": transaction or transaction_until,
        "refusal": refused,
        "restriction": None if restrict is None else str(restrict),
    }
    fields = [name for name, value in given.items() if value is not None]
    if not fields:
        raise CommandError("say what is known, with an option such as --region")
    ties = [
        _event("purchase", purchase, now),
        _event("inquiry", inquiry, now),
        _stretch("callback", callback, callback_until, now),
        _stretch("contract", contract_since, contract_until),
        _stretch("transaction", transaction, transaction_until),
    ]
    refusal = None if refused is None else read_past(refused, now)
    details = Details(region, subdivision, zone, kind)

    def step(contact: Contact) -> Contact:
        contact = detailed(contact, details)
        for tie in ties:
            contact = tie.added(contact) if tie is not None else contact
        if refusal is not None:
            contact = contact.refused(refusal, campaign)
        return contact if restrict is None else _restricted(contact, restrict, now)

    with opened(config) as (_, database), database.writing() as connection:
        owner = read_tenant(connection, tenant)
        subject = subject_of(number, owner)
        after = change(connection, owner.id, subject, step, at=now)
        _log(connection, "contact.set", owner, {"fields": fields}, now)
    value = {"subject": subject, "tenant": owner.id, "known": after.stored()}
    say(as_json, value, f"{subject}: {', '.join(fields)} set")


@app.command("show")
def show(
    number: str,
    tenant: TenantOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what is known of a subject."""
    with opened(config) as (_, database), database.reading() as connection:
        owner = read_tenant(connection, tenant)
        subject = subject_of(number, owner)
        contact = read(connection, owner.id, subject)
    value = {"subject": subject, "tenant": owner.id, "known": contact.stored()}
    say(as_json, value, "\n".join(map(plain, contact_in_words.lines(subject, contact))))


@app.command("import")
def import_contacts(
    file: Annotated[Path, typer.Argument(help="CSV: number, region, subdivision, zone, kind.")],
    tenant: TenantOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take over contacts from a CSV file; good lines are kept whatever the others are.

    Its first line names the columns: number, and any of region, subdivision, zone and kind. A
    cell left empty changes nothing.
    """
    done, bad = 0, 0
    shown: list[Fault] = []
    with opened(config) as (_, database):
        with database.reading() as connection:
            owner = read_tenant(connection, tenant)
        try:
            for batch in _batches(file, owner):
                good = [line for line in batch if not isinstance(line, Fault)]
                faults = [line for line in batch if isinstance(line, Fault)]
                kept = _write(database, owner, good)
                faults += kept
                done += len(good) - len(kept)
                bad += len(faults)
                shown = sorted([*shown, *faults], key=lambda fault: fault.number)[:SHOWN]
        except SQLAlchemyError as error:
            raise CommandError(
                f"{one_line(error)}; {done} contacts before that are kept"
            ) from error
    value = {
        "imported": done,
        "bad": bad,
        "faults": [{"line": fault.number, "fault": fault.told} for fault in shown],
    }
    told = [f"{done} contacts taken over, {bad} bad lines"]
    told += [f"line {fault.number}: {fault.told}" for fault in shown]
    if bad > len(shown):
        told.append(f"and {bad - len(shown)} more")
    say(as_json, value, "\n".join(map(plain, told)))
    if bad:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Tie:
    kind: RelationKind
    since: datetime | None
    until: datetime | None

    def added(self, contact: Contact) -> Contact:
        """With this tie; or, where only an end is known, with those of its kind ended."""
        if self.since is not None:
            if Relationship(self.kind, self.since, self.until) in contact.relationships:
                return contact
            return contact.related(self.kind, self.since, self.until)
        assert self.until is not None
        ended = contact.ended(self.kind, self.until)
        if ended == contact:
            raise ContactError(f"no {self.kind} is known that had not ended by then")
        return ended


def _event(kind: RelationKind, text: str | None, now: datetime) -> _Tie | None:
    """What happens in a moment is over with it."""
    if text is None:
        return None
    moment = read_past(text, now)
    return _Tie(kind, moment, moment)


def _stretch(
    kind: RelationKind, since: str | None, until: str | None, now: datetime | None = None
) -> _Tie | None:
    """What lasts; with ``now`` it has begun, and has no length where no end is given."""
    begun = maybe(since) if since is None or now is None else read_past(since, now)
    over = maybe(until)
    if begun is None and over is None:
        return None
    return _Tie(kind, begun, begun if over is None and now is not None else over)


def _restricted(contact: Contact, restrict: bool, now: datetime) -> Contact:
    if restrict:
        return replace(contact, restricted_since=contact.restricted_since or now)
    if contact.restricted_since is None:
        raise ContactError("processing is not restricted")
    return replace(contact, restricted_since=None)


def _batches(file: Path, tenant: Tenant) -> Iterator[Sequence[Line | Fault]]:
    """The lines of the file by the batch, with a progress bar on a terminal."""
    console = Console(stderr=True)
    with (
        file.open("rb") as source,
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("contacts", total=file.stat().st_size)
        lines = read_lines(source, tenant)
        while batch := tuple(islice(lines, BATCH)):
            yield batch
            bar.update(task, completed=source.tell())


def _write(database: Database, tenant: Tenant, lines: Sequence[Line]) -> list[Fault]:
    """Writes a batch in one transaction; which of it cannot be so."""
    if not lines:
        return []
    faults: list[Fault] = []
    now, began = SystemClock().now(), time.monotonic()
    with database.writing() as connection:
        for line in lines:
            step = partial(detailed, details=line.details)
            try:
                change(connection, tenant.id, line.subject, step, at=now)
            except ContactError as error:
                faults.append(Fault(line.number, str(error)))
        kept = {"contacts": len(lines) - len(faults)}
        _log(connection, "contact.import", tenant, kept, now)
    # A running service waits for the same lock: it gets as much time as this took.
    time.sleep(time.monotonic() - began)
    return faults


def _log(
    connection: Connection, action: str, tenant: Tenant, details: Mapping[str, object], at: datetime
) -> None:
    append(connection, Entry(at, actor(), action, "contact", tenant.id, details))
