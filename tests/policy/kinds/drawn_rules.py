"""Settings and rules drawn at random, near the facts that are drawn."""

from datetime import date
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from callguard.policy.exemption import Exemption
from callguard.policy.facts import CHANNELS, DIRECTIONS, PURPOSES, RELATION_KINDS
from callguard.policy.kinds.obligation import DEMANDS
from callguard.policy.rules import Rule
from callguard.policy.scope import Scope
from tests.policy.kinds.asked import a_rule
from tests.policy.kinds.drawn_calls import REGISTRIES, seeds

Settings = dict[str, object]
T = TypeVar("T")

periods = st.sampled_from(
    ("1mo", "2mo", "12mo", "18mo", "28d", "29d", "30d", "31d", "60d", "365d", "24h", "720h", "10s")
)
_ranges = st.sampled_from(
    (
        [],
        ["00:00-24:00"],
        ["09:00-20:00"],
        ["10:00-13:00", "14:00-20:00"],
        ["08:00-21:00"],
        ["01:30-02:00"],
    )
)
_purposes = st.sets(st.sampled_from(PURPOSES[:2])).map(sorted)


def _some_of(**values: st.SearchStrategy[object]) -> st.SearchStrategy[Settings]:
    return st.fixed_dictionaries({}, optional=values)


def _all_of(
    optional: dict[str, st.SearchStrategy[object]] | None = None, **values: object
) -> st.SearchStrategy[Settings]:
    return st.fixed_dictionaries(values, optional=optional or {})  # type: ignore[arg-type] # of any values


_holidays: st.SearchStrategy[Settings] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"holidays": st.sampled_from(("FR", "US"))}),
    st.fixed_dictionaries({"holidays": st.just("FR"), "on_holiday": _ranges}),
)
_hours = st.builds(
    lambda hours, zone, holiday: {"hours": hours, "zone": zone, **holiday},
    _some_of(daily=_ranges, weekdays=_ranges, weekend=_ranges, wed=_ranges, sun=_ranges),
    st.sampled_from(("", "", "Europe/Paris")),
    _holidays,
)
_codes = st.sets(st.sampled_from(("GB", "FR", "US"))).map(sorted)
_lines = st.sets(st.sampled_from(("premium", "satellite", "fixed", "short"))).map(sorted)
_bool = st.booleans()

SETTINGS: dict[str, st.SearchStrategy[Settings]] = {
    "abandonment": _all_of(
        {"least": st.sampled_from((1, 50, 100))},
        max_percent=st.sampled_from((1, 2.9, 3, 5)),
        window=periods,
    ),
    "attempts": _all_of(
        {
            "per": st.sampled_from(("subject", "tenant", "campaign", "debt")),
            "count": st.sampled_from(("calls", "conversations")),
            "purposes": _purposes,
        },
        limit=st.integers(0, 4),
        window=periods,
    ),
    "caller_id": _some_of(
        anonymous=_bool,
        foreign=_bool,
        prefixes=st.lists(st.sampled_from(("+4420", "+44", "+331", "+1")), max_size=2),
    ),
    "calling_hours": _hours,
    "consent_required": _some_of(
        consent=st.sampled_from(("marketing", "recording")), valid=periods, proof=_bool
    ),
    "cooling_off": _all_of(
        {"per": st.sampled_from(("tenant", "campaign", "debt"))},
        after=st.sampled_from(("refusal", "conversation")),
        rest=periods,
    ),
    "emergency": st.just({}),
    "forbidden_destination": _some_of(lines=_lines, regions=_codes, only_regions=_codes),
    "obligation": _all_of(must=st.sets(st.sampled_from(sorted(DEMANDS)), min_size=1).map(sorted)),
    "opt_out": st.just({}),
    "recording_mode": _all_of(
        {"beep": _bool}, mode=st.sampled_from(("silent", "notice", "ask", "never"))
    ),
    "registry": _all_of(registry=st.sampled_from(REGISTRIES)),
    "registry_freshness": _all_of(
        registry=st.sampled_from(REGISTRIES), max_age_days=st.integers(0, 60)
    ),
    "restriction": st.just({}),
}
"""For each kind, settings as a pack writes them."""

_places = st.sampled_from(
    (
        (frozenset(), frozenset()),
        (frozenset({"GB"}), frozenset()),
        (frozenset({"GB", "US", "FR"}), frozenset()),
        (frozenset({"US"}), frozenset()),
        (frozenset({"US"}), frozenset({"US-NY"})),
        (frozenset({"US"}), frozenset({"US-CA", "US-FL"})),
    )
)


def _scope(place: tuple[frozenset[str], frozenset[str]], seed: int) -> Scope:
    """Mostly few conditions, so that they do not all stand in each other's way."""
    random = Random(seed)

    def some(*values: T) -> frozenset[T]:
        return frozenset(v for v in values if random.random() < 0.5 and random.random() < 0.5)

    regions, subdivisions = place
    return Scope(
        regions=regions,
        subdivisions=subdivisions,
        ends=random.choice(("subject", "either")),
        directions=some(*DIRECTIONS),
        purposes=some(*PURPOSES),
        channels=some(*CHANNELS),
        subjects=some("consumer", "business"),
        lines=some("fixed", "premium", "fixed_or_mobile"),
        diallers=some("agent", "machine"),
        tenants=some("acme", "other"),
    )


scopes: st.SearchStrategy[Scope] = st.builds(_scope, _places, seeds)

exemptions: st.SearchStrategy[Exemption] = st.one_of(
    st.builds(
        lambda **given: Exemption.model_validate(given),
        consent=st.sampled_from(("marketing", "recording")),
        valid=st.none() | periods,
        proof=_bool,
    ),
    st.builds(
        lambda kind, within: Exemption.model_validate(
            {"relationships": [{"kind": kind, "within": within}]}
        ),
        st.sampled_from(RELATION_KINDS),
        st.none() | periods,
    ),
)


@st.composite
def rules(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(SETTINGS), name: str = "") -> Rule:
    kind = draw(st.sampled_from(kinds))
    since = draw(st.sampled_from((date(2018, 1, 1), date(2026, 11, 20), date(2026, 11, 21))))
    return a_rule(
        kind,
        name or f"x.{draw(st.integers(0, 10**6))}",
        draw(SETTINGS[kind]),
        scope=draw(scopes),
        exemption=draw(st.none() | exemptions),
        on_unknown=draw(st.sampled_from(("pass", "block"))),
        effective_from=since,
        effective_to=draw(st.sampled_from((None, date(2026, 11, 20), date(2027, 1, 1)))),
    )


def rule_sets(
    *, kinds: tuple[str, ...] = tuple(SETTINGS), at_most: int = 8
) -> st.SearchStrategy[list[Rule]]:
    return st.lists(rules(kinds), max_size=at_most, unique_by=lambda rule: rule.id)
