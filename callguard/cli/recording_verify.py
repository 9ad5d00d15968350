"""``callguard recording verify``: are the stored recordings still the ones that were sealed?"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import select

from callguard.audit.log import Entry, append
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    require_tenant,
    say,
)
from callguard.clock import SystemClock
from callguard.policy.tables import plain
from callguard.recording.keyring import open_keyring
from callguard.recording.keys import KeyWrapper
from callguard.recording.playback.access import Asked, Refusal, read_role
from callguard.recording.playback.admission import (
    Admitted,
    RefusedError,
    admit,
    admitted,
    consider,
    note_damage,
)
from callguard.recording.playback.reading import visible
from callguard.recording.playback.verifying import Finding, examine
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.recording.store.opening import open_store
from callguard.recording.tombstones import not_remembering
from callguard.storage.database import Database
from callguard.storage.schema import recordings

RoleOption = Annotated[
    str,
    typer.Option(help="As whom: operator, auditor, tenant_admin:TENANT or supervisor:TENANT."),
]

NAMED = 5
"""Damaged recordings that the last line names."""

UNANSWERED = 3
"""After so many recordings in a row that the store does not give, it is asked no more."""

Told = Callable[[int], None]


@dataclass
class _Result:
    """What was found so far."""

    checked: int = 0
    opened: int = 0
    unopened: int = 0
    damaged: dict[str, str] = field(default_factory=dict)

    def take(self, found: Finding) -> None:
        self.checked += 1
        self.opened += not found.unopened
        self.unopened += bool(found.unopened)
        if not found.whole:
            self.damaged[found.recording] = found.line


def verify(
    recording: Annotated[str, typer.Argument(help="This one; or --tenant, or --all.")] = "",
    tenant: Annotated[str, typer.Option(help="All of this tenant's.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    sample: Annotated[
        int, typer.Option(min=0, help="Only so many of them, chosen at random; 0 is all.")
    ] = 0,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")] = "",
    role: RoleOption = "operator",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Open every chunk of stored recordings, and compare them with what the database says.

    Of those that only their tenant can open, the header's syntax, the size and the SHA-256 are
    checked. Ends with 1 when any is damaged. Nobody hears anything.
    """
    if bool(recording) + bool(tenant) + everything != 1:
        raise typer.BadParameter("name a recording, or --tenant, or --all")
    asked = Asked(read_role(actor(), role), "verify", reason)
    now = SystemClock().now()
    with opened(config) as (settings, database):
        store, wrapper = open_store(settings), open_keyring(settings).identities
        if recording:
            with database.writing() as connection:
                one = admit(connection, asked, recording, now)
            found = _one(database, asked, admitted(one), store, wrapper)
            _say_one(as_json, found)
            return
        ids = _chosen(database, asked, tenant, sample)
        result = _Result()
        with _progress(sum(size for _, size in ids)) as told:
            _all(database, asked, ids, store, wrapper, result, told)
        details = {"checked": result.checked, "damaged": len(result.damaged)}
        with database.writing() as connection:
            append(connection, _entry(asked, "recording.verified", tenant, details))
    _say_all(as_json, result)


def _one(
    database: Database,
    asked: Asked,
    one: Admitted,
    store: ObjectStore,
    wrapper: KeyWrapper,
    told: Told = lambda _: None,
) -> Finding:
    """Raises RefusedError where it was erased meanwhile, which looks like damage."""
    found = examine(one.row, one.identities, store, wrapper, told)
    if not found.whole:
        now = SystemClock().now()
        with database.writing() as connection:
            still = consider(connection, asked, one.row.id, now)
            if isinstance(still, Admitted):
                note_damage(connection, asked, one.row, now, found.line)
        admitted(still)
    return found


def _chosen(database: Database, asked: Asked, tenant: str, sample: int) -> list[tuple[str, int]]:
    """The recordings and their sizes; that they are verified is in the audit log. Raises
    CommandError."""
    reader, now = asked.reader, SystemClock().now()
    with database.writing() as connection:
        if (unknown := not_remembering(connection)) is not None:
            raise CommandError(f"no recording is read while {unknown}")
        if tenant:
            require_tenant(connection, tenant)
            if not reader.may_see(tenant):
                raise CommandError(f"a reader of role {reader.role} verifies its own tenant's")
        wanted = select(recordings.c.id, recordings.c.sealed_bytes).where(
            recordings.c.state == "sealed", visible(now, held=reader.sees_expired)
        )
        if whose := tenant or reader.tenant:
            wanted = wanted.where(recordings.c.tenant_id == whose)
        ids = [(row.id, row.sealed_bytes or 0) for row in connection.execute(wanted)]
        if 0 < sample < len(ids):
            ids = random.SystemRandom().sample(ids, sample)
        details = {"count": len(ids), "sample": sample or None, "reason": asked.reason or None}
        append(connection, _entry(asked, "recording.verify", whose or "", details))
    return sorted(ids)


def _entry(asked: Asked, action: str, tenant: str, details: Mapping[str, object]) -> Entry:
    told = {"role": asked.reader.role, **{k: v for k, v in details.items() if v is not None}}
    target = f"recordings:{tenant or 'all'}"
    return Entry(SystemClock().now(), asked.reader.actor, action, target, tenant or None, told)


def _all(
    database: Database,
    asked: Asked,
    ids: list[tuple[str, int]],
    store: ObjectStore,
    wrapper: KeyWrapper,
    result: _Result,
    told: Told,
) -> None:
    """Raises ObjectStoreError where the store answers no more."""
    unanswered = 0
    for name, size in ids:
        with database.reading() as connection:
            one = consider(connection, asked, name, SystemClock().now())
        if isinstance(one, Refusal):
            told(size)  # it was erased, or has expired, since the list was made
            continue
        try:
            result.take(_one(database, asked, one, store, wrapper, told))
            unanswered = 0
        except RefusedError:
            continue
        except ObjectStoreError as error:
            unanswered += 1
            if unanswered == UNANSWERED:
                raise
            result.checked += 1
            result.damaged[name] = str(error)


def _say_one(as_json: bool, found: Finding) -> None:
    told = {
        "recording": found.recording,
        "whole": found.whole,
        "opened": not found.unopened,
        "bytes": found.bytes,
        "line": found.line,
    }
    if as_json or found.whole:
        say(as_json, told, plain(f"{found.recording}: {found.line}"))
    if not found.whole:
        raise CommandError(plain(f"recording {found.recording} is damaged: {found.line}"))


def _say_all(as_json: bool, result: _Result) -> None:
    damaged = [{"recording": name, "fault": line} for name, line in result.damaged.items()]
    told = {
        "checked": result.checked,
        "opened": result.opened,
        "unopened": result.unopened,
        "damaged": damaged,
    }
    lines = [f"{name}: {line}" for name, line in result.damaged.items()]
    opened_of = f"{result.checked} verified, {len(damaged)} damaged"
    if result.unopened:
        opened_of += (
            f"; of {result.unopened} only header, size and SHA-256 were checked: "
            "no key that is here opens them"
        )
    say(as_json, told, "\n".join(map(plain, [*lines, opened_of])))
    if damaged:
        named = ", ".join(list(result.damaged)[:NAMED])
        more = f" and {len(damaged) - NAMED} more" if len(damaged) > NAMED else ""
        raise CommandError(f"{len(damaged)} of {result.checked} damaged: {named}{more}")


@contextmanager
def _progress(total: int) -> Iterator[Told]:
    """A progress bar on a terminal, by the bytes read."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("verifying", total=total)

        def told(more: int) -> None:
            bar.advance(task, more)

        yield told
