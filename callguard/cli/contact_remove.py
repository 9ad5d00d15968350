"""``callguard contact remove``: a contact goes, for good."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection

from callguard.audit.log import Entry, append
from callguard.cli.arguments import read_tenant, subject_of
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
from callguard.contacts.store import id_of
from callguard.recording.erasure import erase_for_good
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.ledger import CONTACT, Erasure

T = TypeVar("T")


def remove_contact(
    number: str,
    tenant: Annotated[str, typer.Option("--tenant", help="Which tenant knows it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take away what is known of a subject: at the tenant's wish, or because the book that it was
    kept in step with no longer has it. No backup brings it back."""
    now = SystemClock().now()
    with opened(config) as (settings, database):
        with database.reading() as connection:
            owner = read_tenant(connection, tenant)
        subject = subject_of(number, owner)

        async def write(work: Callable[[Connection], T], /) -> T:
            with database.writing() as connection:
                return work(connection)

        def choose(connection: Connection) -> list[Erasure]:
            found = id_of(connection, owner.id, subject, now)
            return [] if found is None else [Erasure(CONTACT, found, None, now)]

        def then(connection: Connection, _: object) -> None:
            append(connection, Entry(now, actor(), "contact.remove", "contact", owner.id, {}))

        if not asyncio.run(erase_for_good(write, open_ledger(settings), choose, then)):
            raise CommandError("nothing is known of this subject")
    say(as_json, {"subject": subject, "tenant": owner.id, "removed": True}, f"{subject}: removed")
