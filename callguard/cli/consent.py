"""``callguard consent``: what subjects agreed to."""

from typing import Annotated

import typer
from sqlalchemy import or_, select

from callguard.cli.arguments import maybe, read_moment, read_tenant, subject_of
from callguard.cli.evidence import evidence_of
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
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.consent import given
from callguard.consent.given import About
from callguard.gate.policy import Policy
from callguard.policy.facts import PURPOSES
from callguard.policy.packs import all_packs
from callguard.policy.tables import plain
from callguard.storage.schema import consents
from callguard.tenants.tenant import Tenant

app = typer.Typer(help="Consents: what subjects agreed to.", no_args_is_help=True)

TenantOption = Annotated[str, typer.Option("--tenant", help="Towards which tenant.")]
COLUMNS = ("at", "purpose", "state", "until", "evidence", "by", "call", "expires")
MAX_PURPOSE = 16


@app.command("record")
def record(
    number: str,
    tenant: TenantOption,
    purpose: Annotated[
        str, typer.Option(help=f"To what: recording, {', '.join(PURPOSES)}, or as a rule says.")
    ],
    proof: Annotated[
        str, typer.Option(help="Where the evidence is, or @FILE: its name and SHA-256 are kept.")
    ],
    granted: Annotated[str | None, typer.Option(help="When it was given; now if left out.")] = None,
    until: Annotated[str | None, typer.Option(help="When it ends; never if left out.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Enter a consent that was given elsewhere than in a call."""
    now = SystemClock().now()
    granted_at = now if granted is None else read_moment(granted)
    ends = maybe(until)
    evidence = evidence_of(proof)
    with opened(config) as (settings, database), database.writing() as connection:
        owner = read_tenant(connection, tenant)
        _check_purpose(settings, owner, purpose)
        about = About(owner.id, subject_of(number, owner), purpose)
        entry = given.record(
            connection,
            about,
            proof=evidence,
            granted_at=granted_at,
            until=ends,
            at=now,
            actor=actor(),
            days=owner.days("consent"),
        )
    value = {"consent": entry, "subject": about.subject, "purpose": purpose, "proof": evidence}
    say(as_json, value, f"{about.subject} consented to {purpose}: {plain(evidence)}")


@app.command("withdraw")
def withdraw(
    number: str,
    tenant: TenantOption,
    purpose: Annotated[str, typer.Option(help="To what it was given.")],
    reason: Annotated[str, typer.Option(help="How it was withdrawn, for the record.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Withdraw what was consented to; a running service heeds it from the next call on."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.writing() as connection:
        owner = read_tenant(connection, tenant)
        about = About(owner.id, subject_of(number, owner), purpose)
        entry = given.withdraw(
            connection, about, reason=reason, at=now, actor=actor(), days=owner.days("consent")
        )
    value = {"consent": entry, "subject": about.subject, "purpose": purpose}
    say(as_json, value, f"{about.subject} no longer consents to {purpose}")


@app.command("show")
def show(
    number: str,
    tenant: TenantOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the ledger of a subject: what was given, refused and withdrawn, in and out of calls."""
    alive = or_(consents.c.expires_at.is_(None), consents.c.expires_at > SystemClock().now())
    with opened(config) as (_, database), database.reading() as connection:
        owner = read_tenant(connection, tenant)
        subject = subject_of(number, owner)
        whose = (consents.c.tenant_id == owner.id) & (consents.c.subject == subject)
        found = connection.execute(select(consents).where(whose, alive).order_by(consents.c.id))
        rows: list[dict[str, object]] = [
            {
                "at": row.at.isoformat(timespec="seconds"),
                "purpose": row.purpose,
                "state": row.state,
                "until": row.until and row.until.isoformat(timespec="seconds"),
                "evidence": row.proof or row.prompt,
                "by": row.actor,
                "call": row.call_id,
                "expires": row.expires_at and row.expires_at.isoformat(timespec="seconds"),
            }
            for row in found
        ]
    if not as_json:
        rows = [{key: value and plain(str(value)) for key, value in row.items()} for row in rows]
    say_table(as_json, rows, COLUMNS, f"Consents of {subject}")


def _check_purpose(settings: Settings, tenant: Tenant, purpose: str) -> None:
    """Raises CommandError for a consent that nothing would ever ask for."""
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    rules = Policy(rule for pack in packs for rule in pack.rules).of(tenant).rules
    named = {rule.exemption.consent for rule in rules if rule.exemption is not None}
    named |= {getattr(rule.settings, "consent", None) for rule in rules}
    known = dict.fromkeys(("recording", *PURPOSES, *sorted(filter(None, named))))
    if purpose not in known:
        raise CommandError(f"no rule asks for consent to {purpose!r}; known: {', '.join(known)}")
