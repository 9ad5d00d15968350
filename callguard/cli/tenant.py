"""``callguard tenant``: whose calls these are."""

from pathlib import Path
from typing import Annotated

import typer

from callguard.cli.arguments import law_of, read_tenant, tenant_of
from callguard.cli.key_recipient import public_key
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
    say_table,
)
from callguard.cli.tenant_archive import archives
from callguard.cli.tenant_policy import policy
from callguard.cli.tenant_settings import as_text, check_shown, notes, read_pairs
from callguard.cli.terminate import terminate
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.gate.policy import Policy
from callguard.policy.packs import all_packs
from callguard.policy.span import Span
from callguard.policy.tables import plain
from callguard.recording import age
from callguard.recording.keyring import open_keyring
from callguard.recording.keys import generate_tenant_identity
from callguard.retention.classes import SETTABLE
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import span_of
from callguard.tenants.store import NewTenant, OwnKey, add, change_settings
from callguard.tenants.tenant import (
    Tenant,
    check_id,
    check_settings,
)

app = typer.Typer(help="Tenants: whose calls these are.", no_args_is_help=True)


@app.command("add")
def add_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="Its name in words.")] = "",
    region: Annotated[str, typer.Option(help="Its home country; the operator's if left out.")] = "",
    language: Annotated[str, typer.Option(help="In which its prompts are spoken.")] = "en",
    purpose: Annotated[str, typer.Option(help="What its calls are for, unless said.")] = (
        "marketing"
    ),
    record: Annotated[bool, typer.Option(help="Whether its calls are recorded.")] = True,
    key: Annotated[str, typer.Option(help="Kind of its own key: pq, x25519 or none.")] = "pq",
    recipient: Annotated[
        list[str] | None, typer.Option(help="An age public key that may open too; repeatable.")
    ] = None,
    number: Annotated[
        list[str] | None, typer.Option(help="A number of its own; repeatable.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="A line such as PJSIP/agent1; repeatable.")
    ] = None,
    shown_number: Annotated[
        str, typer.Option(help="The number called people see, where the PBX names an extension.")
    ] = "",
    line_language: Annotated[
        list[str] | None, typer.Option(help="A language its opt-out line offers; repeatable.")
    ] = None,
    typed_opt_out: Annotated[
        str, typer.Option(help="What becomes of a number typed there: accept or call_back.")
    ] = "accept",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; repeatable."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Add a tenant with its keys, numbers and lines."""
    check_id(tenant)
    kind = _key_kind(key)
    further = read_pairs(set_ or [])
    with opened(config) as (settings, database):
        chosen = check_settings(
            {
                "home_region": region or settings.home_region,
                "language": language,
                "purpose": purpose,
                "record": record,
                "key_kind": kind or "pq",
                "own_key": kind is not None,
                "shown_number": shown_number,
                "languages": line_language or [],
                "typed_opt_out": typed_opt_out,
                **further,
            }
        )
        check_shown(chosen)
        own = None
        if kind is not None:
            master = open_keyring(settings).identities
            identity = generate_tenant_identity(master, tenant, 1, kind)
            own = OwnKey(kind, identity.recipient, identity.wrapped)
        recipients = list(dict.fromkeys(map(public_key, recipient or [])))
        numbers, endpoints = number or [], endpoint or []
        _check_recipients([*([own.recipient] if own else []), *recipients])
        new = NewTenant(tenant, name or tenant, chosen, own, recipients, numbers, endpoints)
        law = _policy(settings)
        with database.writing() as connection:
            add(connection, new, at=SystemClock().now(), actor=actor())
            told = notes(further, read_tenant(connection, tenant), law, SystemClock().now())
    value = {"tenant": tenant, "recipient": own.recipient if own else None, "notes": told}
    say(as_json, value, "\n".join([f"added tenant {tenant}", *(f"note: {n}" for n in told)]))


@app.command("set")
def set_settings(
    tenant: str,
    pairs: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help="As `tenant show` names them; lists by commas."),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Change what a tenant chose; a running service heeds it from the next call on."""
    wanted = read_pairs(pairs)
    now = SystemClock().now()
    with opened(config) as (settings, database):
        law = _policy(settings)
        with database.writing() as connection:
            change = change_settings(
                connection, tenant, wanted, at=now, actor=actor(), limits=law_of(settings)
            )
            check_shown(change.settings)
            told = notes(wanted, read_tenant(connection, tenant), law, now)
    lines = [
        f"{key}: {as_text(change.before[key])} -> {as_text(value)}"
        if key in change.after
        else f"{key}: {as_text(value)} already"
        for key, value in wanted.items()
    ]
    value = {"tenant": tenant, "before": change.before, "after": change.after, "notes": told}
    say(as_json, value, "\n".join(map(plain, [*lines, *(f"note: {note}" for note in told)])))


@app.command("list")
def list_tenants(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the tenants; those that cannot be read are told on standard error."""
    directory = _directory(config)
    rows: list[dict[str, object]] = [
        {
            "tenant": t.id,
            "name": t.name,
            "region": t.settings.home_region,
            "keys": len(t.recipients),
        }
        for t in directory.all()
    ]
    for fault in directory.faults:
        typer.echo(f"callguard: {plain(fault)}", err=True)
    say_table(as_json, rows, ("tenant", "name", "region", "keys"), "Tenants")


@app.command("show")
def show(tenant: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show what a tenant chose."""
    found = tenant_of(_directory(config), tenant)
    value = _as_json(found)
    lines = [f"{key}: {as_text(one)}" for key, one in value.items()]
    say(as_json, value, "\n".join(map(plain, lines)))


app.command("policy")(policy)
app.command("terminate")(terminate)
app.add_typer(archives, name="archive")


def _directory(config: Path) -> TenantDirectory:
    directory = TenantDirectory()
    with opened(config) as (_, database), database.reading() as connection:
        directory.refresh(connection)
    return directory


def _as_json(tenant: Tenant) -> dict[str, object]:
    return {
        "tenant": tenant.id,
        "name": tenant.name,
        **tenant.settings.model_dump(mode="json"),
        "recipients": list(tenant.recipients),
        "retention": {c: _said(span_of(tenant, c)) for c in SETTABLE},
    }


def _said(span: Span | None) -> str | None:
    return None if span is None else str(span)


def _key_kind(text: str) -> age.KeyKind | None:
    if text == "none":
        return None
    if text == "pq":
        return "pq"
    if text == "x25519":
        return "x25519"
    raise CommandError(f"{text!r} is no kind of key: pq, x25519 or none")


def _policy(settings: Settings) -> Policy:
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    return Policy(rule for pack in packs for rule in pack.rules)


def _check_recipients(texts: list[str]) -> None:
    """Tries the recipients on a key of no use, so that a bad mix is refused here, not in a call."""
    if not texts:
        raise CommandError("a tenant without a key of its own needs a --recipient")
    age.build_header(age.new_file_key(), [age.parse_recipient(text) for text in texts])
