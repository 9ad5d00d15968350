"""``callguard tenant terminate``: the end of a contract."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection

from callguard.cli.arguments import law_of
from callguard.cli.ending import terminations
from callguard.cli.redating import redate
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
from callguard.config import Settings
from callguard.policy.tables import plain
from callguard.recording import age
from callguard.retention.termination.asking import (
    Choice,
    Termination,
    Wanted,
    ask,
    confirm,
    latest,
    require,
    withdraw,
)
from callguard.retention.termination.passing import survey
from callguard.retention.termination.plan import Step, plan, promises
from callguard.retention.termination.termination import READ_S
from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import zone_of
from callguard.tenants.tenant import Tenant

T = TypeVar("T")

_PLAN = ("class", "count", "action", "date", "basis")


def terminate(
    tenant: str,
    on: Annotated[
        str, typer.Option(metavar="DATE", help="The first day without the contract.")
    ] = "",
    choose: Annotated[str, typer.Option(help="What becomes of the data: return or delete.")] = "",
    recipient: Annotated[
        str, typer.Option(help="An age public key that the returned package is sealed for.")
    ] = "",
    plain_audio: Annotated[
        bool, typer.Option("--plain", help="Return recordings as audio, where a key is here.")
    ] = False,
    confirm_receipt: Annotated[
        bool, typer.Option("--confirm-receipt", help="Delete once its receipt is confirmed.")
    ] = False,
    received: Annotated[bool, typer.Option("--received", help="Confirm the receipt.")] = False,
    withdraw_it: Annotated[
        bool, typer.Option("--withdraw", help="The contract goes on; until its day.")
    ] = False,
    go_on: Annotated[
        bool, typer.Option("--go-on", help="Carry it on now, where no service does.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="How far it has come.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """End a tenant's contract on a day: return or delete its data, each class by what was promised
    for it, and certify that. Until that day it can be withdrawn."""
    if sum((bool(on), received, withdraw_it, go_on, status)) != 1:
        told = "one of --on, --withdraw, --received, --go-on and --status"
        raise typer.BadParameter(told)
    if not on and (dry_run or choose or recipient or plain_audio or confirm_receipt):
        told = "--dry-run, --choose, --recipient, --plain and --confirm-receipt go with --on"
        raise typer.BadParameter(told)
    with opened(config) as (settings, database):
        if status or go_on:
            fault = _carry_on(settings, database, tenant) if go_on else None
            if fault is not None:
                raise CommandError(f"{tenant}: held up: {fault}")
            _status(database, tenant, as_json)
        elif withdraw_it or received:
            change = withdraw if withdraw_it else confirm
            with database.writing() as connection:
                require_tenant(connection, tenant)
                change(connection, tenant, at=SystemClock().now(), actor=actor())
            text = "its contract goes on" if withdraw_it else "the receipt is noted"
            if withdraw_it:  # what was entered meanwhile was to go with the contract
                redate(settings, database, _tenant(settings, database, tenant), shorten=False)
            fault = _carry_on(settings, database, tenant) if received else None
            if fault is not None:
                raise CommandError(f"{tenant}: {text}; held up: {fault}")
            say(as_json, {"tenant": tenant, "withdrawn": withdraw_it}, f"{tenant}: {text}")
        else:
            owner = _tenant(settings, database, tenant)
            wanted = _wanted(owner, on, choose, recipient, plain_audio, confirm_receipt)
            if dry_run:
                _plan(database, owner, wanted, as_json)
            else:
                _terminate(settings, database, owner, wanted, yes, as_json)


def _wanted(
    tenant: Tenant, on: str, choose: str, recipient: str, plain_audio: bool, confirmed: bool
) -> Wanted:
    try:
        day = date.fromisoformat(on)
    except ValueError:
        raise CommandError(f"{on[:40]!r} is no date such as 2026-12-31") from None
    if choose not in ("", "return", "delete"):
        raise CommandError(f"{choose[:40]!r} is no choice: return or delete")
    choice: Choice = "return" if choose == "return" else "delete"  # no choice: Quicktalk 8.3
    if choice == "delete" and (recipient or plain_audio or confirmed):
        raise CommandError("--recipient, --plain and --confirm-receipt go with --choose return")
    if recipient:
        recipient = str(age.parse_recipient(recipient))
    try:
        ends_at = datetime.combine(day, time(), tzinfo=zone_of(tenant)).astimezone(UTC)
    except OverflowError:
        raise CommandError(f"{day} is a day that no calendar here can end a contract on") from None
    return Wanted(tenant.id, ends_at, choice, recipient, plain_audio, confirmed)


def _terminate(
    settings: Settings,
    database: Database,
    owner: Tenant,
    wanted: Wanted,
    yes: bool,
    as_json: bool,
) -> None:
    now = SystemClock().now()
    when = "ends" if wanted.ends_at > now else "ended"
    told = f"the contract of {owner.id} {when} on {wanted.ends_at:%Y-%m-%d %H:%M}Z: {wanted.choice}"
    try:
        promises(owner, wanted.ends_at)
    except ValueError as error:
        raise CommandError(f"{owner.id}: {error}") from None
    late = "; what was to be gone by now goes at once, and it cannot be withdrawn"
    asked = told + (late if wanted.ends_at <= now else "")
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError(f"{asked}; say --yes, or --dry-run for the plan")
        if not typer.confirm(f"{asked}. Begin?", err=True):
            raise CommandError("nothing was begun")
    with database.writing() as connection:
        made = ask(connection, wanted, at=now, actor=actor())
    fault = _carry_on(settings, database, owner.id) if wanted.ends_at <= now else None
    with database.reading() as connection:
        made = latest(connection, owner.id) or made
    text = f"{told}; {made.state}"
    if fault is not None:
        raise CommandError(f"{text}; held up, and tried again by the service: {fault}")
    say(as_json, made.as_json(), text)


def _carry_on(settings: Settings, database: Database, tenant: str) -> str | None:
    """As far as it goes now; the service does the rest. Why it went no further, if it failed."""
    clock = SystemClock()

    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    carrying = terminations(settings, database, write, clock)
    asyncio.run(carrying.advance(clock.now(), again=True, tenant=tenant))
    return carrying.faults.get(tenant)


def _tenant(settings: Settings, database: Database, tenant: str) -> Tenant:
    directory = TenantDirectory(law_of(settings))
    with database.reading() as connection:
        directory.refresh(connection)
    return require(directory.get(tenant), tenant)


def _plan(database: Database, owner: Tenant, wanted: Wanted, as_json: bool) -> None:
    async def read(query: Callable[[Connection], T], /) -> T:
        return await database.read(query, timeout=READ_S)

    ending = promises(owner, wanted.ends_at)
    tally = asyncio.run(survey(read, owner, ending, SystemClock().now()))
    steps = plan(ending, tally, wanted.ends_at, returned=wanted.choice == "return")
    say_table(as_json, [_step(one) for one in steps], _PLAN, f"The end of {owner.id}")


def _step(step: Step) -> dict[str, object]:
    return {**step.as_json(), "basis": plain(step.basis)}


def _status(database: Database, tenant: str, as_json: bool) -> None:
    with database.reading() as connection:
        require_tenant(connection, tenant)
        found = latest(connection, tenant)
    if found is None:
        raise CommandError(f"no end of the contract of {tenant} was asked for")
    say(as_json, found.as_json(), "\n".join(map(plain, _lines(found))))


def _lines(found: Termination) -> list[str]:
    at = found.ends_at.isoformat(timespec="minutes")
    lines = [f"{found.tenant}: {found.state}, {found.choice}, ends at {at}, asked by {found.actor}"]
    steps: Any = found.steps
    if steps.get("waits"):
        lines.append(f"waits for {steps['waits']}")
    if package := steps.get("package"):
        lines.append(f"package {package['id']}: {package['bytes']} bytes, SHA-256 "
                     f"{package['sha256']}, until {package['until']}")  # fmt: skip
        lines += [f"damaged: recording {name}: {why}" for name, why in package["damaged"].items()]
    for name, counts in steps.get("counts", {}).items():
        told = ", ".join(f"{what} {number}" for what, number in counts.items())
        lines.append(f"{name}: {told}")
    if found.certificate:
        said: Any = found.certificate
        lines.append(f"certificate {found.id}, audit log {said['audit']['sequence']}")
        lines += [
            f"archive {one['id']}: {one['rows']} of {one['class']} until {one['until']}: "
            f"{one['basis']}"
            for one in said["archives"]
        ]
    return lines
