"""``callguard explain``: why a call would be allowed or blocked, or was."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection, Row, select

from callguard.cli.arguments import read_offset, tenant_of
from callguard.cli.how_recorded import HowRecorded, how_it_was, how_recorded
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    opened,
)
from callguard.cli.verdict_in_words import Explanation, tell
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.consent.modes import Mode
from callguard.gate.decide import Decision, decide
from callguard.gate.knowledge import Knowledge
from callguard.gate.parties import parties_of
from callguard.gate.policy import Policy
from callguard.gate.registries import snapshots_asked
from callguard.gate.request import MAX_TEXT, Request
from callguard.optout.events import after
from callguard.optout.image import OptOutImage
from callguard.optout.registry.shelf import Shelf
from callguard.policy.facts import CHANNELS, DIRECTIONS, PURPOSES
from callguard.policy.numbers import mask
from callguard.policy.packs import all_packs, limits_of
from callguard.storage.alive import alive
from callguard.storage.attempts import LocalAttempts
from callguard.storage.database import Database
from callguard.storage.grouped import GroupedReads
from callguard.storage.schema import calls, consents, opt_outs
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import span_of
from callguard.tenants.tenant import Tenant

T = TypeVar("T", bound=str)

YEARS = range(1970, 2100)
"""Those for which calendars and time zones say anything."""

READ_S = 30.0
"""How long the database may take. Nobody waits on the telephone."""


def explain(
    number: Annotated[
        str | None, typer.Argument(help="Who would be called or calls, as somebody dials it.")
    ] = None,
    call: Annotated[str, typer.Option(help="The id of a kept call, instead of a number.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose call it is.")] = "",
    direction: Annotated[
        str, typer.Option(help=f"{', '.join(DIRECTIONS)}; outbound if left out.")
    ] = "",
    purpose: Annotated[
        str, typer.Option(help=f"{', '.join(PURPOSES)}; the tenant's own if left out.")
    ] = "",
    channel: Annotated[str, typer.Option(help=f"{', '.join(CHANNELS)}; voice if left out.")] = "",
    caller: Annotated[
        str, typer.Option(help="The number shown, outbound; the tenant's own if left out.")
    ] = "",
    called: Annotated[str, typer.Option(help="The number that is called, inbound.")] = "",
    campaign: Annotated[str, typer.Option(help="For which campaign.")] = "",
    debt: Annotated[str, typer.Option(help="About which debt.")] = "",
    machine: Annotated[bool, typer.Option("--machine", help="A machine dials.")] = False,
    at: Annotated[
        str, typer.Option(help="Another moment, such as 2026-11-22T14:30+01:00; UTC unless said.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell the verdict on a call, with every finding; or that on a call that was.

    Nothing is counted and nothing is kept, and no service need run.
    """
    rest = (tenant, direction, purpose, channel, caller, called, campaign, debt, at, machine)
    if call:
        if number is not None or any(rest):
            raise CommandError("--call stands alone: its number, tenant and time are kept")
        tell(_kept(config, call), as_json=as_json)
        return
    if number is None:
        raise CommandError("say a number, or a kept call with --call")
    if not tenant:
        raise CommandError("say whose call it is, with --tenant")
    moment, has_offset = _read_at(at) if at else (None, True)
    way = _one_of(direction or "outbound", DIRECTIONS, "direction")
    if way == "inbound" and caller:
        raise CommandError("inbound the number is the caller; say who is called with --called")
    if way == "outbound" and called:
        raise CommandError("outbound the number is the called one; --called is for inbound")
    if purpose:
        _one_of(purpose, PURPOSES, "purpose")
    with opened(config) as (settings, database):
        known = knowledge_of(settings, database)
        with database.reading() as connection:
            known.tenants.refresh(connection)
            owner = tenant_of(known.tenants, tenant)
            shown = caller or owner.settings.shown_number
            request = Request(
                direction=way,
                pbx="",
                uniqueid="",
                channel="",
                number=number if way == "outbound" else called or owner.settings.shown_number,
                caller=shown if way == "outbound" else number,
                tenant=owner.id,
                purpose=purpose,
                campaign=campaign[:MAX_TEXT],
                agent="",
                account_code="",
                debt=debt[:MAX_TEXT],
                dialler="machine" if machine else "agent",
                contact_channel=_one_of(channel or "voice", CHANNELS, "channel"),
            )
            _follow(known, connection, request, owner, moment)
        decision = asyncio.run(decide(known, request, count=False, at=moment))
        with database.reading() as connection:
            how = how_recorded(connection, decision, owner)
    notes = []
    if way == "outbound" and not shown:
        notes.append("decided as a call that shows no number: the tenant has none, nor --caller")
    notes += _caveats(known, owner, decision, moment)
    said = _explained(number, decision, request, how, notes, read_as_utc=not has_offset)
    tell(said, as_json=as_json)


def _read_at(text: str) -> tuple[datetime, bool]:
    moment, has_offset = read_offset(text)
    if moment.year not in YEARS:
        raise CommandError(f"{text} is not between {YEARS.start} and {YEARS.stop - 1}")
    return moment, has_offset


def _one_of(text: str, known: Sequence[T], what: str) -> T:
    for one in known:
        if one == text:
            return one
    raise CommandError(f"{text!r} is no {what}; known: {', '.join(known)}")


def knowledge_of(settings: Settings, database: Database) -> Knowledge:
    """What the gate would draw on. Raises PackError."""
    clock = SystemClock()
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    reads = GroupedReads(database, timeout=READ_S)
    return Knowledge(
        clock=clock,
        tenants=TenantDirectory(limits_of(packs)),
        opt_outs=OptOutImage(),
        policy=Policy(rule for pack in packs for rule in pack.rules),
        attempts=LocalAttempts(reads, clock),
        reads=reads,
        home_region=settings.home_region,
        registries=Shelf(settings.registry_folder),
    )


def _follow(
    known: Knowledge,
    connection: Connection,
    request: Request,
    tenant: Tenant,
    at: datetime | None,
) -> None:
    """Takes in what the subject wished up to then; a wish lifted since stood."""
    subject = parties_of(known, request, tenant).subject.key
    found = select(opt_outs.c.seq).where(opt_outs.c.subject == subject).order_by(opt_outs.c.seq)
    for sequence in connection.execute(found).scalars().all():
        for number, event in after(connection, sequence - 1, 1):
            if at is None or event.at <= at:
                known.opt_outs.apply(number, event)


def _caveats(
    known: Knowledge, tenant: Tenant, decision: Decision, at: datetime | None
) -> list[str]:
    """What was not taken from the moment that was asked for, because it is not kept so long."""
    facts, now = decision.facts, known.clock.now()
    if facts is None:
        return []
    notes = []
    if at is not None and at < now:
        notes.append(
            "of today, not of then: where the subject is and of what kind, any restriction, "
            "the registries, the tenant's choices and its values for rules"
        )
    elif at is not None and at > now:
        notes.append("that is still to come: decided by what is known today")
    since = known.policy.of(tenant).looks_back_to(facts)
    span = span_of(tenant, "attempt")
    kept = now if span is None else span.before(now)
    if facts.direction == "outbound" and span is not None and since is not None and since < kept:
        notes.append(f"earlier calls are known only from {kept:%Y-%m-%d %H:%M} UTC on")
    return notes


def _explained(
    number: str,
    decision: Decision,
    request: Request,
    how: HowRecorded,
    notes: Sequence[str],
    *,
    read_as_utc: bool,
) -> Explanation:
    facts, verdict, call = decision.facts, decision.verdict, decision.call
    about = {
        "number": number,
        "read_as": call.subject or None,
        **_call(
            request.tenant,
            request.direction,
            call.purpose,
            request.contact_channel,
            request.campaign,
            request.debt,
        ),
    }
    return Explanation(
        allowed=verdict.allowed,
        reasons=verdict.reasons,
        obligations=sorted(duty.value for duty in verdict.obligations),
        findings=[finding.as_json() for finding in verdict.findings],
        at=call.decided_at,
        read_as_utc=read_as_utc,
        about=about,
        place=facts.place if facts else None,
        local=facts.local if facts else (),
        registries=snapshots_asked(verdict, facts) or {},
        recording=how,
        notes=notes,
    )


def _kept(config: ConfigOption, call_id: str) -> Explanation:
    """A call as it was decided, while it is kept."""
    now = SystemClock().now()
    with opened(config) as (_, database), database.reading() as connection:
        wanted = select(calls).where(calls.c.id == call_id, alive(calls, now))
        row = connection.execute(wanted).one_or_none()
        told = select(consents.c.mode).where(
            consents.c.call_id == call_id, consents.c.mode.is_not(None), alive(consents, now)
        )
        mode = connection.execute(told.order_by(consents.c.id).limit(1)).scalar()
    if row is None:
        raise CommandError("there is no such call")
    return _explained_row(row, None if mode is None else Mode(mode))


def _explained_row(row: Row[Any], mode: Mode | None) -> Explanation:
    """``mode`` is that of the ledger, where something was said in the call."""
    about = {
        "call": row.id,
        "number": mask(row.subject),
        "caller": mask(row.caller),
        "called": mask(row.called),
        **_call(row.tenant_id, row.direction, row.purpose, row.channel, row.campaign, row.debt),
    }
    return Explanation(
        allowed=row.verdict == "allow",
        reasons=row.reasons,
        obligations=row.obligations,
        findings=row.findings,
        at=row.decided_at,
        about=about,
        registries=row.registries or {},
        recording=mode and how_it_was(mode, row),
    )


def _call(
    tenant: str | None,
    direction: str,
    purpose: str | None,
    channel: str,
    campaign: str | None,
    debt: str | None,
) -> dict[str, str | None]:
    return {
        "tenant": tenant,
        "direction": direction,
        "purpose": purpose or None,
        "channel": channel,
        "campaign": campaign or None,
        "debt": debt or None,
    }
