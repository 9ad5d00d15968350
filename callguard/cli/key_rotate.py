"""``callguard key rotate`` and ``callguard recording rewrap``."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

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
from callguard.config import Settings
from callguard.policy.tables import plain
from callguard.recording.age import AgeError
from callguard.recording.erasure import tidy
from callguard.recording.keyring import Keyring, open_keyring
from callguard.recording.keys import KeyStoreError
from callguard.recording.rekeying.rewrap import Means
from callguard.recording.rekeying.rewrap_workers import RewrapError
from callguard.recording.rekeying.rotation import Rotated
from callguard.recording.rekeying.rotation import rotate as rotate_one
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.schema import tenants
from callguard.tenants.keys import read_keys
from callguard.tenants.store import change_settings
from callguard.tenants.tenant import TenantError

T = TypeVar("T")

READ_S = 120.0
LOCKED_TRIES = 20
LEFT = (
    "callguard: the log of the database still holds the wrapped keys, for a reader is in the way: "
    "they go with the next purge"
)
LOCKED_AGAIN_S = 0.2


def rotate(
    tenant: Annotated[str, typer.Argument(help="Whose; or --all.")] = "",
    all_: Annotated[
        bool, typer.Option("--all", help="Every tenant with a key of its own.")
    ] = False,
    headers_only: Annotated[
        bool, typer.Option(help="No new key: headers anew for the present recipients.")
    ] = False,
    own_key: Annotated[
        bool | None,
        typer.Option(
            "--own-key/--no-own-key",
            help="Also open its recordings with a key of callguard's own from now on; or not.",
        ),
    ] = None,
    drop_retired: Annotated[
        bool,
        typer.Option(
            "--drop-retired",
            help="Then wipe former private keys that retired an hour ago and nothing needs.",
        ),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a tenant a new key, and write the headers of its recordings anew: the audio stays as it
    is. One that was cut off goes on. Former private keys are kept unless told otherwise."""
    if bool(tenant) == all_:
        raise CommandError("say which tenant, or --all")
    if all_ and own_key is not None:
        raise CommandError("--own-key and --no-own-key are for one tenant")
    renew = not headers_only and own_key is not False
    with opened(config) as (settings, database):
        if own_key is not None:
            renew = _switch(database, tenant, own_key, renew=renew)
        run(settings, database, tenant, renew, bool(own_key), drop_retired, as_json)


def rewrap(
    tenant: Annotated[str, typer.Argument(help="Whose; all if left out.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the headers of recordings anew for their tenant's present recipients; the audio stays
    as it is. The same as key rotate --headers-only."""
    with opened(config) as (settings, database):
        run(settings, database, tenant, False, False, False, as_json)


def run(
    settings: Settings,
    database: Database,
    tenant: str,
    renew: bool,
    own_key: bool,
    drop: bool,
    as_json: bool,
) -> None:
    """Rotates one tenant, or all, and says what became of each. Raises CommandError at the end
    where one failed."""
    keyring = open_keyring(settings)
    done: list[Rotated] = []
    faults: dict[str, str] = {}
    with database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
        whose = [tenant] if tenant else _rotated(connection, renew, faults)
    with means_of(database, keyring, "headers") as means:
        for one in whose:
            try:
                done.append(
                    asyncio.run(rotate_one(means, one, renew=renew, own_key=own_key, drop=drop))
                )
            except (TenantError, AgeError, KeyStoreError, RewrapError, SQLAlchemyError) as error:
                if tenant:
                    raise
                faults[one] = one_line(error)
    if any(one.dropped for one in done) and not tidy(database.tidy):
        print(LEFT, file=sys.stderr)
    value = {"tenants": [one.as_json() for one in done], "failed": faults}
    say(as_json, value, "\n".join(plain(line) for one in done for line in _told(one)))
    if faults:
        raise CommandError("; ".join(f"{one}: {fault}" for one, fault in faults.items()))


def _switch(database: Database, tenant: str, own_key: bool, *, renew: bool) -> bool:
    """Sets whether the tenant's own key is in use, where it has one; whether a new one is wanted
    then. Raises CommandError, TenantError."""
    now = SystemClock().now()
    with database.writing() as connection:
        require_tenant(connection, tenant)
        keys = read_keys(connection, tenant)
        if own_key and keys.active is None:
            if not renew:
                raise CommandError(f"{tenant} has no key of its own: leave --headers-only out")
            return True
        change_settings(connection, tenant, {"own_key": own_key}, at=now, actor=actor())
    return renew


def _rotated(connection: Connection, renew: bool, faults: dict[str, str]) -> list[str]:
    """Whose keys are rotated with --all; those that cannot be read are entered in ``faults``."""
    found = []
    for one in connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars().all():
        try:
            keys = read_keys(connection, one)
        except TenantError as error:
            faults[one] = one_line(error)
            continue
        if keys.present and (not renew or (keys.settings.own_key and keys.active is not None)):
            found.append(one)
    return found


@contextmanager
def means_of(database: Database, keyring: Keyring, what: str) -> Iterator[Means]:
    """With a progress bar on a terminal."""

    async def read(query: Callable[[Connection], T], /) -> T:
        return await database.read(query, timeout=READ_S)

    async def write(work: Callable[[Connection], T], /) -> T:
        """Waits for a service that writes too."""
        for attempt in range(LOCKED_TRIES):
            try:
                with database.writing() as connection:
                    return work(connection)
            except OperationalError as error:
                if "locked" not in str(error) or attempt + 1 == LOCKED_TRIES:
                    raise
            await asyncio.sleep(LOCKED_AGAIN_S)
        raise AssertionError("the last attempt returned or raised")

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        told = _teller(bar, task)
        yield Means(SystemClock(), read, write, keyring, actor(), told=told)


def _teller(bar: Progress, task: TaskID) -> Callable[[int, int], None]:
    def told(done: int, whole: int) -> None:
        bar.update(task, completed=done, total=whole)

    return told


def _told(one: Rotated) -> list[str]:
    lines = []
    if one.renewed:
        lines.append(f"{one.tenant}: version {one.version} is active")
    elif one.continued:
        lines.append(f"{one.tenant}: went on with the rotation to version {one.version}")
    lines.append(f"{one.tenant}: {one.rewritten} headers written anew")
    if one.not_ours:
        lines.append(
            f"{one.tenant}: {one.not_ours} stay as they are: only outside recipients open them"
        )
    if one.damaged:
        named = ", ".join(one.named)
        lines.append(f"{one.tenant}: {one.damaged} stay as they are, damaged: {named}")
    if one.dropped:
        versions = ", ".join(map(str, one.dropped))
        lines.append(f"{one.tenant}: the private key of version {versions} is gone")
    if one.kept:
        lines.append(f"{one.tenant}: former private keys are kept: {one.kept}")
    return lines
