"""Who may do what in the middle of a call: every action by everybody, however the call stands."""

from itertools import product

import pytest

from callguard.gate.mid_call_rules import ACTIONS, Action, Standing, Step, Who, may, step
from callguard.tenants.tenant import TenantSettings

USUAL = TenantSettings()
EVERYBODY: tuple[Who, ...] = ("agent", "subject", "page", "api")
RUNS = Standing(recorded=True)
PAUSED = Standing(recorded=True, paused=True)
BEFORE = Standing()
STOPPED = Standing(ended=True)
WITHDRAWN = Standing(ended=True, withdrawn=True)
ERASED = Standing(ended=True, withdrawn=True, erased=True)
STILL_RUNS = Standing(recorded=True, paused=True, ended=True, withdrawn=True)
"""The subject ended it, and Asterisk could not be told yet."""

TABLE = """
action   | who     | runs    | paused  | before  | stopped | withdrawn | erased  | still runs
pause    | agent   | do      | do      | nothing | nothing | nothing   | nothing | do
pause    | subject | refused | refused | refused | refused | refused   | refused | refused
pause    | page    | do      | do      | nothing | nothing | nothing   | nothing | do
resume   | agent   | already | do      | nothing | nothing | refused   | refused | refused
resume   | subject | refused | refused | refused | refused | refused   | refused | refused
resume   | page    | already | do      | nothing | nothing | refused   | refused | refused
stop     | agent   | do      | do      | nothing | already | already   | already | do
stop     | subject | do      | do      | do      | do      | already   | already | do
stop     | page    | do      | do      | nothing | already | already   | already | do
withdraw | agent   | do      | do      | do      | do      | do        | already | do
withdraw | subject | do      | do      | do      | do      | do        | already | do
withdraw | page    | do      | do      | do      | do      | do        | already | do
optout   | agent   | do      | do      | do      | do      | do        | do      | do
optout   | subject | do      | do      | do      | do      | do        | do      | do
optout   | page    | do      | do      | do      | do      | do        | do      | do
"""
STANDINGS = (RUNS, PAUSED, BEFORE, STOPPED, WITHDRAWN, ERASED, STILL_RUNS)


def test_what_each_action_comes_to_is_this_table() -> None:
    _, *rows = ([cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines())
    assert len(rows) == 15
    for action, who, *expected in rows:
        found = [step(action, who, standing, USUAL).value for standing in STANDINGS]  # type: ignore[arg-type]  # words of the table
        assert found == expected, (action, who)


def test_the_api_may_what_the_page_may() -> None:
    for action, standing in product(ACTIONS, STANDINGS):
        by_page, by_api = (step(action, who, standing, USUAL) for who in ("page", "api"))
        assert by_page is by_api


@pytest.mark.parametrize(
    ("who", "setting"), [("agent", "agent_codes"), ("subject", "subject_codes")]
)
def test_a_tenant_chooses_who_may_press_which_code(who: Who, setting: str) -> None:
    only = TenantSettings.model_validate({setting: ["stop"]})
    assert [action for action in ACTIONS if may(action, who, only)] == ["stop"]
    assert all(may(action, "page", only) for action in ACTIONS)
    none = TenantSettings.model_validate({setting: []})
    assert not any(may(action, who, none) for action in ACTIONS)


def test_no_setting_lets_the_subject_switch_a_recording_on() -> None:
    lax = USUAL.model_copy(update={"subject_codes": ACTIONS})
    for standing in STANDINGS:
        assert step("resume", "subject", standing, lax) is Step.REFUSED


def test_nothing_that_was_ended_by_its_subject_is_resumed() -> None:
    flags = ("recorded", "paused", "ended", "erased")
    for values, who in product(product((False, True), repeat=len(flags)), EVERYBODY):
        standing = Standing(withdrawn=True, **dict(zip(flags, values, strict=True)))
        assert step("resume", who, standing, USUAL) is Step.REFUSED


def test_whoever_is_recorded_is_never_told_that_there_is_nothing_to_end() -> None:
    ending: tuple[Action, ...] = ("stop", "withdraw")
    for action, standing in product(ending, STANDINGS):
        assert step(action, "subject", standing, USUAL) in (Step.DO, Step.ALREADY)
