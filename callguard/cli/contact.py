"""``callguard contact``: what a tenant knows of the people it calls."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from callguard.cli.arguments import law_of, read_past, read_tenant, subject_of
from callguard.cli.contact_file import Details, Fault, Line, detailed, read_lines, read_origin
from callguard.cli.contact_remove import remove_contact
from callguard.cli.contact_ties import event, stretch
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
from callguard.contacts.exchange import Origin
from callguard.contacts.store import Entered, enter, read
from callguard.gate.request import MAX_TEXT
from callguard.policy.tables import plain
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.tenants.tenant import Tenant

app = typer.Typer(help="Contacts: what a tenant knows of whom it calls.", no_args_is_help=True)

TenantOption = Annotated[str, typer.Option("--tenant", help="Which tenant knows it.")]
OriginOption = Annotated[
    str | None,
    typer.Option(help="How it came in: manual, crm, synced or upload; as it was if left out."),
]
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
    last_exchange: Annotated[
        str | None, typer.Option(help="Day of the last exchange with them, if none of these.")
    ] = None,
    origin: OriginOption = None,
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
        "last exchange": last_exchange,
        "origin": origin,
    }
    fields = [name for name, value in given.items() if value is not None]
    if not fields:
        raise CommandError("say what is known, with an option such as --region")
    ties = [
        event("purchase", purchase, now),
        event("inquiry", inquiry, now),
        stretch("callback", callback, callback_until, now),
        stretch("contract", contract_since, contract_until),
        stretch("transaction", transaction, transaction_until),
    ]
    refusal = None if refused is None else read_past(refused, now)
    details = Details(region, subdivision, zone, kind)
    days = [refusal, *(tie.since for tie in ties if tie is not None)]
    days += [None if last_exchange is None else read_past(last_exchange, now)]
    exchanged = max((day for day in days if day is not None and day <= now), default=None)
    entered = Entered(read_origin(origin), exchanged_at=exchanged)

    def step(contact: Contact) -> Contact:
        contact = detailed(contact, details)
        for tie in ties:
            contact = tie.added(contact) if tie is not None else contact
        if refusal is not None:
            contact = contact.refused(refusal, campaign)
        return contact if restrict is None else _restricted(contact, restrict, now)

    with opened(config) as (settings, database), database.writing() as connection:
        owner = read_tenant(connection, tenant, law_of(settings))
        subject = subject_of(number, owner)
        after = enter(connection, owner, subject, step, entered, at=now)
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
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        owner = read_tenant(connection, tenant)
        subject = subject_of(number, owner)
        contact = read(connection, owner.id, subject, now)
    value = {"subject": subject, "tenant": owner.id, "known": contact.stored()}
    say(as_json, value, "\n".join(map(plain, contact_in_words.lines(subject, contact))))


app.command("remove")(remove_contact)


@app.command("import")
def import_contacts(
    file: Annotated[
        Path, typer.Argument(help="CSV: number, region, subdivision, zone, kind, last_exchange.")
    ],
    tenant: TenantOption,
    origin: OriginOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take over contacts from a CSV file; good lines are kept whatever the others are.

    Its first line names the columns: number, and any of region, subdivision, zone, kind and
    last_exchange. A cell left empty changes nothing.
    """
    came = read_origin(origin)
    done, bad = 0, 0
    shown: list[Fault] = []
    with opened(config) as (settings, database):
        with database.reading() as connection:
            owner = read_tenant(connection, tenant, law_of(settings))
        try:
            for batch in _batches(file, owner):
                good = [line for line in batch if not isinstance(line, Fault)]
                faults = [line for line in batch if isinstance(line, Fault)]
                kept = _write(database, owner, good, came)
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
        lines = read_lines(source, tenant, SystemClock().now())
        while batch := tuple(islice(lines, BATCH)):
            yield batch
            bar.update(task, completed=source.tell())


def _write(
    database: Database, tenant: Tenant, lines: Sequence[Line], origin: Origin | None
) -> list[Fault]:
    """Writes a batch in one transaction; which of it cannot be so."""
    if not lines:
        return []
    faults: list[Fault] = []
    now, began = SystemClock().now(), time.monotonic()
    with database.writing() as connection:
        for line in lines:
            step = partial(detailed, details=line.details)
            entered = Entered(origin, "upload", line.exchanged_at)
            try:
                enter(connection, tenant, line.subject, step, entered, at=now)
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
