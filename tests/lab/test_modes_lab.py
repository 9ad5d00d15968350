"""Each way to a recording and each answer to it, both ways, proved from the sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import select

from callguard.storage.schema import opt_outs
from tests.lab.asterisk import Asterisk
from tests.lab.guarded import NOTICE_S, GuardedPbx
from tests.lab.in_dialog import Info
from tests.lab.sipp import Digits, Talk
from tests.lab.told import (
    Scene,
    Stage,
    Told,
    add_tenants,
    consent_before,
    let_record_silently,
    number_of,
    recording_rule,
)

pytestmark = pytest.mark.lab

SILENT, NOTICE, REFUSE, ASK, ASK_OR_END, REFUSE_OR_END, NEVER, LAW_ASKS, OWN_DIGITS = range(9)
TENANTS: dict[int, dict[str, object]] = {
    SILENT: {"recording_mode": "silent"},
    NOTICE: {"recording_mode": "notice"},
    REFUSE: {"recording_mode": "notice_or_refuse"},
    ASK: {"recording_mode": "ask", "answer_s": 1.5},
    ASK_OR_END: {"recording_mode": "ask", "answer_s": 1.5, "on_refusal": "end", "barge_in": True},
    REFUSE_OR_END: {"recording_mode": "notice_or_refuse", "on_refusal": "end"},
    NEVER: {"recording_mode": "notice"},
    LAW_ASKS: {"recording_mode": "silent"},
    OWN_DIGITS: {"recording_mode": "ask", "accept_digit": "3"},
}
RULES = {NEVER: 'mode = "never"', LAW_ASKS: 'mode = "ask"'}
"""All other calls here are between places where one party's consent suffices."""

IN_IT, AFTER_IT = Talk(550), Talk(1600)
"""In the middle of what is told, and after its end."""

PRIOR = "who consented before is not asked"
SCENES: Mapping[str, Scene] = {
    PRIOR: Scene(LAW_ASKS),
    "silent": Scene(SILENT),
    "notice": Scene(NOTICE),
    "notice, 5": Scene(NOTICE, (IN_IT, Digits("5"))),
    "notice, 9 after it": Scene(NOTICE, (AFTER_IT, Digits("9"))),
    "notice to refuse": Scene(REFUSE),
    "notice to refuse, 1 after it": Scene(REFUSE, (AFTER_IT, Digits("1"))),
    "notice to refuse, 2": Scene(REFUSE, (IN_IT, Digits("2"))),
    "notice to refuse, 2 by INFO": Scene(REFUSE, (IN_IT, Info("2")), info=True),
    "notice to refuse, 2 after it": Scene(REFUSE, (AFTER_IT, Digits("2"))),
    "notice to refuse, 9": Scene(REFUSE, (IN_IT, Digits("9"))),
    "notice to refuse, 2, or end": Scene(REFUSE_OR_END, (IN_IT, Digits("2"))),
    "ask, 1": Scene(ASK, (AFTER_IT, Digits("1"))),
    "ask, 1 by INFO": Scene(ASK, (AFTER_IT, Info("1")), info=True),
    "ask, 2": Scene(ASK, (IN_IT, Digits("2"))),
    "ask, 5 and then 1": Scene(ASK, (AFTER_IT, Digits("5"), Talk(1700), Digits("1"))),
    "ask, silence": Scene(ASK),
    "ask, 1 too early": Scene(ASK, (IN_IT, Digits("1"))),
    "ask or end, 1 early": Scene(ASK_OR_END, (IN_IT, Digits("1"))),
    "ask or end, silence": Scene(ASK_OR_END),
    "ask, hang-up": Scene(ASK, (IN_IT,), leaves=True),
    "law: never": Scene(NEVER),
    "law: ask, 1": Scene(LAW_ASKS, (AFTER_IT, Digits("1"))),
    "no prompt with these digits": Scene(OWN_DIGITS, (AFTER_IT, Digits("3"))),
    "caller, silent": Scene(SILENT, inbound=True),
    "caller, notice": Scene(NOTICE, (Talk(2800),), inbound=True),
    "caller, notice to refuse, 2": Scene(REFUSE, (IN_IT, Digits("2")), inbound=True, talk_ms=1600),
    "caller, ask, 1 by INFO": Scene(ASK, (AFTER_IT, Info("1")), inbound=True, info=True),
    "caller, ask, 1": Scene(ASK, (AFTER_IT, Digits("1")), inbound=True),
    "caller, ask or end, silence": Scene(ASK_OR_END, (Talk(8000),), inbound=True),
    "caller, ask, hang-up": Scene(ASK, (IN_IT,), inbound=True, leaves=True),
}


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    with Asterisk(tmp_path_factory.mktemp("pbx")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPbx]:
    """callguard with a tenant for each mode."""
    packs = tmp_path_factory.mktemp("packs")
    rules = [recording_rule(tenant, settings) for tenant, settings in RULES.items()]
    (packs / "lab.toml").write_text("\n".join(['title = "The laboratory"', *rules]))
    beside = GuardedPbx(pbx, tmp_path_factory.mktemp("guarded"), packs=packs).lay_out(furnished)
    add_tenants(beside, TENANTS)
    let_record_silently(beside, SILENT)
    consent_before(beside, LAW_ASKS, number_of(0))
    try:
        beside.callguard.start()
        yield beside
    finally:
        beside.close()


@pytest.fixture(scope="module")
def told(guarded: GuardedPbx, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Told]:
    """All the scenes, played at once."""
    return Stage(guarded, tmp_path_factory.mktemp("stage")).play(SCENES)


RECORDED = {
    "silent": ("silent", "granted", None),
    "notice": ("notice", "granted", None),
    "notice, 5": ("notice", "granted", None),
    "notice to refuse": ("notice_or_refuse", "granted", None),
    "notice to refuse, 1 after it": ("notice_or_refuse", "granted", "1"),
    "ask, 1": ("ask", "granted", "1"),
    "ask, 1 by INFO": ("ask", "granted", "1"),
    "ask, 5 and then 1": ("ask", "granted", "1"),
    "ask or end, 1 early": ("ask", "granted", "1"),
    "law: ask, 1": ("ask", "granted", "1"),
    PRIOR: ("prior", "granted", None),
    "caller, silent": ("silent", "granted", None),
    "caller, notice": ("notice", "granted", None),
    "caller, ask, 1 by INFO": ("ask", "granted", "1"),
    "caller, ask, 1": ("ask", "granted", "1"),
}
UNRECORDED = {
    "notice to refuse, 2": ("notice_or_refuse", "refused", "2"),
    "notice to refuse, 2 by INFO": ("notice_or_refuse", "refused", "2"),
    "notice to refuse, 2 after it": ("notice_or_refuse", "refused", "2"),
    "ask, 2": ("ask", "refused", "2"),
    "ask, silence": ("ask", "refused", None),
    "ask, 1 too early": ("ask", "refused", None),
    "no prompt with these digits": ("ask", "incomplete", None),
    "caller, notice to refuse, 2": ("notice_or_refuse", "refused", "2"),
}
ENDED = {
    "notice, 9 after it": ("notice", "refused", "9"),
    "notice to refuse, 9": ("notice_or_refuse", "refused", "9"),
    "notice to refuse, 2, or end": ("notice_or_refuse", "refused", "2"),
    "ask or end, silence": ("ask", "refused", None),
    "ask, hang-up": ("ask", "incomplete", None),
    "caller, ask or end, silence": ("ask", "refused", None),
    "caller, ask, hang-up": ("ask", "incomplete", None),
}


@pytest.mark.parametrize("name", RECORDED)
def test_with_a_consent_the_talk_is_recorded_and_nothing_else(
    told: Mapping[str, Told], name: str
) -> None:
    told[name].assert_recorded()
    assert told[name].answered == RECORDED[name]


@pytest.mark.parametrize("name", UNRECORDED)
def test_without_one_the_call_goes_on_unrecorded(told: Mapping[str, Told], name: str) -> None:
    told[name].assert_connected_unrecorded()
    assert told[name].answered == UNRECORDED[name]


@pytest.mark.parametrize("name", ENDED)
def test_the_call_ends_where_that_was_chosen(told: Mapping[str, Told], name: str) -> None:
    told[name].assert_ended()
    assert told[name].answered == ENDED[name]


def test_where_no_recording_is_allowed_nothing_is_said(told: Mapping[str, Told]) -> None:
    told["law: never"].assert_connected_unrecorded()
    assert told["law: never"].story.consents == []
    assert waited(told["law: never"]) < NOTICE_S / 2


def test_who_is_not_asked_is_connected_at_once(told: Mapping[str, Told]) -> None:
    for name in ("silent", PRIOR):
        assert waited(told[name]) < NOTICE_S / 2
        assert told[name].consent["prompt"] is None
    assert waited(told["notice"]) > NOTICE_S
    assert told[PRIOR].consent["proof"].startswith("consent:")


def test_the_evidence_says_what_was_heard_and_which_rule_asked_for_it(
    told: Mapping[str, Told],
) -> None:
    whole = told["law: ask, 1"].consent
    assert whole["prompt"].startswith("ask v")
    assert whole["asked"] == 1
    assert whole["heard_ms"] >= whole["length_ms"] - 20 == NOTICE_S * 1000 - 20
    assert any("House rule 7" in rule for rule in whole["rules"])

    early = told["ask or end, 1 early"].consent
    assert 0 < early["heard_ms"] < early["length_ms"]
    asked = {name: told[name].consent["asked"] for name in SCENES if name.startswith("ask, ")}
    assert asked == {
        "ask, 1": 1,
        "ask, 1 by INFO": 1,
        "ask, 2": 1,
        "ask, 5 and then 1": 2,
        "ask, silence": 2,
        "ask, 1 too early": 2,
        "ask, hang-up": 1,
    }


def test_the_chain_of_evidence_is_shown_by_the_call(
    told: Mapping[str, Told], guarded: GuardedPbx
) -> None:
    row = told["law: ask, 1"].consent
    shown = guarded.callguard.run("consent", "show", "--call", row["call_id"])
    (link,) = [link for link in shown["links"] if link["what"] == "consent"]
    assert "press 1" in link["words"]
    kept = ("prompt", "language", "heard_ms", "length_ms", "answer", "rules", "mode", "state")
    assert {name: link[name] for name in kept} == {name: row[name] for name in kept}


def test_who_opted_out_in_it_is_not_called_again(
    told: Mapping[str, Told], guarded: GuardedPbx
) -> None:
    number = number_of(list(SCENES).index("notice to refuse, 9"))
    assert told["notice to refuse, 9"].party.hung_up_by_peer
    query = select(opt_outs.c.tenant_id).where(opt_outs.c.subject == f"+{number}")
    assert guarded.rows(query) == [{"tenant_id": f"tenant-{REFUSE}"}]


def test_a_prompt_that_names_other_digits_is_none_and_an_alarm_says_so(
    told: Mapping[str, Told], guarded: GuardedPbx
) -> None:
    assert told["no prompt with these digits"].consent["prompt"] == "none"
    (line, *_) = guarded.logged("prompt_missing")
    assert f"tenant-{OWN_DIGITS}" in line


def waited(told: Told) -> float:
    """Seconds that the party, which answered first, was there before the agent."""
    return told.party.talks[0] - told.agent.talks[0]
