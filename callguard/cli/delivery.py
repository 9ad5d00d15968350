"""``callguard delivery``: the tenants' own places, and what went there."""

import asyncio
from typing import Annotated, Any

import typer
from sqlalchemy import Row

from callguard.audit.log import Entry, append
from callguard.cli.arguments import read_tenant
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
from callguard.policy.tables import plain
from callguard.recording.delivery import store
from callguard.recording.delivery.carriers import Carriers, check_files
from callguard.recording.delivery.parcel import DeliveryError, Parcel, Receipt
from callguard.recording.delivery.places import KINDS, Place, PlaceError, read_pairs, read_place
from callguard.recording.delivery.probe import probe

app = typer.Typer(help="Deliveries: recordings to the tenants' own places.", no_args_is_help=True)

PLACES = ("tenant", "place", "kind", "keep", "added", "open", "settings")
ROWS = ("place", "state", "attempts", "next", "confirmed", "bytes", "sha256", "reason", "answer")
TEST_S = 120.0


@app.command("add")
def add(
    tenant: str,
    name: Annotated[str, typer.Argument(help="What the place is called.")],
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Secrets by the name of a file only."),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep/--no-keep", help="Whether recordings stay here once they are there."),
    ] = True,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Add a place; every recording that is sealed from now on goes there."""
    now = SystemClock().now()
    try:
        place = read_place(tenant, name, kind, read_pairs(set_ or []), keep=keep, at=now)
        with opened(config) as (_, database):
            with database.reading() as connection:
                require_tenant(connection, tenant)
            check_files(place)
            with database.writing() as connection:
                store.add(connection, place, actor=actor())
                others = store.has_key_of_its_own(connection, tenant)
    except PlaceError as error:
        raise CommandError(str(error)) from None
    value = {"tenant": tenant, "place": name, "kind": kind, "keep": keep}
    told = [f"added {kind} place {name} of {tenant}"]
    if not keep:
        told.append("nothing is kept here of what every such place has confirmed")
        if not others:
            told.append(f"{tenant} has no key of its own: all stays here until it has one")
    say(as_json, value, "\n".join(told))


@app.command("list")
def list_places(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the places, and how much is still to go there."""
    with opened(config) as (_, database), database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
        found = store.listed(connection, tenant or None)
        standing = store.standing(connection, tenant or None, SystemClock().now())
    rows = [_place(row, standing.get((row.tenant_id, row.name), {}), as_json) for row in found]
    say_table(as_json, rows, PLACES, "Places")


@app.command("remove")
def remove(
    tenant: str, name: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Remove a place; what has not gone there yet does not."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.writing() as connection:
        require_tenant(connection, tenant)
        try:
            closed = store.remove(connection, tenant, name, at=now, actor=actor())
        except PlaceError as error:
            raise CommandError(str(error)) from None
    value = {"tenant": tenant, "place": name, "closed": closed}
    say(as_json, value, f"removed {name} of {tenant}; deliveries given up: {closed}")


@app.command("show")
def show(
    recording: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Show where a recording went."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        found = store.of_recording(connection, recording, now)
    if not found:
        raise CommandError(f"there is no delivery of a recording {plain(recording[:80])}")
    say_table(as_json, [_delivery(row, as_json) for row in found], ROWS, "Deliveries")


@app.command("retry")
def retry(
    recording: Annotated[str, typer.Argument(help="Only this recording.")] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    place: Annotated[str, typer.Option(help="Only to the place of this name.")] = "",
    sent: Annotated[bool, typer.Option(help="Also what was sent and not confirmed.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Try now what waits."""
    if not (recording or tenant or place):
        raise CommandError("say what: a recording, --tenant or --place")
    now = SystemClock().now()
    with opened(config) as (_, database), database.writing() as connection:
        if tenant:
            require_tenant(connection, tenant)
        count = store.retry(
            connection,
            recording=recording or None,
            tenant=tenant or None,
            place=place or None,
            sent=sent,
            at=now,
            actor=actor(),
        )
    if not count:
        raise CommandError("nothing waits to be delivered there")
    say(as_json, {"count": count}, f"to be tried now: {count}")


@app.command("test")
def try_place(
    tenant: str, name: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False
) -> None:
    """Send a small age file to a place, and have it confirmed."""
    now = SystemClock().now()
    with opened(config) as (_, database):
        with database.reading() as connection:
            owner = read_tenant(connection, tenant)
            try:
                place = store.get(connection, tenant, name)
            except PlaceError as error:
                raise CommandError(str(error)) from None
        if not owner.recipients:
            raise CommandError(f"tenant {tenant} has no key to seal anything for")
        parcel = probe(tenant, owner.recipients, now)
        try:
            receipt = asyncio.run(_carry(place, parcel))
        except (DeliveryError, PlaceError, TimeoutError) as error:
            told = str(error) or f"no answer for {TEST_S:g} s"
            raise CommandError(f"{name}: {told}") from None
        with database.writing() as connection:
            details = {"place": name, "confirmed": receipt.confirmed, "sha256": parcel.sha256}
            append(connection, Entry(now, actor(), "place.test", f"place:{name}", tenant, details))
    if not receipt.confirmed and not place.keep:
        raise CommandError(
            f"{name}: {receipt.answer}: recordings would go there, and none would leave here"
        )
    word = "confirmed" if receipt.confirmed else "sent, not confirmed"
    value: dict[str, object] = {"tenant": tenant, "place": name, "file": parcel.name}
    value |= {"sha256": parcel.sha256, "confirmed": receipt.confirmed, "answer": receipt.answer}
    say(as_json, value, f"{name}: {word}: {plain(receipt.answer)}")


async def _carry(place: Place, parcel: Parcel) -> Receipt:
    async with asyncio.timeout(TEST_S):
        return await Carriers(SystemClock()).to(place).carry(parcel)


def _place(row: Row[Any], standing: dict[str, int], as_json: bool) -> dict[str, object]:
    settings = dict(row.settings)
    words = ", ".join(f"{key} {plain(str(value))}" for key, value in sorted(settings.items()))
    return {
        "tenant": row.tenant_id,
        "place": row.name,
        "kind": row.kind,
        "keep": row.keep if as_json else ("yes" if row.keep else "no"),
        "added": row.added_at.isoformat(timespec="seconds"),
        "open": standing
        if as_json
        else ", ".join(f"{state} {count}" for state, count in standing.items()),
        "settings": settings if as_json else words,
    }


def _delivery(row: Row[Any], as_json: bool) -> dict[str, object]:
    proof = row.proof or {}
    answer = proof.get("answer")
    return {
        "place": row.place,
        "state": row.state,
        "attempts": row.attempts,
        "next": row.next_at.isoformat(timespec="seconds") if row.next_at else None,
        "confirmed": row.confirmed_at.isoformat(timespec="seconds") if row.confirmed_at else None,
        "bytes": row.bytes,
        "sha256": row.sha256,
        "reason": row.reason if as_json or not row.reason else plain(row.reason),
        "answer": answer if as_json or not answer else plain(str(answer)),
    }
