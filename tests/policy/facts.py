"""Facts that are easy to read in a test."""

from datetime import UTC, datetime

from callguard.policy.facts import CallFacts, Direction, OptOut, Purpose
from callguard.policy.numbers import parse_number

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def a_call(
    number: str = "+442079460123",
    *,
    direction: Direction = "outbound",
    purpose: Purpose = "marketing",
    opt_outs: tuple[OptOut, ...] = (),
    at: datetime = NOON,
) -> CallFacts:
    other = parse_number("+442079460999", "GB")
    subject = parse_number(number, "GB")
    outbound = direction == "outbound"
    return CallFacts(
        at=at,
        tenant="acme",
        direction=direction,
        purpose=purpose,
        subject=subject,
        caller=other if outbound else subject,
        called=subject if outbound else other,
        opt_outs=opt_outs,
    )


def an_opt_out(tenant: str | None = "acme", *purposes: str) -> OptOut:
    return OptOut(tenant, NOON, "call", frozenset(purposes))
