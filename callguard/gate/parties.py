"""Whose call it is, and who is at each end."""

from dataclasses import dataclass

from callguard.gate.knowledge import Knowledge
from callguard.gate.request import Request
from callguard.policy.numbers import Number, parse_address, parse_number
from callguard.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Parties:
    """The ends of a call. ``subject`` is the one who is protected; ``emergency`` is whether the
    call is for help."""

    caller: Number
    called: Number
    subject: Number
    home_region: str
    emergency: bool


def find_tenant(known: Knowledge, request: Request) -> Tenant | None:
    """Whose call it is: as the dialplan says, else by the line calling or the number called."""
    if request.tenant:
        return known.tenants.serving(request.tenant)
    if request.direction == "inbound":
        number = parse_number(request.number, known.home_region)
        return known.tenants.by_number(number.key)
    return known.tenants.by_endpoint(request.channel, request.account_code)


def parties_of(
    known: Knowledge, request: Request, tenant: Tenant | None, *, passed_on: bool = False
) -> Parties:
    """Reads both numbers as the tenant's own country would dial them. Where the call was
    ``passed_on`` the channel's number is the other party's, and the tenant's is shown."""
    region = tenant.settings.home_region if tenant else known.home_region
    outbound = request.direction == "outbound"
    called = _called(known, request, region)
    caller = parse_number(request.caller, region)
    named = caller.e164 is not None or caller.anonymous
    if outbound and (passed_on or not named) and tenant is not None:
        shown = parse_number(tenant.settings.shown_number, region)
        caller = shown if shown.known else caller
    emergency = outbound and called.emergency and request.contact_channel == "voice"
    return Parties(caller, called, called if outbound else caller, region, emergency)


def _called(known: Knowledge, request: Request, region: str) -> Number:
    """The called number; an emergency number of the place where the PBX stands is one for every
    tenant."""
    if request.contact_channel == "email":
        return parse_address(request.number)
    called = parse_number(request.number, region)
    if not called.emergency and request.direction == "outbound":
        here = parse_number(request.number, known.home_region)
        return here if here.emergency else called
    return called
