"""Calls drawn at random, near one another, so that boundaries are often met."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from callguard.policy.facts import (
    CHANNELS,
    DIRECTIONS,
    PURPOSES,
    RELATION_KINDS,
    Attempt,
    CallFacts,
    CampaignDay,
    GivenConsent,
    OptOut,
    Refusal,
    RegistryAnswer,
    Relationship,
)
from tests.policy import facts as told

T = TypeVar("T")

NUMBERS = (
    told.LONDON,
    told.PARIS,
    told.NEW_YORK,
    told.LOS_ANGELES,
    told.TOLL_FREE,
    "+449098790123",
    "+870773111632",
    "999",
    "118118",
    "alice",
    "anonymous",
)
ZONES = (
    (),
    ("Europe/London",),
    ("Europe/Paris",),
    ("America/New_York", "America/Los_Angeles"),
    ("Pacific/Kiritimati", "Pacific/Pago_Pago"),
)
REGISTRIES = ("tps", "ctps")
CAMPAIGNS = (None, "spring", "autumn")
DEBTS = (None, "d1")

_MOMENTS = (
    told.NOON,
    datetime(2026, 3, 1, 0, 0, tzinfo=UTC),
    datetime(2027, 2, 28, 12, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    datetime(2026, 11, 11, 0, 50, tzinfo=UTC),
    datetime(2026, 11, 11, 11, 0, tzinfo=UTC),
    datetime(2026, 12, 25, 22, 0, tzinfo=UTC),
    datetime(2026, 7, 14, 6, 0, tzinfo=UTC),
    datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
)


class _Draw:
    """One call's facts from one seed: far faster than a strategy for each of them."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.at = random.choice(_MOMENTS)
        if random.random() < 0.5:
            self.at += timedelta(minutes=random.randrange(-400_000, 400_000))

    def ago(self) -> datetime:
        """A moment before the call, now and then one just after it."""
        days = self.random.choice((0, 1, 7, 27, 28, 29, 30, 31, 59, 60, 61, 365, 366, 549, 550))
        return self.at - timedelta(days=days, hours=self.random.choice((-1, 0, 0, 1, 23)))

    def ever(self) -> datetime | None:
        return self.ago() if self.random.random() < 0.5 else None

    def few(self, one: Callable[[], T], at_most: int = 3) -> tuple[T, ...]:
        return tuple(one() for _ in range(self.random.randint(0, at_most)))

    def attempt(self) -> Attempt:
        pick = self.random.choice
        return Attempt(
            self.ago(),
            pick(("acme", "acme", "other")),
            pick(PURPOSES[:2]),
            pick(("voice", "voice", "sms")),
            pick(CAMPAIGNS),
            pick(DEBTS),
            self.ever(),
        )

    def facts(self) -> CallFacts:
        pick, few = self.random.choice, self.few
        listed = (True, False, None)
        return told.a_call(
            pick(NUMBERS),
            at=self.at,
            direction=pick(DIRECTIONS),
            purpose=pick(PURPOSES),
            caller=pick(NUMBERS),
            channel=pick(("voice", "voice", *CHANNELS)),
            region=pick((None, None, "", "GB", "US")),
            subdivisions=pick((None, None, (), ("US-NY", "US-NJ"))),
            zones=pick((None, *ZONES)),
            subject_kind=pick(("consumer", "business", "unknown")),
            home_region=pick((None, "GB", "US")),
            opt_outs=few(lambda: OptOut("acme", self.ago(), "call", frozenset({pick(PURPOSES)}))),
            registries=few(
                lambda: RegistryAnswer(
                    pick(REGISTRIES), pick(listed), pick((None, self.ago().date()))
                ),
                2,
            ),
            attempts=None if self.random.random() < 0.1 else few(self.attempt, 6),
            consents=few(
                lambda: GivenConsent(
                    pick(("marketing", "recording")),
                    self.ago(),
                    self.ever(),
                    pick((None, "form 17")),
                )
            ),
            relationships=few(lambda: Relationship(pick(RELATION_KINDS), self.ago(), self.ever())),
            refusals=few(lambda: Refusal(self.ago(), pick(CAMPAIGNS)), 2),
            restricted_since=self.ever(),
            campaign=pick(CAMPAIGNS),
            debt=pick(DEBTS),
            dialler=pick(("agent", "machine")),
            figures=None
            if self.random.random() < 0.1
            else few(
                lambda: CampaignDay(
                    self.ago().date(), pick((0, 99, 100, 300, 1000)), self.random.randint(0, 12)
                )
            ),
        )


def some_calls(seed: int, count: int) -> list[CallFacts]:
    return [_Draw(seed + number).facts() for number in range(count)]


seeds = st.integers(0, 2**40)
facts: st.SearchStrategy[CallFacts] = seeds.map(lambda seed: _Draw(seed).facts())
