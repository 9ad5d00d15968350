"""What every command stands on: its settings, the database, and how it answers."""

import json
import logging
import os
import pwd
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import SystemClock
from callguard.config import ConfigError, Settings
from callguard.consent.given import ConsentError
from callguard.consent.prompts import PromptError
from callguard.consent.texts import TextError
from callguard.contacts.contact import ContactError
from callguard.optout.events import OptOutError
from callguard.optout.registry.contract import RegistryError
from callguard.optout.scrub.contract import ScrubError
from callguard.policy.overrides import OverrideError
from callguard.policy.packs import PackError
from callguard.recording.age import AgeError
from callguard.recording.keys import KeyStoreError
from callguard.recording.playback.access import AccessError
from callguard.recording.playback.reading import RecordingError
from callguard.recording.rekeying.rewrap_workers import RewrapError
from callguard.recording.spool import SpoolError
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.backup.manifest import BackupError
from callguard.retention.backup.marker import require_not_restoring
from callguard.retention.backup.snapshot import drop_left_draft
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.erasures.ledger import LedgerError
from callguard.retention.holds.covering import HeldError
from callguard.retention.purging.clock_sense import ClockError
from callguard.retention.purging.leader import BusyError
from callguard.storage.database import Database, DatabaseError
from callguard.storage.journal import NotDurableError
from callguard.storage.migrate import check
from callguard.storage.schema import tenants
from callguard.tenants.tenant import TenantError


class CommandError(RuntimeError):
    """A command that is refused; one line that says why."""


FAILURES = (
    AccessError,
    AgeError,
    BackupError,
    BusyError,
    ClockError,
    CommandError,
    ConfigError,
    ConsentError,
    ContactError,
    DatabaseError,
    HeldError,
    KeyStoreError,
    LedgerError,
    NotDurableError,
    ObjectStoreError,
    OptOutError,
    OSError,
    OverrideError,
    PackError,
    PromptError,
    RecordingError,
    RegistryError,
    RewrapError,
    ScrubError,
    SpoolError,
    SQLAlchemyError,
    TenantError,
    TextError,
    UnicodeError,  # an argument, or a terminal, that is not of the locale
)
"""What ends a command with one line and exit 1."""

PRIVATE_KEY = "AGE-SECRET-KEY-"
"""How a private key of age begins, in capitals."""

DEFAULT_CONFIG = Path("/etc/callguard/callguard.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="CALLGUARD_CONFIG", help="The settings file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@contextmanager
def opened(config: Path) -> Iterator[tuple[Settings, Database]]:
    """The settings and the database of a command, which has forgotten again what was erased.
    Raises ConfigError, DatabaseError."""
    settings = Settings.load(config)
    require_not_restoring(settings)
    drop_left_draft(settings.data)
    database = Database(settings.database_url)
    try:
        check(database)
        with suppress(LedgerError):  # it is noted, and only what may have been erased is refused
            ledger = open_ledger(settings)
            forget_again(database, ledger, SystemClock(), actor=actor())
        yield settings, database
    finally:
        database.close()


def actor() -> str:
    """Who is at the command line, for the audit log."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def require_tenant(connection: Connection, tenant: str) -> None:
    """Raises CommandError unless there is such a tenant."""
    if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant)).first() is None:
        raise CommandError(f"there is no tenant {tenant}")


def say(as_json: bool, value: object, text: str) -> None:
    """Answers with one line, or with JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False) if as_json else text)


def say_table(
    as_json: bool, rows: Sequence[dict[str, object]], columns: Sequence[str], title: str
) -> None:
    """Answers with a table, or with a JSON list."""
    if as_json:
        typer.echo(json.dumps(list(rows), ensure_ascii=False))
        return
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if row[c] is None else str(row[c]) for c in columns))
    Console(markup=False, emoji=False, highlight=False).print(table)


def log_to_stderr(level: str = "info", *, cache: bool = True) -> None:
    """Structured logs as JSON lines on standard error, where a service manager collects them."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("event"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            getattr(logging, level.upper(), logging.INFO)
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=cache,
    )
