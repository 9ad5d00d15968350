"""What lifts a rule for one subject."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from callguard.policy.evaluate import evaluate
from callguard.policy.exemption import Exemption
from callguard.policy.rules import Outcome
from tests.policy.facts import NOON, a_call, a_consent, a_relationship, an_answer
from tests.policy.kinds import drawn_calls, drawn_rules
from tests.policy.kinds.asked import a_rule

TICK = timedelta(microseconds=1)
PURCHASE = Exemption.model_validate({"relationships": [{"kind": "purchase", "within": "18mo"}]})
CONTRACT = Exemption.model_validate({"relationships": [{"kind": "contract"}]})


@pytest.mark.parametrize(
    ("over", "at", "lifted"),
    [
        ("2025-05-20T12:00", "2026-11-20T11:59:59", True),
        ("2025-05-20T12:00", "2026-11-20T12:00:00", False),
        ("2024-08-31T09:00", "2026-02-28T08:59:59", True),
        ("2024-08-31T09:00", "2026-02-28T09:00:00", False),
        ("2024-08-29T09:00", "2026-02-28T08:59:59", True),
        ("2022-08-31T09:00", "2024-02-29T08:59:59", True),
        ("2022-08-31T09:00", "2024-02-29T09:00:00", False),
    ],
)
def test_a_purchase_counts_for_eighteen_months_by_the_calendar(
    over: str, at: str, lifted: bool
) -> None:
    until = datetime.fromisoformat(over).replace(tzinfo=UTC)
    facts = a_call(
        at=datetime.fromisoformat(at).replace(tzinfo=UTC),
        relationships=(a_relationship("purchase", since=until - TICK, until=until),),
    )
    assert (PURCHASE.why(facts) is not None) is lifted


@pytest.mark.parametrize(
    ("since", "until", "lifted"),
    [
        (NOON, None, True),
        (NOON + TICK, None, False),
        (NOON - TICK, NOON + TICK, True),
        (NOON - TICK, NOON, False),
    ],
)
def test_a_contract_counts_while_it_runs(
    since: datetime, until: datetime | None, lifted: bool
) -> None:
    facts = a_call(relationships=(a_relationship("contract", since=since, until=until),))
    assert (CONTRACT.why(facts) is not None) is lifted


def test_another_kind_of_relationship_lifts_nothing() -> None:
    facts = a_call(relationships=(a_relationship("inquiry"),))
    assert PURCHASE.why(facts) is None
    assert CONTRACT.why(facts) is None


def test_any_one_of_several_relationships_is_enough() -> None:
    either = Exemption.model_validate(
        {
            "relationships": [
                {"kind": "purchase", "within": "18mo"},
                {"kind": "inquiry", "within": "3mo"},
            ]
        }
    )
    old = a_relationship("purchase", since=NOON, until=NOON - timedelta(days=900))
    recent = a_relationship(
        "inquiry", since=NOON - timedelta(days=9), until=NOON - timedelta(days=9)
    )
    for relationships in ((old, recent), (recent, old)):
        why = either.why(a_call(relationships=relationships))
        assert why == "exempt: inquiry of 2026-11-11, within 3 months"
    assert either.why(a_call(relationships=(old,))) is None


@pytest.mark.parametrize(
    ("given_consent", "exemption", "lifted"),
    [
        (a_consent(), {}, True),
        (a_consent("survey"), {}, False),
        (a_consent(granted_at=NOON), {}, True),
        (a_consent(granted_at=NOON + TICK), {}, False),
        (a_consent(until=NOON), {}, False),
        (a_consent(until=NOON + TICK), {}, True),
        (a_consent(granted_at=NOON - timedelta(days=30)), {"valid": "30d"}, False),
        (a_consent(granted_at=NOON - timedelta(days=30) + TICK), {"valid": "30d"}, True),
        (a_consent(proof=None), {}, True),
        (a_consent(proof=None), {"proof": True}, False),
        (a_consent(proof=""), {"proof": True}, False),
        (a_consent(), {"proof": True}, True),
    ],
)
def test_a_consent_lifts_a_rule_while_it_counts(  # type: ignore[no-untyped-def]  # a consent and a table
    given_consent, exemption, lifted
) -> None:
    lifts = Exemption.model_validate({"consent": "marketing", **exemption})
    assert (lifts.why(a_call(consents=(given_consent,))) is not None) is lifted


def test_what_is_empty_lifts_nothing() -> None:
    facts = a_call(consents=(a_consent(),), relationships=(a_relationship(),))
    assert Exemption().why(facts) is None


@pytest.mark.parametrize(
    "table",
    [
        {"valid": "30d"},
        {"proof": True},
        {"relationships": [{"kind": "purchase", "within": "18 months"}]},
        {"relationships": [{"kind": "friendship"}]},
        {"relationships": [{"within": "18mo"}]},
        {"because": "yes"},
    ],
)
def test_an_exemption_that_makes_no_sense_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Exemption.model_validate(table)


def test_an_exempt_call_passes_the_rule_and_the_finding_says_why() -> None:
    rule = a_rule("registry", settings={"registry": "tps"}, exemption=CONTRACT)
    listed = (an_answer("tps", listed=True),)
    stranger = a_call(registries=listed)
    assert not evaluate(stranger, [rule]).allowed
    customer = a_call(registries=listed, relationships=(a_relationship("contract"),))
    verdict = evaluate(customer, [rule])
    assert verdict.allowed
    assert verdict.findings[0].reason == "exempt: contract since 2026-10-21"


def test_an_exemption_from_one_rule_is_none_from_another() -> None:
    lenient = a_rule("registry", "a.dnc", {"registry": "tps"}, exemption=CONTRACT)
    strict = a_rule("registry", "b.own-list", {"registry": "tps"})
    facts = a_call(
        registries=(an_answer("tps", listed=True),), relationships=(a_relationship("contract"),)
    )
    verdict = evaluate(facts, [lenient, strict])
    assert [finding.blocks for finding in verdict.findings] == [False, True]


@given(drawn_calls.facts, drawn_rules.rules(), drawn_rules.exemptions)
def test_an_exemption_never_holds_a_call_back(facts, rule, exemption) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives the types
    with_it = a_rule(
        rule.kind,
        settings={name: getattr(rule.settings, name) for name in rule.settings.model_fields_set},
        scope=rule.scope,
        exemption=exemption,
        on_unknown=rule.on_unknown,
    )
    verdict = evaluate(facts, [with_it])
    if exemption.why(facts) is not None:
        assert verdict.allowed
        assert all(finding.outcome is Outcome.PASS for finding in verdict.findings)
    without = a_rule(
        rule.kind,
        settings={name: getattr(rule.settings, name) for name in rule.settings.model_fields_set},
        scope=rule.scope,
        on_unknown=rule.on_unknown,
    )
    assert verdict.allowed or not evaluate(facts, [without]).allowed


@given(st.integers(1, 60), st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001 - made aware below
def test_a_longer_time_never_lifts_less(months: int, until: datetime) -> None:
    facts = a_call(relationships=(a_relationship(until=until.replace(tzinfo=UTC)),))

    def lifted(within: int) -> bool:
        ties = {"relationships": [{"kind": "purchase", "within": f"{within}mo"}]}
        return Exemption.model_validate(ties).why(facts) is not None

    assert lifted(months + 1) or not lifted(months)
