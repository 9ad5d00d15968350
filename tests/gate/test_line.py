"""The opt-out line: what callers hear, press and get, and what is kept of it."""

import asyncio
from pathlib import Path

import pytest

from callguard.gate.line import PROMPTS as LINE_PROMPTS
from callguard.gate.room import TYPED_AN_HOUR
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import call_records, calls, opt_outs, recordings
from tests.gate.line_calls import (
    LINE,
    LINGERING_S,
    OTHER,
    TYPED,
    WITHHELD,
    calls_line,
    line_house,
    locked,
    prompts_heard,
    said,
    types_number,
    wishes,
)
from tests.harness.channels import Channel
from tests.harness.virtual import virtual_time
from tests.house import DID, PARTY, House

CONGESTION = 34
"""Q.850 cause 34, which Asterisk turns into SIP 503."""
OPTED_OUT = ["en/line-offer", "en/optout-done"]


@virtual_time
async def test_a_caller_presses_1_and_is_not_called_again(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        await call.presses("1")
        await call.hears_all(said("optout-done"))
        outcome = await call.ended()
        await home.settled()
        (row,), (wish,) = home.rows(calls), wishes(home)
        refused = await home.pbx.outbound(PARTY, tenant="acme").ended()
        record = home.rows(call_records)[0]
        prompt = home.service.gate.prompts.find("line-offer", "en")
    assert prompts_heard(call) == OPTED_OUT
    assert not refused.carrier_invited
    assert (wish["subject"], wish["tenant_id"], wish["standing"]) == (PARTY, "acme", True)
    assert (wish["way"], wish["actor"], wish["purposes"]) == ("line", "subject", [])
    assert prompt is not None
    assert (wish["call_id"], wish["prompt"]) == (row["id"], prompt.evidence)
    assert (row["direction"], row["verdict"], row["purpose"]) == ("inbound", "allow", "service")
    assert (row["subject"], row["called"]) == (PARTY, LINE)
    assert row["reasons"] == ["a call to the opt-out line"]
    assert outcome.hangup_cause == 16
    assert record["call_id"] == row["id"]


@virtual_time
async def test_no_call_to_the_line_is_announced_or_recorded(tmp_path: Path) -> None:
    async with line_house(tmp_path, record=True) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        await call.presses("1")
        outcome = await call.ended()
        started = home.rows(recordings)
    assert outcome.recorded_samples == 0
    assert started == []


@virtual_time
async def test_a_key_pressed_after_the_prompt_counts_too(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears_all(said("line-offer"))
        await asyncio.sleep(2)
        await call.presses("1")
        await call.ended()
        assert [wish["subject"] for wish in wishes(home)] == [PARTY]


@virtual_time
async def test_silence_is_asked_three_times_and_let_go(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, PARTY)
        await call.ended()
        assert wishes(home) == []
    assert prompts_heard(call) == [*["en/line-offer"] * 3, "en/line-goodbye"]


@virtual_time
async def test_whoever_opted_out_opts_in_again_with_evidence(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        await opts_out(home)
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        await call.presses("2")
        await call.hears(said("line-in-ask"), seconds=1)
        await call.presses("1")
        await call.hears_all(said("line-in-done"))
        await call.ended()
        row, lifted = home.rows(calls)[-1], wishes(home)[-1]
        outcome = await home.whole_call(PARTY)
        prompt = home.service.gate.prompts.find("line-in-ask", "en")
    assert outcome.connected
    assert prompt is not None
    assert (lifted["subject"], lifted["standing"], lifted["way"]) == (PARTY, False, "line")
    assert (lifted["call_id"], lifted["prompt"]) == (row["id"], prompt.evidence)
    assert lifted["evidence"] == f"call {row['id']}, key 1 after {prompt.evidence}"
    assert lifted["reason"] == "asked for on the opt-out line"


@virtual_time
async def test_who_does_not_confirm_stays_opted_out(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        await opts_out(home)
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        await call.presses("2")
        await call.hears(said("line-in-ask"), seconds=1)
        await call.presses("2")
        await call.hears_all(said("line-unchanged"))
        await call.ended()
        refused = await home.pbx.outbound(PARTY, tenant="acme").ended()
        kept = [wish["standing"] for wish in wishes(home)]
    assert not refused.carrier_invited
    assert kept == [True]


async def opts_out(home: House, caller: str = PARTY) -> None:
    call = calls_line(home.pbx, caller)
    await call.hears(said("line-offer"), seconds=1)
    await call.presses("1")
    await call.ended()


@virtual_time
async def test_a_withheld_number_is_typed_read_back_and_accepted(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = await types_number(home.pbx)
        (row,), (wish,) = home.rows(calls), wishes(home)
        refused = await home.pbx.outbound(OTHER, tenant="acme").ended()
        prompt = home.service.gate.prompts.find("line-confirm", "en")
    digits = [f"en/digit-{digit}" for digit in OTHER.removeprefix("+")]
    assert prompts_heard(call) == [
        "en/line-type", "en/line-read-back", *digits, "en/line-confirm", "en/optout-done",
    ]  # fmt: skip
    assert not refused.carrier_invited
    assert prompt is not None
    assert (wish["subject"], wish["way"], wish["actor"]) == (OTHER, "line", "caller")
    assert (wish["call_id"], wish["prompt"]) == (row["id"], prompt.evidence)
    assert "typed" in wish["evidence"]
    assert (row["subject"], row["caller"]) == ("", WITHHELD)


@pytest.mark.parametrize("caller", [DID, LINE, "200", "999", "agent1", ""])
@virtual_time
async def test_a_caller_whose_number_is_nobodys_is_asked_to_type_one(
    tmp_path: Path, caller: str
) -> None:
    async with line_house(tmp_path) as home:
        await types_number(home.pbx, caller=caller)
        assert [wish["subject"] for wish in wishes(home)] == [OTHER]


@virtual_time
async def test_a_number_may_be_typed_anew_and_need_not_be_ended(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, WITHHELD)
        await call.hears(said("line-type"), seconds=1)
        await call.presses("02079460124#")
        await call.hears(said("line-read-back"), seconds=1)
        await call.presses("2")
        await call.hears_all(said("line-type"))
        await call.presses(TYPED)
        await call.hears(said("line-confirm"), seconds=1, within=90)
        await call.presses("1")
        await call.ended()
        assert [wish["subject"] for wish in wishes(home)] == [OTHER]


@virtual_time
async def test_three_numbers_that_are_none_end_the_call(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, WITHHELD)
        for number in ("999", DID.replace("+44", "0"), "09098790123"):
            await call.hears(said("line-type"), seconds=1)
            await call.presses(f"{number}#")
        await call.hears_all(said("line-goodbye"))
        await call.ended()
        assert wishes(home) == []
    assert prompts_heard(call).count("en/line-bad-number") == 3


@virtual_time
async def test_no_more_numbers_are_typed_in_an_hour_than_the_bound(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        bound = home.service.gate.typed_numbers
        for _ in range(TYPED_AN_HOUR - 1):
            bound.take(home.service.gate.clock.monotonic())
        await types_number(home.pbx)
        one_more = await types_number(home.pbx, "02079460778")
        faults = dict(home.service.gate.counts.faults)
        kept = [wish["subject"] for wish in wishes(home)]
        with_number = calls_line(home.pbx, PARTY)
        await with_number.hears(said("line-offer"), seconds=1)
        await with_number.presses("1")
        await with_number.hears_all(said("optout-done"))
        await with_number.ended()
    assert prompts_heard(one_more)[-1] == "en/optout-failed"
    assert kept == [OTHER]
    assert faults == {"too_many_typed_numbers": 1}


@pytest.mark.parametrize(("digit", "language"), [("1", "en"), ("2", "he")])
@virtual_time
async def test_each_language_is_offered_in_itself(
    tmp_path: Path, digit: str, language: str
) -> None:
    async with line_house(tmp_path, languages=["en", "he"]) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("digit-2", "he"), seconds=1)
        await call.presses(digit)
        await call.hears(said("line-offer", language), seconds=1)
        await call.presses("1")
        await call.hears_all(said("optout-done", language))
        await call.ended()
        (wish,) = wishes(home)
    assert wish["prompt"].startswith(f"line-offer v1 {language} sha256:")
    assert prompts_heard(call)[:4] == [
        "en/line-language", "en/digit-1", "he/line-language", "he/digit-2",
    ]  # fmt: skip


@virtual_time
async def test_a_language_that_lacks_a_prompt_is_not_offered(tmp_path: Path) -> None:
    async with line_house(tmp_path, languages=["xx", "nl"]) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer", "nl"), seconds=1)
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_where_no_language_of_the_line_can_be_spoken_the_tenants_own_is(
    tmp_path: Path,
) -> None:
    async with line_house(tmp_path, languages=["xx"]) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_a_line_that_cannot_speak_refuses_the_call(tmp_path: Path) -> None:
    async with line_house(tmp_path, language="xx") as home:
        outcome = await calls_line(home.pbx, PARTY).ended()
        faults = dict(home.service.gate.counts.faults)
        kept = home.rows(calls)
    assert outcome.hangup_cause == CONGESTION
    assert outcome.heard == ()
    assert faults == {"line_cannot_speak": 1}
    assert kept == []


@virtual_time
async def test_a_tenant_that_nobody_knows_has_no_line(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        outcome = await calls_line(home.pbx, PARTY, tenant="nobody").ended()
        faults = dict(home.service.gate.counts.faults)
        kept = home.rows(calls)
    assert outcome.hangup_cause == CONGESTION
    assert outcome.heard == ()
    assert faults == {"line_without_tenant": 1}
    assert kept == []


@virtual_time
async def test_without_callguard_the_line_is_refused_unanswered(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        home.pbx.network.stop()
        outcome = await calls_line(home.pbx, PARTY).ended()
        home.pbx.network.start()
    assert outcome.hangup_cause == CONGESTION
    assert "answered" not in [note.kind for note in outcome.notes]
    assert outcome.cdr["userfield"] == "unreachable"


@virtual_time
async def test_callguard_that_dies_in_the_dialogue_says_nothing_more(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        home.pbx.network.kill_agi()
        await call.ended()
        assert wishes(home) == []
    assert prompts_heard(call) == ["en/line-offer"]


@virtual_time
async def test_what_is_not_durable_is_not_confirmed(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)
        with locked(tmp_path):
            await call.presses("1")
            await call.hears_all(said("optout-failed"))
            await call.ended()
        await asyncio.sleep(5)
        kept = wishes(home)
        again = await home.whole_call(PARTY)
    assert prompts_heard(call) == ["en/line-offer", "en/optout-failed"]
    assert kept == []
    assert again.connected


@virtual_time
async def test_a_typed_number_that_is_not_durable_is_not_promised(tmp_path: Path) -> None:
    async with line_house(tmp_path, typed_opt_out="call_back") as home:
        call = calls_line(home.pbx, WITHHELD)
        await call.hears(said("line-type"), seconds=1)
        await call.presses(f"{TYPED}#")
        await call.hears(said("line-confirm"), seconds=1, within=90)
        with locked(tmp_path):
            await call.presses("1")
            await call.hears_all(said("optout-failed"))
            await call.ended()
        assert home.pbx.asterisk.invites == []


@virtual_time
async def test_a_wish_never_refers_to_a_call_that_is_not_kept(tmp_path: Path) -> None:
    """The call's own row could not be written when it came: it is before the wish is."""
    async with line_house(tmp_path) as home:
        with locked(tmp_path):
            call = calls_line(home.pbx, PARTY)
            await call.hears(said("line-offer"), seconds=1)
        await call.presses("1")
        await call.hears_all(said("optout-done"))
        await call.ended()
        assert home.one(opt_outs)["call_id"] == home.one(calls)["id"]


def test_a_call_that_was_kept_too_late_keeps_no_wish_from_being_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit of the call's own row is slow: it was given up, and succeeds."""
    kept = Journal.insert

    async def late(self: Journal, *rows: Row, timeout: float = 2.0) -> None:
        await kept(self, *rows, timeout=timeout)
        monkeypatch.undo()
        raise NotDurableError("not durable within 2 s")

    @virtual_time
    async def play() -> None:
        async with line_house(tmp_path) as home:
            monkeypatch.setattr(Journal, "insert", late)
            call = calls_line(home.pbx, PARTY)
            await call.hears(said("line-offer"), seconds=1)
            await call.presses("1")
            await call.hears_all(said("optout-done"))
            await call.ended()
            assert home.one(opt_outs)["call_id"] == home.one(calls)["id"]

    play()


@pytest.mark.parametrize(
    ("prompt", "keys", "caller"),
    [
        ("line-offer", "", PARTY),
        ("line-in-ask", "2", PARTY),
        ("line-type", "", WITHHELD),
        ("line-bad-number", "999#", WITHHELD),
        ("line-read-back", f"{TYPED}#", WITHHELD),
        ("digit-7", f"{TYPED}#", WITHHELD),
        ("line-confirm", f"{TYPED}#", WITHHELD),
    ],
)
@virtual_time
async def test_a_hang_up_in_any_question_enters_nothing(
    tmp_path: Path, prompt: str, keys: str, caller: str
) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, caller)
        if keys:
            await call.hears(said("line-offer" if caller == PARTY else "line-type"), seconds=1)
            await call.presses(keys)
        await call.hears(said(prompt), seconds=1, within=90)
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        row, record = home.one(calls), home.one(call_records)
        assert wishes(home) == []
        assert home.service.gate.calls.all() == ()
        assert home.service.agi.stats.handler_errors == 0
    assert outcome.cdr["userfield"] == row["id"] == record["call_id"]


@pytest.mark.parametrize("after", ["EXEC", "READSTATUS", "KEYS"])
@virtual_time
async def test_a_hang_up_right_after_the_key_does_not_lose_the_wish(
    tmp_path: Path, after: str
) -> None:
    async with line_house(tmp_path) as home:
        call = calls_line(home.pbx, PARTY)
        await call.hears(said("line-offer"), seconds=1)

        def leaves(channel: Channel, _: int, line: str) -> None:
            if line.startswith("EXEC" if after == "EXEC" else "GET VARIABLE") and after in line:
                channel.hang_up(16)

        home.pbx.asterisk.on_after_command.append(
            lambda channel, number, line: leaves(channel, number, line)
        )
        await call.presses("1")
        await call.ended()
        assert [wish["subject"] for wish in wishes(home)] == [PARTY]
        assert home.service.agi.stats.handler_errors == 0


@virtual_time
async def test_two_callers_at_once_do_not_mix(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        first, second = calls_line(home.pbx, PARTY), calls_line(home.pbx, OTHER)
        await first.hears(said("line-offer"), seconds=1)
        await second.presses("2")
        await first.presses("1")
        await asyncio.sleep(LINGERING_S)
        await second.presses("1")
        await first.ended()
        await second.ended()
        found = {(w["subject"], w["standing"]) for w in wishes(home)}
        by_call = {row["id"]: row["subject"] for row in home.rows(calls)}
        assert all(by_call[w["call_id"]] == w["subject"] for w in wishes(home))
    assert found == {(PARTY, True), (OTHER, False)}


@virtual_time
async def test_each_prompt_of_the_line_is_shipped_in_each_language(tmp_path: Path) -> None:
    async with line_house(tmp_path) as home:
        prompts = home.service.gate.prompts
        for language in ("en", "he", "nl"):
            assert all(prompts.find(name, language) for name in LINE_PROMPTS)
