"""What is known of a call when it is decided."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from callguard.policy.numbers import Number

Direction = Literal["outbound", "inbound"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Purpose = Literal["marketing", "service", "collection", "survey", "transactional"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
Channel = Literal["voice", "sms", "email"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
SubjectKind = Literal["consumer", "business", "unknown"]
Dialler = Literal["agent", "machine"]
"""Who dials: a person who is on the line, or a machine that looks for one when it is answered."""

RelationKind = Literal["purchase", "inquiry", "contract", "transaction", "callback"]
RELATION_KINDS: tuple[RelationKind, ...] = get_args(RelationKind)


@dataclass(frozen=True, slots=True)
class OptOut:
    """A subject's standing wish not to be called.

    ``tenant`` is None where it holds against every tenant; ``way`` is how it came; an empty
    ``purposes`` means all, and so does an empty ``channels``.
    """

    tenant: str | None
    since: datetime
    way: str
    purposes: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def covers(self, purpose: Purpose, channel: Channel) -> bool:
        """Whether this contact is one the subject does not want."""
        wanted = self.purposes and purpose not in self.purposes
        return not wanted and (not self.channels or channel in self.channels)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the subject is taken to be, which says whose law and whose clock count.

    ``subdivisions`` (ISO 3166-2) and ``zones`` (IANA) are all that are possible; empty where that
    cannot be told. ``told_by`` is what the place was taken from.
    """

    region: str | None
    subdivisions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    told_by: Literal["number", "contact", "tenant"] = "number"


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """What one public list says of the subject. ``listed`` is None where the list cannot tell
    (the prefix is not in the subscription), with the ``reason``; ``list_date`` is the list's own
    date; ``digest`` names the snapshot that answered."""

    registry: str
    listed: bool | None
    list_date: date | None = None
    digest: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier allowed call to the subject; ``answered_at`` where a conversation followed."""

    at: datetime
    tenant: str
    purpose: str
    channel: str = "voice"
    campaign: str | None = None
    debt: str | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """A consent that stands. ``purpose`` is what it is to (``recording`` or a purpose of calls);
    ``proof`` says where the evidence is; ``until`` is when it was said to end, or when it was
    ``withdrawn``."""

    purpose: str
    granted_at: datetime
    until: datetime | None = None
    proof: str | None = None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Relationship:
    """What ties the subject to the tenant: since when and, where it is over, until when."""

    kind: RelationKind
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The subject said no to what was offered."""

    at: datetime
    campaign: str | None = None


@dataclass(frozen=True, slots=True)
class CampaignDay:
    """One day of a campaign: live calls answered, and those of them that found no agent."""

    day: date
    answered: int
    abandoned: int


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Everything a rule may look at.

    ``at`` is aware and kept in UTC, as the other moments are; ``subject`` is the party who is
    protected: the called number outbound, the calling number inbound. ``attempts`` and
    ``figures`` are None where they could not be had.
    """

    at: datetime
    tenant: str
    direction: Direction
    purpose: Purpose
    subject: Number
    caller: Number
    called: Number
    place: Place
    channel: Channel = "voice"
    subject_kind: SubjectKind = "unknown"
    home_region: str | None = None
    opt_outs: tuple[OptOut, ...] = ()
    registries: tuple[RegistryAnswer, ...] = ()
    attempts: tuple[Attempt, ...] | None = ()
    consents: tuple[GivenConsent, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    restricted_since: datetime | None = None
    campaign: str | None = None
    debt: str | None = None
    agent: str | None = None
    dialler: Dialler = "agent"
    figures: tuple[CampaignDay, ...] | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("the time of a call needs a time zone")
        if self.at.tzinfo is not UTC:
            # Moments of one other zone are equal in the hour that occurs twice, and are not.
            object.__setattr__(self, "at", self.at.astimezone(UTC))

    @property
    def local(self) -> tuple[datetime, ...]:
        """The time of the call in every zone in which the subject may be."""
        return local_times(self.at, self.place.zones)

    @property
    def days(self) -> tuple[date, ...]:
        """The day of the call where the subject may be; in UTC where no zone is known."""
        return _days(self.at, self.place.zones)


@lru_cache(maxsize=4096)
def local_times(at: datetime, zones: tuple[str, ...]) -> tuple[datetime, ...]:
    """The moment by the clocks of these zones."""
    return tuple(at.astimezone(ZoneInfo(zone)) for zone in zones)


@lru_cache(maxsize=4096)
def _days(at: datetime, zones: tuple[str, ...]) -> tuple[date, ...]:
    local = local_times(at, zones) or (at,)
    return tuple(dict.fromkeys(moment.date() for moment in local))
