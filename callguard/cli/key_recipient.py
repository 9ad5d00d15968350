"""``callguard key recipient``: a tenant's own public keys."""

import sys
from typing import Annotated

import typer

from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    PRIVATE_KEY,
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
from callguard.recording import age
from callguard.tenants.keys import add_recipient, fingerprint, remove_recipient
from callguard.tenants.present import is_post_quantum

app = typer.Typer(
    help="Outside recipients: public keys of which only the tenant has the private half.",
    no_args_is_help=True,
)

LONGEST = 4_096
"""Characters of a line with a public key; a post-quantum one is of 1,959."""


@app.command("add")
def add(
    tenant: str,
    recipient: Annotated[
        str,
        typer.Argument(
            help="An age public key, age1… or age1pq1…; - reads it from standard input."
        ),
    ],
    name: Annotated[str, typer.Option(help="What it is called here, such as 'archive 2026'.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let a public key of the tenant's own open the recordings to come."""
    public = public_key(sys.stdin.readline(LONGEST) if recipient == "-" else recipient)
    with opened(config) as (_, database), database.writing() as connection:
        require_tenant(connection, tenant)
        at = SystemClock().now()
        add_recipient(connection, tenant, name.strip(), public, at=at, actor=actor())
    value = {"tenant": tenant, "name": name.strip(), "fingerprint": fingerprint(public)}
    later = f"callguard key rotate {tenant} --headers-only"
    told = (
        f"{tenant}: {name.strip()} opens the recordings to come; those that are there with {later}"
    )
    say(as_json, value, plain(told))


@app.command("remove")
def remove(
    tenant: str,
    recipient: Annotated[str, typer.Argument(help="Its name, or the public key.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Seal the recordings to come without one of the tenant's own public keys."""
    with opened(config) as (_, database), database.writing() as connection:
        at = SystemClock().now()
        found = remove_recipient(connection, tenant, recipient.strip(), at=at, actor=actor())
    warning = (
        "it still opens what was sealed for it, for ever where somebody kept the old headers, "
        f"as in a backup or a delivered file; callguard key rotate {tenant} --headers-only takes "
        "it out of the headers here"
    )
    shown = {"tenant": tenant, "name": found.name, "fingerprint": fingerprint(found.recipient)}
    told = f"{tenant}: recordings to come are not sealed for {found.name or 'it'}\nnote: {warning}"
    say(as_json, {**shown, "note": warning}, "\n".join(map(plain, told.split("\n"))))


def kind_of(recipient: str) -> age.KeyKind:
    return "pq" if is_post_quantum(recipient) else "x25519"


def public_key(text: str) -> str:
    """The public key in its one form. Raises CommandError, KeyFormatError; neither repeats it."""
    if PRIVATE_KEY in text.upper():
        raise CommandError(
            "that is a private key, not a recipient: it was not stored; age-keygen -y shows the "
            "public half"
        )
    return str(age.parse_recipient(text.strip()))
