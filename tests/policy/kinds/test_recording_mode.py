"""What must come before a recording."""

from datetime import timedelta

import pytest

from callguard.policy.evaluate import evaluate
from callguard.policy.rules import Obligation, Outcome
from callguard.policy.scope import Scope
from tests.policy.facts import BERLIN, HERE, LONDON, NEW_YORK, NOON, PARIS, a_call, a_consent
from tests.policy.kinds.asked import a_rule, ask, loosens, refused

NOTICE, ASK = Obligation.PLAY_NOTICE, Obligation.ASK_CONSENT
NEVER, BEEP = Obligation.DO_NOT_RECORD, Obligation.BEEP
ONE_PARTY, PRIOR = Obligation.ONE_PARTY, Obligation.PRIOR_CONSENT
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("mode", "beep", "duties"),
    [
        ("silent", False, {ONE_PARTY}),
        ("silent", True, {ONE_PARTY, BEEP}),
        ("notice", False, {NOTICE}),
        ("notice", True, {NOTICE, BEEP}),
        ("ask", False, {NOTICE, ASK}),
        ("ask", True, {NOTICE, ASK, BEEP}),
        ("never", False, {NEVER}),
        ("never", True, {NEVER}),
    ],
)
def test_each_mode_has_its_duties(mode: str, beep: bool, duties: set[Obligation]) -> None:
    found = ask("recording_mode", a_call(), mode=mode, beep=beep)
    assert found.obligations == duties
    assert found.outcome is (Outcome.PASS if duties == {ONE_PARTY} else Outcome.REQUIRE)


@pytest.mark.parametrize(
    ("consent", "asked"),
    [
        (a_consent("recording"), False),
        (a_consent("recording", granted_at=NOON), False),
        (a_consent("recording", granted_at=NOON + TICK), True),
        (a_consent("recording", until=NOON + TICK), False),
        (a_consent("recording", until=NOON), True),
        (a_consent("marketing"), True),
    ],
)
def test_who_consented_to_recordings_need_be_neither_asked_nor_told(
    consent: object, asked: bool
) -> None:
    facts = a_call(consents=(consent,))  # type: ignore[arg-type]  # the table holds consents
    found = {mode: ask("recording_mode", facts, mode=mode) for mode in ("notice", "ask")}
    duties = {mode: set(one.obligations) for mode, one in found.items()}
    none = {"notice": {PRIOR}, "ask": {PRIOR}}
    assert duties == ({"notice": {NOTICE}, "ask": {NOTICE, ASK}} if asked else none)
    assert {one.outcome for one in found.values()} == {Outcome.REQUIRE}


@pytest.mark.parametrize(
    ("mode", "duties"),
    [
        ("silent", {ONE_PARTY, BEEP}),
        ("notice", {PRIOR, BEEP}),
        ("ask", {PRIOR, BEEP}),
        ("never", {NEVER}),
    ],
)
def test_a_consent_lifts_neither_the_tone_nor_what_is_never_allowed(
    mode: str, duties: set[Obligation]
) -> None:
    facts = a_call(consents=(a_consent("recording"),))
    assert ask("recording_mode", facts, mode=mode, beep=True).obligations == duties


BY_REGION = [
    a_rule(
        "recording_mode",
        f"{region.lower()}.recording",
        {"mode": mode},
        scope=Scope(
            regions=frozenset({region}),
            ends="either",
            directions=frozenset({"outbound", "inbound"}),
        ),
    )
    for region, mode in [("GB", "notice"), ("DE", "ask"), ("FR", "never"), ("US", "silent")]
]


@pytest.mark.parametrize(
    ("subject", "own", "home", "duties"),
    [
        (NEW_YORK, NEW_YORK, "US", {ONE_PARTY}),
        (NEW_YORK, NEW_YORK, "GB", {ONE_PARTY, NOTICE}),
        (NEW_YORK, HERE, "GB", {ONE_PARTY, NOTICE}),
        (LONDON, NEW_YORK, "US", {ONE_PARTY, NOTICE}),
        (LONDON, BERLIN, "GB", {NOTICE, ASK}),
        (LONDON, HERE, "DE", {NOTICE, ASK}),
        (BERLIN, HERE, "GB", {NOTICE, ASK}),
        (PARIS, BERLIN, "DE", {NOTICE, ASK, NEVER}),
        (BERLIN, PARIS, "FR", {NOTICE, ASK, NEVER}),
    ],
)
@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_the_law_of_both_ends_holds_and_the_strictest_wins(
    subject: str, own: str, home: str, duties: set[Obligation], direction: str
) -> None:
    facts = a_call(subject, caller=own, home_region=home, direction=direction)  # type: ignore[arg-type]  # both are directions
    verdict = evaluate(facts, BY_REGION)
    assert verdict.allowed
    assert verdict.obligations == duties


def test_a_mode_that_is_none_is_refused() -> None:
    refused("recording_mode", "mode", mode="maybe")


MODES = ("silent", "notice", "ask", "never")


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_a_milder_mode_is_looser(before: str, after: str) -> None:
    loose = MODES.index(after) < MODES.index(before)
    assert loosens("recording_mode", {"mode": before}, {"mode": after}) is loose


def test_to_leave_the_tone_out_is_looser() -> None:
    with_tone = {"mode": "notice", "beep": True}
    assert loosens("recording_mode", with_tone, {"mode": "notice"})
    assert not loosens("recording_mode", {"mode": "notice"}, with_tone)
