"""From a request to a verdict and the rows that make it durable."""

from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.contacts.contact import ContactError
from callguard.gate.callbook import Call, as_decided
from callguard.gate.dossier import NOTHING_KEPT, contact_facts, read_dossier
from callguard.gate.knowledge import Knowledge
from callguard.gate.parties import Parties, find_tenant, parties_of
from callguard.gate.registries import snapshots_asked
from callguard.gate.request import Request, read_purpose
from callguard.ids import uuid7
from callguard.policy.facts import Attempt, CallFacts, OptOut, Purpose
from callguard.policy.rules import Verdict, refusal, unrecorded
from callguard.retention.schedule import later
from callguard.storage.attempts import Claim, as_row
from callguard.storage.faults import one_line
from callguard.storage.journal import Row
from callguard.storage.schema import SUBJECT, calls
from callguard.tenants.keeping import kept_until
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with the call it is about. ``rows`` make it durable; ``claim`` is the attempt
    that it counts as, where it does; ``facts`` are what the policy was asked, where it was."""

    tenant: Tenant | None
    verdict: Verdict
    call: Call
    rows: tuple[Row, ...]
    opt_outs: tuple[OptOut, ...] = ()
    claim: Claim | None = None
    facts: CallFacts | None = None


def is_passed_on(request: Request, origin: Call | None) -> bool:
    """Whether the channel was in a call that it did not place itself: then whoever speaks there
    is no agent. ``origin`` is that call, where it is known."""
    if not request.passed_from:
        return False
    own = origin is not None and (origin.pbx, origin.uniqueid) == (request.pbx, request.uniqueid)
    return not own or origin is None or origin.direction == "inbound" or origin.passed_on


async def decide(
    known: Knowledge,
    request: Request,
    *,
    count: bool = True,
    at: datetime | None = None,
    origin: Call | None = None,
) -> Decision:
    """Gathers the facts and asks the policy. Nothing is changed but for the attempt, which from
    now on counts unless ``count`` is false or the call is blocked.

    ``at`` decides for another moment than this one, by the law and the facts of that moment, as
    far as they are kept. ``origin`` is the call that the channel was in before: its tenant's is
    this one, where nothing names another.
    """
    moment = at or known.clock.now()
    tenant = find_tenant(known, request)
    if tenant is None and origin is not None and not request.tenant:
        tenant = known.tenants.get(origin.tenant)
    passed_on = is_passed_on(request, origin)
    parties = parties_of(known, request, tenant, passed_on=passed_on)
    purpose = read_purpose(request.purpose, tenant.settings.purpose) if tenant else None
    if parties.emergency:
        purpose = purpose or "service"  # nothing that was mistyped holds an emergency call back
    call_id = str(uuid7(moment))
    verdict = _undecidable(known, request, tenant, purpose, parties)
    claim: Claim | None = None
    facts: CallFacts | None = None
    if verdict is None:
        assert purpose is not None
        claims = count and request.direction == "outbound" and not parties.emergency
        if claims and tenant is not None and parties.subject.known:
            attempt = _attempt(request, tenant, purpose, moment)
            claim = Claim(call_id, parties.subject.key, attempt)
        try:
            facts = await _gather(
                known, request, tenant, parties, purpose, moment, claim, live=at is None
            )
        except (SQLAlchemyError, TimeoutError, ContactError) as error:
            reason = f"what is known of the subject could not be read: {one_line(error)}"
            outbound = request.direction == "outbound"
            verdict = (refusal if outbound else unrecorded)("gate.facts", reason)
        else:
            facts = _with_wishes(known, facts, at)
            verdict = known.policy.of(tenant).decide(facts)
    if claim is not None and not verdict.allowed:
        known.attempts.release(claim)
        claim = None
    call = Call(
        id=call_id,
        tenant=tenant.id if tenant else "",
        pbx=request.pbx,
        uniqueid=request.uniqueid,
        direction=request.direction,
        purpose=purpose or "",
        subject=parties.subject.key,
        allowed=verdict.allowed,
        obligations=verdict.obligations,
        decided_at=moment,
        asking=as_decided(verdict.findings),
        passed_on=passed_on,
    )
    rows = [Row(calls, call_values(call, request, tenant, verdict, parties, facts))]
    if claim is not None:
        # No retention makes an attempt forgotten that a rule still counts.
        counted = known.policy.common.counts_until(moment)
        kept = kept_until(tenant, "attempt", moment, concern=call.concern)
        rows.append(as_row(claim, later(kept, counted)))
    wishes = facts.opt_outs if facts is not None else ()
    return Decision(tenant, verdict, call, tuple(rows), wishes, claim, facts)


def _with_wishes(known: Knowledge, facts: CallFacts, at: datetime | None) -> CallFacts:
    """The opt-outs are looked at last, so that none that came meanwhile is missed; for another
    moment, those of then."""
    if not facts.tenant or not facts.subject.known:
        return facts
    wishes = known.opt_outs.of(facts.subject.key, facts.tenant)
    if at is not None:
        wishes = tuple(wish for wish in wishes if wish.since <= at)
    return replace(facts, opt_outs=wishes) if wishes else facts


def still_stands(known: Knowledge, decision: Decision) -> bool:
    """Whether nobody opted out while the verdict was being kept."""
    call = decision.call
    if not call.subject or decision.verdict.emergency:
        return True
    return known.opt_outs.of(call.subject, call.tenant) == decision.opt_outs


def release(known: Knowledge, decision: Decision) -> None:
    """Takes back the attempt of a call that was allowed and is not placed after all."""
    if decision.claim is not None:
        known.attempts.release(decision.claim)


def _undecidable(
    known: Knowledge,
    request: Request,
    tenant: Tenant | None,
    purpose: Purpose | None,
    parties: Parties,
) -> Verdict | None:
    """The verdict on a call that the policy cannot be asked about, if it is one."""
    outbound = request.direction == "outbound"
    if parties.emergency:
        return None
    if tenant is None:
        named = f"{request.tenant[:63]!r}" if request.tenant else "of this line or number"
        reason = f"no tenant {named} is known"
        if known.tenants.get(request.tenant) is not None:
            reason = f"the contract of tenant {named} has ended"
        return refusal("gate.tenant", reason) if outbound else unrecorded("gate.tenant", reason)
    if purpose is None:
        reason = f"{request.purpose[:32]!r} is not a purpose"
        return refusal("gate.purpose", reason) if outbound else unrecorded("gate.purpose", reason)
    if outbound and (stale := known.stale_opt_outs()) is not None:
        return refusal("gate.opt-outs", f"opt-outs could not be read for {stale:.0f} s")
    if outbound and known.opt_outs_missing is not None:
        return refusal("gate.opt-outs", known.opt_outs_missing)
    return None


def _attempt(request: Request, tenant: Tenant, purpose: Purpose, at: datetime) -> Attempt:
    return Attempt(
        at=at,
        tenant=tenant.id,
        purpose=purpose,
        channel=request.contact_channel,
        campaign=request.campaign or None,
        debt=request.debt or None,
    )


async def _gather(
    known: Knowledge,
    request: Request,
    tenant: Tenant | None,
    parties: Parties,
    purpose: Purpose,
    at: datetime,
    claim: Claim | None,
    *,
    live: bool,
) -> CallFacts:
    """Raises SQLAlchemyError, TimeoutError or ContactError; then nothing is counted. ``live`` is
    whether the call is decided for this moment and no other."""
    subject, outbound = parties.subject, request.direction == "outbound"
    campaign = request.campaign or None
    dossier = NOTHING_KEPT
    # Whatever else is known, an emergency call waits for none of it.
    if tenant is not None and not parties.emergency:
        counted = campaign if request.dialler == "machine" else None
        dossier = await read_dossier(known.reads, tenant.id, subject.key, counted, at)
    contact = dossier.contact.by(at) if live else dossier.contact
    fallback = parties.home_region if request.contact_channel == "email" else None
    facts = CallFacts(
        at=at,
        tenant=tenant.id if tenant else "",
        direction=request.direction,
        purpose=purpose,
        subject=subject,
        caller=parties.caller,
        called=parties.called,
        channel=request.contact_channel,
        home_region=parties.home_region,
        registries=known.registries.answers(subject) if outbound else (),
        campaign=campaign,
        debt=request.debt or None,
        agent=request.agent or None,
        dialler=request.dialler,
        figures=dossier.figures,
        **contact_facts(contact, subject, fallback),
    )
    if tenant is None or not outbound or not subject.known or parties.emergency:
        return facts
    attempts = await _attempts(known, tenant, facts, claim)
    if not attempts and attempts is not None:
        return facts
    return replace(facts, attempts=no_later(attempts, at) if live else attempts)


def no_later(attempts: tuple[Attempt, ...] | None, at: datetime) -> tuple[Attempt, ...] | None:
    """What lies after this moment was placed before the clock was set back: it counts as of now."""
    if attempts is None or all(max(a.at, a.answered_at or a.at) <= at for a in attempts):
        return attempts
    return tuple(
        replace(
            attempt,
            at=min(attempt.at, at),
            answered_at=attempt.answered_at and min(attempt.answered_at, at),
        )
        for attempt in attempts
    )


async def _attempts(
    known: Knowledge, tenant: Tenant, facts: CallFacts, claim: Claim | None
) -> tuple[Attempt, ...] | None:
    """The earlier attempts, as far back as any rule about this call looks; None where they cannot
    be had, which blocks where there is a cap and nowhere else."""
    since = known.policy.of(tenant).looks_back_to(facts)
    try:
        if claim is not None:
            return await known.attempts.claim(claim, since)
        return await known.attempts.earlier(facts.subject.key, since) if since else ()
    except Exception as error:  # whatever the counters stand on
        log.error("counters_unreachable", reason=one_line(error))
        return None


def call_values(
    call: Call,
    request: Request,
    tenant: Tenant | None,
    verdict: Verdict,
    parties: Parties,
    facts: CallFacts | None = None,
) -> dict[str, object]:
    """The row of a decided call."""
    caller, called = parties.caller, parties.called
    return {
        "id": call.id,
        "tenant_id": tenant.id if tenant else None,
        "pbx": call.pbx,
        "uniqueid": call.uniqueid,
        "direction": call.direction,
        "channel": request.contact_channel,
        "purpose": call.purpose or None,
        "campaign": request.campaign or None,
        "debt": request.debt or None,
        "agent": request.agent or None,
        "subject": call.subject[:SUBJECT],
        "caller": (caller.key or caller.raw)[:80],
        "called": (called.key or called.raw)[:80],
        "verdict": verdict.decision,
        "reasons": list(verdict.reasons),
        "obligations": sorted(o.value for o in verdict.obligations),
        "findings": [finding.as_json() for finding in verdict.findings],
        "registries": snapshots_asked(verdict, facts),
        "decided_at": call.decided_at,
        "expires_at": kept_until(tenant, "verdict", call.decided_at, concern=call.concern),
    }
