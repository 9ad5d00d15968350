"""``callguard key destroy``: nobody here opens a tenant's recordings again."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from callguard.cli.key_rotate import LEFT, means_of
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
from callguard.policy.tables import plain
from callguard.recording.erasure import tidy
from callguard.recording.keyring import open_keyring
from callguard.recording.rekeying.destruction import Reach, check_not_held, survey
from callguard.recording.rekeying.destruction import destroy as destroy_keys
from callguard.recording.rekeying.keyed import counts
from callguard.recording.rekeying.rewrap import Means
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.tenants.keys import TenantKeys, read_keys


def destroy(
    tenant: str,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log and the certificate.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="The file to write it to; printed if left out.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Destroy all of a tenant's keys here, for ever: what only they open is lost, in every copy. A
    backup restored later forgets them too. Leaves a certificate."""
    if not reason.strip() or not reason.isprintable():
        raise CommandError("destroying keys needs a reason, in one line")
    with opened(config) as (settings, database):
        keyring = open_keyring(settings)
        with database.reading() as connection:
            keys = read_keys(connection, tenant)
            check_not_held(connection, tenant)
            whole = sum(counts(connection, tenant).values())
        if not keys.versions:
            raise CommandError(f"tenant {tenant} has never had a key of its own here")
        with means_of(database, keyring, "headers") as means:
            reach = asyncio.run(
                survey(means.read, keyring, keys, lambda done: means.told(done, max(whole, done)))
            )
        if keys.live and not yes:
            _confirm(keys, reach)
        with _created(certificate) as file:
            ledger = open_ledger(settings)
            issued = asyncio.run(_destroy(means, ledger, tenant, reach, reason.strip()))
            if file is not None:
                file.write(json.dumps(issued, indent=2, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        clean = tidy(database.tidy)
    if as_json or certificate is None:
        say(True, issued, "")
    else:
        say(False, None, f"{tenant}: its keys are destroyed; certificate {certificate}")
    if not clean:
        print(LEFT, file=sys.stderr)


async def _destroy(
    means: Means, ledger: ErasureLedger, tenant: str, reach: Reach, reason: str
) -> dict[str, object]:
    at = SystemClock().now()
    return await destroy_keys(
        means.write, ledger, tenant, reach, at=at, actor=actor(), reason=reason
    )


def _confirm(keys: TenantKeys, reach: Reach) -> None:
    """Raises CommandError unless somebody at a terminal types the tenant's id."""
    told = plain(_in_words(keys, reach))
    if not sys.stdin.isatty():
        raise CommandError(f"{told}; say --yes")
    typer.echo(told, err=True)
    typed = typer.prompt("Type the tenant's id to destroy them", default="", err=True)
    if typed != keys.tenant:
        raise CommandError("nothing was destroyed")


def _in_words(keys: TenantKeys, reach: Reach) -> str:
    parts = [
        f"{keys.tenant}: {len(keys.live)} private keys would be destroyed",
        f"{reach.unreadable} recordings become unreadable for ever",
        f"{reach.open_to_others} stay readable for outside recipients alone",
        f"{reach.never_ours} only they can read already",
    ]
    if reach.unknown:
        parts.append(f"of {reach.unknown} that cannot be told")
    if reach.in_progress:
        parts.append(f"{reach.in_progress} of these are in progress, and so once they are sealed")
    if not keys.outside:
        parts.append("nothing more is recorded until the tenant has a recipient again")
    return ", ".join(parts)


@contextmanager
def _created(path: Path | None) -> Iterator[IO[str] | None]:
    """A new file for its owner alone, made before anything is destroyed; nothing is left of it
    where that fails."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
