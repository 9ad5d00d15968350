"""``callguard key``: who can open a tenant's recordings."""

from collections.abc import Mapping
from itertools import chain
from typing import Annotated

import typer
from sqlalchemy import Connection, select

from callguard.cli import key_destroy, key_recipient, key_rotate
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    opened,
    require_tenant,
    say,
    say_table,
)
from callguard.policy.tables import plain
from callguard.recording.recipients import digest_of
from callguard.recording.rekeying.keyed import counts
from callguard.storage.schema import tenants
from callguard.tenants.keys import TenantKeys, fingerprint, read_keys

app = typer.Typer(help="Keys: who can open a tenant's recordings.", no_args_is_help=True)
app.add_typer(key_recipient.app, name="recipient")
app.command("rotate")(key_rotate.rotate)
app.command("destroy")(key_destroy.destroy)

KEYS = ("tenant", "key", "state", "kind", "recipient", "since")
HEADERS = ("tenant", "wrapped for", "recordings")
SHOWN = 16
"""How much of a public key a table shows at its beginning; at its end it is half of that."""


@app.command("list")
def list_keys(
    tenant: Annotated[str, typer.Option(help="Only this tenant's.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the tenants' keys, and how many recordings are wrapped for which of them."""
    with opened(config) as (_, database), database.reading() as connection:
        if tenant:
            require_tenant(connection, tenant)
        found = [
            (read_keys(connection, one), counts(connection, one))
            for one in ([tenant] if tenant else _all(connection))
        ]
    if as_json:
        say(True, [_as_json(keys, wrapped) for keys, wrapped in found], "")
        return
    say_table(False, list(chain(*(_rows(keys) for keys, _ in found))), KEYS, "Keys")
    rows: list[dict[str, object]] = [
        {"tenant": keys.tenant, "wrapped for": plain(name), "recordings": count}
        for keys, wrapped in found
        for name, _, count in _sets(keys, wrapped)
    ]
    if rows:
        say_table(False, rows, HEADERS, "Recordings")


def _all(connection: Connection) -> list[str]:
    return list(connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars())


def _rows(keys: TenantKeys) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for one in keys.versions:
        state: str = keys.state(one)
        if state == "active" and not keys.settings.own_key:
            state = "not in use"
        rows.append(
            {
                "tenant": keys.tenant,
                "key": f"version {one.version}",
                "state": state,
                "kind": one.kind,
                "recipient": shortened(one.recipient),
                "since": one.created_at.date().isoformat(),
            }
        )
    rows += [
        {
            "tenant": keys.tenant,
            "key": plain(other.name or "-"),
            "state": "outside",
            "kind": key_recipient.kind_of(other.recipient),
            "recipient": shortened(other.recipient),
            "since": other.added_at.date().isoformat(),
        }
        for other in keys.outside
    ]
    return rows


def _as_json(keys: TenantKeys, wrapped: Mapping[str | None, int]) -> dict[str, object]:
    return {
        "tenant": keys.tenant,
        "own_key": keys.settings.own_key,
        "keyed_for": digest_of(keys.present) if keys.present else None,
        "versions": [
            {
                "version": one.version,
                "state": keys.state(one),
                "kind": one.kind,
                "recipient": one.recipient,
                "fingerprint": fingerprint(one.recipient),
                "created_at": one.created_at.isoformat(),
                "retired_at": one.retired_at.isoformat() if one.retired_at else None,
                "destroyed_at": one.destroyed_at.isoformat() if one.destroyed_at else None,
            }
            for one in keys.versions
        ],
        "outside": [
            {
                "name": other.name,
                "kind": key_recipient.kind_of(other.recipient),
                "recipient": other.recipient,
                "fingerprint": fingerprint(other.recipient),
                "added_at": other.added_at.isoformat(),
            }
            for other in keys.outside
        ],
        "recordings": [
            {"for": name, "keyed_for": keyed_for, "count": count}
            for name, keyed_for, count in _sets(keys, wrapped)
        ],
    }


def _sets(keys: TenantKeys, wrapped: Mapping[str | None, int]) -> list[tuple[str, str | None, int]]:
    """The sets of recipients in words, as far as they can be told from their digests."""
    outside = [other.recipient for other in keys.outside]
    names = {digest_of(outside): "outside recipients"}
    for one in keys.versions:
        names[digest_of([one.recipient])] = f"version {one.version}"
        if outside:
            both = digest_of([one.recipient, *outside])
            names[both] = f"version {one.version} and outside recipients"
    present = digest_of(keys.present)
    named = [
        (
            "not known: from before this was kept"
            if keyed_for is None
            else names.get(keyed_for, "former recipients")
            + (" (the present ones)" if keyed_for == present else ""),
            keyed_for,
            count,
        )
        for keyed_for, count in wrapped.items()
    ]
    return sorted(named, key=lambda row: (row[1] != present, row[0], row[1] or ""))


def shortened(recipient: str) -> str:
    """A public key as a table shows it: a post-quantum one is of 1,959 characters."""
    if len(recipient) <= 2 * SHOWN:
        return recipient
    return f"{recipient[:SHOWN]}…{recipient[-SHOWN // 2 :]}"
