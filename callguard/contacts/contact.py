"""One subject as one tenant knows them. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phonenumbers import SUPPORTED_REGIONS
from pydantic import ConfigDict, TypeAdapter, ValidationError

from callguard.policy.area_codes import is_subdivision
from callguard.policy.facts import (
    GivenConsent,
    Refusal,
    RelationKind,
    Relationship,
    SubjectKind,
)


class ContactError(ValueError):
    """Something about a contact that cannot be so; one line that says what."""


KEPT = 200
"""Most consents, relationships or refusals kept of one contact; beyond it the oldest give way."""


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known; empty where nothing is.

    ``region`` (ISO 3166-1), ``subdivision`` (ISO 3166-2) and ``zone`` (IANA) go before what the
    number says of them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    region: str | None = None
    subdivision: str | None = None
    zone: str | None = None
    kind: SubjectKind = "unknown"
    relationships: tuple[Relationship, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    consents: tuple[GivenConsent, ...] = ()
    restricted_since: datetime | None = None

    @classmethod
    def read(cls, known: object) -> Self:
        """From the stored form. Raises ContactError."""
        try:
            found: Self = _STORED.validate_python(known)  # type: ignore[assignment] # of this class
        except ValidationError as error:
            raise ContactError(f"a contact cannot be read: {error.errors()[0]['msg']}") from error
        if found.zone is not None:
            check_zone(found.zone)
        return found

    def stored(self) -> dict[str, object]:
        """The form that ``read`` takes, without what is empty."""
        found: dict[str, object] = _STORED.dump_python(self, mode="json", exclude_defaults=True)
        return found

    def by(self, now: datetime) -> "Contact":
        """As it counts now, whatever the clock says: a refusal, a restriction or a withdrawal that
        lies ahead was entered before the clock was set back."""
        if not (self.refusals or self.restricted_since or self.consents):
            return self
        return replace(
            self,
            refusals=tuple(replace(no, at=min(no.at, now)) for no in self.refusals),
            consents=tuple(
                replace(given, until=min(given.until, now))
                if given.withdrawn and given.until is not None
                else given
                for given in self.consents
            ),
            restricted_since=self.restricted_since and min(self.restricted_since, now),
        )

    def placed(self, region: str | None, subdivision: str | None, zone: str | None) -> "Contact":
        """With what is given set, and the rest as it was. Raises ContactError."""
        if region is not None and region not in SUPPORTED_REGIONS:
            raise ContactError(f"{region!r} is not a region of the telephone numbering plans")
        if subdivision is not None:
            country = subdivision.partition("-")[0]
            if country not in SUPPORTED_REGIONS or not is_subdivision(subdivision):
                raise ContactError(f"{subdivision!r} is no ISO 3166-2 code such as US-FL")
            if region not in (None, country):
                raise ContactError(f"{subdivision} is not in {region}")
            region = country
        if zone is not None:
            check_zone(zone)
        abroad = None not in (region, self.region) and region != self.region
        elsewhere = None not in (subdivision, self.subdivision) and subdivision != self.subdivision
        return replace(
            self,
            region=region or self.region,
            subdivision=subdivision or (None if abroad else self.subdivision),
            zone=zone or (None if abroad or elsewhere else self.zone),
        )

    def related(self, kind: RelationKind, since: datetime, until: datetime | None) -> "Contact":
        """With one more relationship. Raises ContactError."""
        if until is not None and until < since:
            raise ContactError(f"the {kind} ends before it begins")
        added = (*self.relationships, Relationship(kind, since, until))
        return replace(self, relationships=added[-KEPT:])

    def ended(self, kind: RelationKind, at: datetime) -> "Contact":
        """With every relationship of the kind that had not ended by then ended."""
        return replace(
            self,
            relationships=tuple(
                replace(tie, until=max(at, tie.since))
                if tie.kind == kind and (tie.until is None or tie.until > at)
                else tie
                for tie in self.relationships
            ),
        )

    def refused(self, at: datetime, campaign: str | None) -> "Contact":
        """With one more refusal."""
        return replace(self, refusals=(*self.refusals, Refusal(at, campaign))[-KEPT:])

    def granted(self, consent: GivenConsent) -> "Contact":
        """With one more consent. Raises ContactError."""
        if consent.until is not None and consent.until <= consent.granted_at:
            raise ContactError("the consent ends before it begins")
        return replace(self, consents=(*self.consents, consent)[-KEPT:])

    def withdrawn(self, purpose: str, at: datetime) -> "Contact":
        """With every consent to that purpose ended, if it had not ended before."""
        return replace(
            self,
            consents=tuple(
                replace(given, until=at, withdrawn=True)
                if given.purpose == purpose and (given.until is None or given.until > at)
                else given
                for given in self.consents
            ),
        )


def check_zone(zone: str) -> None:
    """Raises ContactError unless there is such a time zone."""
    try:
        ZoneInfo(zone)
        if "/" not in zone and zone != "UTC":
            raise ValueError("a machine's own name for a zone")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ContactError(f"there is no time zone {zone!r}") from error


_STORED = TypeAdapter(Contact)
NOTHING_KNOWN = Contact()
