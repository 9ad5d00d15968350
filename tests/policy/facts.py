"""Facts that are easy to read in a test.

Numbers are London's reserved ones where nothing else is asked for; the subject is taken to be
where their number says.
"""

from datetime import UTC, date, datetime, timedelta

from callguard.policy.facts import (
    Attempt,
    CallFacts,
    CampaignDay,
    Channel,
    Dialler,
    Direction,
    GivenConsent,
    OptOut,
    Place,
    Purpose,
    Refusal,
    RegistryAnswer,
    RelationKind,
    Relationship,
    SubjectKind,
)
from callguard.policy.numbers import Number, parse_number

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""A Friday, noon in London too."""

TENANT = "acme"
HERE = "+442079460999"
"""The tenant's own number."""

TODAY = NOON.date()

LONDON = "+442079460123"
LEEDS = "+441134960123"
PARIS = "+33199001234"
BERLIN = "+493023125001"
NEW_YORK = "+12125550123"
LOS_ANGELES = "+12135550123"
MIAMI = "+13055550123"
TOLL_FREE = "+18005550123"
"""A number of the United States in any of its time zones."""


def a_place(
    number: Number,
    *,
    region: str | None = None,
    subdivisions: tuple[str, ...] | None = None,
    zones: tuple[str, ...] | None = None,
) -> Place:
    """Where a number says that its subject is, but for what is told otherwise."""
    return Place(
        number.region if region is None else region or None,
        number.subdivisions if subdivisions is None else subdivisions,
        number.zones if zones is None else zones,
    )


def a_call(
    number: str = LONDON,
    *,
    direction: Direction = "outbound",
    purpose: Purpose = "marketing",
    opt_outs: tuple[OptOut, ...] = (),
    at: datetime = NOON,
    tenant: str = TENANT,
    place: Place | None = None,
    region: str | None = None,
    subdivisions: tuple[str, ...] | None = None,
    zones: tuple[str, ...] | None = None,
    caller: str = HERE,
    channel: Channel = "voice",
    subject_kind: SubjectKind = "unknown",
    home_region: str | None = "GB",
    registries: tuple[RegistryAnswer, ...] = (),
    attempts: tuple[Attempt, ...] | None = (),
    consents: tuple[GivenConsent, ...] = (),
    relationships: tuple[Relationship, ...] = (),
    refusals: tuple[Refusal, ...] = (),
    restricted_since: datetime | None = None,
    campaign: str | None = None,
    debt: str | None = None,
    agent: str | None = None,
    dialler: Dialler = "agent",
    figures: tuple[CampaignDay, ...] | None = None,
) -> CallFacts:
    """A call between the subject's ``number`` and the tenant's, ``caller``.

    ``region=""`` is no known region, ``zones=()`` no known zone, ``attempts=None`` counters that
    cannot be reached.
    """
    own = parse_number(caller, "GB")
    subject = parse_number(number, "GB")
    outbound = direction == "outbound"
    return CallFacts(
        at=at,
        tenant=tenant,
        direction=direction,
        purpose=purpose,
        subject=subject,
        caller=own if outbound else subject,
        called=subject if outbound else own,
        place=place or a_place(subject, region=region, subdivisions=subdivisions, zones=zones),
        channel=channel,
        subject_kind=subject_kind,
        home_region=home_region,
        opt_outs=opt_outs,
        registries=registries,
        attempts=attempts,
        consents=consents,
        relationships=relationships,
        refusals=refusals,
        restricted_since=restricted_since,
        campaign=campaign,
        debt=debt,
        agent=agent,
        dialler=dialler,
        figures=figures,
    )


def an_opt_out(tenant: str | None = TENANT, *purposes: str) -> OptOut:
    return OptOut(tenant, NOON, "call", frozenset(purposes))


def an_attempt(
    at: datetime,
    *,
    tenant: str = TENANT,
    purpose: str = "marketing",
    channel: str = "voice",
    campaign: str | None = None,
    debt: str | None = None,
    answered: bool = False,
) -> Attempt:
    """An earlier call; an answered one became a conversation twenty seconds on."""
    answered_at = at + timedelta(seconds=20) if answered else None
    return Attempt(at, tenant, purpose, channel, campaign, debt, answered_at)


def attempts_before(
    at: datetime, *ago: timedelta, campaign: str | None = None, debt: str | None = None
) -> tuple[Attempt, ...]:
    """Unanswered calls of the tenant so long before a moment."""
    return tuple(an_attempt(at - gap, campaign=campaign, debt=debt) for gap in ago)


def a_consent(
    purpose: str = "marketing",
    *,
    granted_at: datetime = NOON - timedelta(days=30),
    until: datetime | None = None,
    proof: str | None = "form 17",
) -> GivenConsent:
    return GivenConsent(purpose, granted_at, until, proof)


def a_relationship(
    kind: RelationKind = "purchase",
    *,
    since: datetime = NOON - timedelta(days=30),
    until: datetime | None = None,
) -> Relationship:
    return Relationship(kind, since, until)


def an_answer(
    registry: str = "tps",
    listed: bool | None = False,
    *,
    list_date: date | None = TODAY,
    reason: str = "",
) -> RegistryAnswer:
    """What a public list says; ``listed=None`` where the list cannot tell."""
    return RegistryAnswer(registry, listed, list_date, "0" * 64, reason)
