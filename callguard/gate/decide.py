"""From a request to a durable verdict."""

from dataclasses import dataclass

from callguard.gate.callbook import Call
from callguard.gate.request import Request, read_purpose
from callguard.gate.room import Gate
from callguard.ids import uuid7
from callguard.policy.evaluate import evaluate
from callguard.policy.facts import CallFacts, OptOut, Purpose
from callguard.policy.numbers import Number, parse_number
from callguard.policy.rules import Verdict, refusal, unrecorded
from callguard.retention.schedule import expires_at
from callguard.storage.journal import Row
from callguard.storage.schema import calls
from callguard.tenants.tenant import Tenant, days_kept


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with the call it is about; ``row`` is what makes it durable."""

    tenant: Tenant | None
    verdict: Verdict
    call: Call
    row: Row
    opt_outs: tuple[OptOut, ...]


def find_tenant(gate: Gate, request: Request) -> Tenant | None:
    """Whose call it is: as the dialplan says, else by the line calling or the number called."""
    if request.tenant:
        return gate.tenants.get(request.tenant)
    if request.direction == "inbound":
        number = parse_number(request.number, gate.home_region)
        return gate.tenants.by_number(number.key)
    return gate.tenants.by_endpoint(request.channel, request.account_code)


def decide(gate: Gate, request: Request) -> Decision:
    """Gathers the facts and asks the policy. Acts on nothing."""
    at = gate.clock.now()
    tenant = find_tenant(gate, request)
    region = tenant.settings.home_region if tenant else gate.home_region
    called = _called(gate, request, region)
    caller = parse_number(request.caller, region)
    subject = called if request.direction == "outbound" else caller
    purpose = read_purpose(request.purpose, tenant.settings.purpose) if tenant else None
    if called.emergency and request.direction == "outbound":
        purpose = purpose or "service"  # nothing that was mistyped holds an emergency call back
    facts = CallFacts(
        at=at,
        tenant=tenant.id if tenant else "",
        direction=request.direction,
        purpose=purpose or "marketing",
        subject=subject,
        caller=caller,
        called=called,
        opt_outs=gate.opt_outs.of(subject.key, tenant.id) if tenant and subject.known else (),
        campaign=request.campaign or None,
        agent=request.agent or None,
    )
    verdict = _undecidable(gate, request, tenant, purpose, called) or evaluate(facts, gate.rules)
    call = Call(
        id=str(uuid7(at)),
        tenant=facts.tenant,
        pbx=request.pbx,
        uniqueid=request.uniqueid,
        direction=request.direction,
        purpose=purpose or "",
        subject=subject.key,
        allowed=verdict.allowed,
        obligations=verdict.obligations,
        decided_at=at,
    )
    row = Row(calls, _values(call, request, tenant, verdict, caller, called))
    return Decision(tenant, verdict, call, row, facts.opt_outs)


def still_stands(gate: Gate, decision: Decision) -> bool:
    """Whether nobody opted out while the verdict was being kept."""
    call = decision.call
    if not call.subject or decision.verdict.emergency:
        return True
    return gate.opt_outs.of(call.subject, call.tenant) == decision.opt_outs


def _called(gate: Gate, request: Request, region: str) -> Number:
    """The called number; an emergency number of the place where the PBX stands is one for every
    tenant."""
    called = parse_number(request.number, region)
    if not called.emergency and request.direction == "outbound":
        here = parse_number(request.number, gate.home_region)
        return here if here.emergency else called
    return called


def _undecidable(
    gate: Gate,
    request: Request,
    tenant: Tenant | None,
    purpose: Purpose | None,
    called: Number,
) -> Verdict | None:
    """The verdict on a call that the policy cannot be asked about, if it is one."""
    outbound = request.direction == "outbound"
    if outbound and called.emergency:
        return None
    if tenant is None:
        named = f"{request.tenant[:63]!r}" if request.tenant else "of this line or number"
        reason = f"no tenant {named} is known"
        return refusal("gate.tenant", reason) if outbound else unrecorded("gate.tenant", reason)
    if purpose is None:
        return refusal("gate.purpose", f"{request.purpose[:32]!r} is not a purpose")
    if outbound and (stale := gate.stale_opt_outs()) is not None:
        return refusal("gate.opt-outs", f"opt-outs could not be read for {stale:.0f} s")
    return None


def _values(
    call: Call,
    request: Request,
    tenant: Tenant | None,
    verdict: Verdict,
    caller: Number,
    called: Number,
) -> dict[str, object]:
    return {
        "id": call.id,
        "tenant_id": tenant.id if tenant else None,
        "pbx": call.pbx,
        "uniqueid": call.uniqueid,
        "direction": call.direction,
        "purpose": call.purpose or None,
        "campaign": request.campaign or None,
        "agent": request.agent or None,
        "subject": call.subject[:40],
        "caller": (caller.key or caller.raw)[:80],
        "called": (called.key or called.raw)[:80],
        "verdict": verdict.decision,
        "reasons": list(verdict.reasons),
        "obligations": sorted(o.value for o in verdict.obligations),
        "findings": [finding.as_json() for finding in verdict.findings],
        "decided_at": call.decided_at,
        "expires_at": expires_at(call.decided_at, days_kept(tenant, "verdict")),
    }
