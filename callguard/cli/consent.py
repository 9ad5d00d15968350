"""``callguard consent``: what subjects agreed to."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Row, select

from callguard.cli.arguments import law_of, maybe, read_moment, read_tenant, subject_of
from callguard.cli.chain_in_words import as_value, lines
from callguard.cli.evidence import proof_of
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
from callguard.consent.chain_rows import read_chain, telling
from callguard.consent.evidence import keep_of
from callguard.consent.given import About
from callguard.consent.standing import Standing, standing
from callguard.consent.statement import recorded_with_consent
from callguard.contacts.store import read
from callguard.gate.policy import Policy
from callguard.policy.facts import PURPOSES
from callguard.policy.packs import all_packs
from callguard.policy.tables import plain
from callguard.storage.alive import alive
from callguard.storage.schema import consents
from callguard.tenants.tenant import Tenant

app = typer.Typer(help="Consents: what subjects agreed to.", no_args_is_help=True)

TenantOption = Annotated[str, typer.Option("--tenant", help="Towards which tenant.")]
STATES = ("purpose", "state", "since", "until", "call")
COLUMNS = ("at", "purpose", "state", "mode", "until", "evidence", "by", "call", "expires")


@app.command("record")
def record(
    number: str,
    tenant: TenantOption,
    purpose: Annotated[
        str, typer.Option(help=f"To what: recording, {', '.join(PURPOSES)}, or as a rule says.")
    ],
    proof: Annotated[
        str, typer.Option(help="Where the evidence is, or @FILE: what names it is kept, not it.")
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
    evidence = proof_of(proof)
    with opened(config) as (settings, database), database.writing() as connection:
        owner = read_tenant(connection, tenant, law_of(settings))
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
            keep=keep_of(owner, about),
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
    """Withdraw what was consented to; a running service heeds it from the next call on, and stops
    within a second what it records of a call that goes on."""
    now = SystemClock().now()
    with opened(config) as (settings, database), database.writing() as connection:
        owner = read_tenant(connection, tenant, law_of(settings))
        about = About(owner.id, subject_of(number, owner), purpose)
        entry = given.withdraw(
            connection, about, reason=reason, at=now, actor=actor(), keep=keep_of(owner, about)
        )
    value = {"consent": entry, "subject": about.subject, "purpose": purpose}
    say(as_json, value, f"{about.subject} no longer consents to {purpose}")


@app.command("show")
def show(
    number: Annotated[
        str | None, typer.Argument(help="Whose consents, as the tenant would dial it.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Towards which tenant.")] = "",
    call: Annotated[str, typer.Option(help="The id of a call, instead of a number.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show the ledger of a subject, or the chain of a call from its verdict to its recordings.

    That of a call ends with whether a consent stood whenever a recording of it was audible; where
    none did, the exit code is 1.
    """
    if call:
        if number is not None or tenant:
            raise CommandError("--call stands alone: its number and tenant are kept")
        _show_call(config, call, as_json=as_json)
    elif number is None:
        raise CommandError("say a number, or a call with --call")
    elif not tenant:
        raise CommandError("say towards which tenant, with --tenant")
    else:
        _show_subject(config, number, tenant, as_json=as_json)


def _show_call(config: Path, call_id: str, *, as_json: bool) -> None:
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        chain = read_chain(connection, call_id, now)
    if chain is None:
        raise CommandError(f"nothing is kept of a call {plain(call_id)}")
    statement = recorded_with_consent(chain, now)
    say(as_json, as_value(chain, statement), "\n".join(lines(chain, statement)))
    if not statement.holds:
        raise typer.Exit(1)


def _show_subject(config: Path, number: str, tenant: str, *, as_json: bool) -> None:
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        owner = read_tenant(connection, tenant)
        subject = subject_of(number, owner)
        whose = (consents.c.tenant_id == owner.id) & (consents.c.subject == subject)
        found = connection.execute(
            select(consents).where(whose, alive(consents, now)).order_by(consents.c.id)
        )
        kept = found.all()
        known = read(connection, owner.id, subject, now).by(now).consents
    states = [_state(one) for one in standing(map(telling, kept), known, now)]
    rows = [_row(row) for row in kept]
    if as_json:
        say(True, {"subject": subject, "now": states, "rows": rows}, "")
        return
    say_table(False, [_safe(state) for state in states], STATES, f"{subject}: what stands now")
    say_table(False, [_safe(row) for row in rows], COLUMNS, f"Consents of {subject}")


def _state(one: Standing) -> dict[str, object]:
    return {
        "purpose": one.purpose,
        "state": one.state.value,
        "since": _second(one.since),
        "until": _second(one.until),
        "call": one.call,
    }


def _row(row: Row[Any]) -> dict[str, object]:
    return {
        "at": _second(row.at),
        "purpose": row.purpose,
        "state": row.state,
        "mode": row.mode,
        "until": _second(row.until),
        "evidence": row.proof or row.prompt,
        "words": row.words,
        "language": row.language,
        "asked": row.asked,
        "heard_ms": row.heard_ms,
        "length_ms": row.length_ms,
        "answer": row.answer,
        "by": row.actor,
        "call": row.call_id,
        "expires": _second(row.expires_at),
    }


def _second(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _safe(row: Mapping[str, object]) -> dict[str, object]:
    """For a terminal: nothing in it moves the cursor or turns the direction of a line."""
    return {key: value and plain(str(value)) for key, value in row.items()}


def _check_purpose(settings: Settings, tenant: Tenant, purpose: str) -> None:
    """Raises CommandError for a consent that nothing would ever ask for."""
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    rules = Policy(rule for pack in packs for rule in pack.rules).of(tenant).rules
    named = {rule.exemption.consent for rule in rules if rule.exemption is not None}
    named |= {getattr(rule.settings, "consent", None) for rule in rules}
    known = dict.fromkeys(("recording", *PURPOSES, *sorted(filter(None, named))))
    if purpose not in known:
        raise CommandError(f"no rule asks for consent to {purpose!r}; known: {', '.join(known)}")
