"""A typed number that is proved by calling it back."""

import asyncio
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from sqlalchemy import update

from callguard.gate.call_back import CALLS, GIVEN_UP
from callguard.gate.knowledge import Knowledge
from callguard.optout.claims import LEFT_ALONE
from callguard.policy.span import Span
from callguard.storage.schema import attempts, calls, opt_out_claims
from callguard.tenants.store import set_retention
from tests.gate.forged import ask
from tests.gate.line_calls import (
    OTHER,
    claim_of,
    furnish_line,
    line_house,
    pbx_of,
    prompts_heard,
    said,
    types_number,
    wishes,
)
from tests.harness.playbook import Call
from tests.harness.virtual import virtual_time
from tests.house import PARTY, House, serving

BACK: dict[str, Any] = {"typed_opt_out": "call_back", "shown_number": "+442079460999"}
AGAIN = timedelta(minutes=3)
"""In place of hours: virtual time passes too, only faster."""


async def confirms(call: Call, key: str = "1") -> None:
    await call.carrier_answers()
    await call.hears(said("callback-ask"), seconds=1)
    await call.presses(key)
    await call.ended()


@virtual_time
async def test_whoever_is_called_back_confirms_with_1(tmp_path: Path) -> None:
    async with line_house(tmp_path, **BACK) as home:
        typed = await types_number(home.pbx)
        before = wishes(home)
        call = await home.pbx.calls_back(OTHER)
        called_from = home.pbx.asterisk.notes[-1].extra.get("caller")
        await call.carrier_answers()
        await call.hears(said("callback-ask"), seconds=1)
        await call.presses("1")
        await call.hears_all(said("optout-done"))
        outcome = await call.ended()
        await home.settled()
        claim, (wish,) = claim_of(home), wishes(home)
        first, back = home.rows(calls)
        refused = await home.pbx.outbound(OTHER, tenant="acme").ended()
        (attempt,) = [row for row in home.rows(attempts) if row["call_id"] == back["id"]]
        prompt = home.service.gate.prompts.find("callback-ask", "en")
    assert prompts_heard(typed)[-1] == "en/line-callback"
    assert before == []
    assert not refused.carrier_invited
    assert prompt is not None
    assert (wish["subject"], wish["way"], wish["actor"]) == (OTHER, "callback", "subject")
    assert (wish["call_id"], wish["prompt"]) == (back["id"], prompt.evidence)
    assert first["id"] in wish["evidence"]
    assert (claim["state"], claim["call_id"]) == ("confirmed", first["id"])
    assert claim["prompt"].startswith("line-confirm v1 en sha256:")
    assert (back["direction"], back["purpose"], back["verdict"]) == ("outbound", "service", "allow")
    assert outcome.cdr["userfield"] == back["id"]
    assert attempt["answered_at"] is not None
    assert called_from == BACK["shown_number"]


@pytest.mark.parametrize("key", ["2", "9", "*"])
@virtual_time
async def test_any_other_key_refuses_it_for_good(tmp_path: Path, key: str) -> None:
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        call = await home.pbx.calls_back(OTHER)
        await confirms(call, key)
        assert prompts_heard(call)[-1] == "en/line-unchanged"
        again = await types_number(home.pbx)
        await asyncio.sleep(100)
        assert len(home.pbx.asterisk.invites) == 1
        assert (claim_of(home)["state"], wishes(home)) == ("refused", [])
    assert prompts_heard(again)[-1] == "en/optout-failed"


@virtual_time
async def test_a_hang_up_refuses_it_too(tmp_path: Path) -> None:
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        call = await home.pbx.calls_back(OTHER)
        await call.carrier_answers()
        await call.hears(said("callback-ask"), seconds=1)
        await call.hangs_up("party")
        await call.ended()
        await asyncio.sleep(1)
        claim = claim_of(home)
        assert wishes(home) == []
    assert (claim["state"], claim["reason"]) == (
        "refused",
        "not confirmed in the call back: hung_up",
    )
    assert claim["expires_at"] > claim["settled_at"]


@virtual_time
async def test_a_connection_that_breaks_in_the_question_refuses_nothing(tmp_path: Path) -> None:
    """Asterisk went down: the person has not hung up."""
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        call = await home.pbx.calls_back(OTHER)
        await call.carrier_answers()
        await call.hears(said("callback-ask"), seconds=1)
        home.pbx.network.kill_agi()
        await call.ended()
        await asyncio.sleep(3)
        assert (claim_of(home)["state"], wishes(home)) == ("pending", [])


@virtual_time
async def test_a_refusal_is_kept_before_the_farewell(tmp_path: Path) -> None:
    """However the farewell ends: who has refused is not called again for that."""
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        call = await home.pbx.calls_back(OTHER)
        await call.carrier_answers()
        await call.hears(said("callback-ask"), seconds=1)
        await call.presses("2")
        await call.hears(said("line-unchanged"), seconds=0.1)
        assert claim_of(home)["state"] == "refused"
        home.pbx.network.kill_agi()
        await call.ended()
        assert wishes(home) == []


@virtual_time
async def test_no_retention_makes_a_refusal_forgotten_too_soon(tmp_path: Path) -> None:
    settings, pbx = furnish_line(tmp_path, **BACK), pbx_of(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        home = House(service, pbx, tmp_path, None)  # type: ignore[arg-type]
        with service.database.writing() as connection:
            at = service.gate.clock.now()
            set_retention(connection, "acme", "consent", Span(days=0), at=at, actor="test")
        await asyncio.sleep(1)
        await types_number(pbx)
        await confirms(await pbx.calls_back(OTHER), "2")
        await asyncio.sleep(1)
        claim = claim_of(home)
    assert claim["state"] == "refused"
    assert claim["expires_at"] - claim["settled_at"] >= LEFT_ALONE


@virtual_time
async def test_who_is_not_there_is_called_again_some_hours_later_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that takes the call and presses nothing is nobody either."""
    monkeypatch.setattr("callguard.gate.call_back.AGAIN", AGAIN)
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        began = home.service.gate.clock.now()
        for number in range(CALLS):
            call = await home.pbx.calls_back(OTHER, within=AGAIN.total_seconds() + 120)
            if number == 0:
                await call.carrier_answers()
            elif number == 1:
                await call.carrier_refuses("busy")
            await call.ended()
        lasted = home.service.gate.clock.now() - began
        await asyncio.sleep(2 * AGAIN.total_seconds())
        claim = claim_of(home)
        assert len(home.pbx.asterisk.invites) == CALLS
        assert wishes(home) == []
    assert lasted > AGAIN * (CALLS - 1)
    assert (claim["state"], claim["reason"]) == ("expired", "not answered in 3 calls")


@virtual_time
async def test_a_claim_outlives_a_restart(tmp_path: Path) -> None:
    settings, pbx = furnish_line(tmp_path, **BACK), pbx_of(tmp_path)
    async with pbx:
        async with serving(settings, pbx):
            await types_number(pbx)
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, None)  # type: ignore[arg-type]
            await confirms(await pbx.calls_back(OTHER))
            await asyncio.sleep(1)
            assert [wish["way"] for wish in wishes(home)] == ["callback"]
            assert claim_of(home)["state"] == "confirmed"


@virtual_time
async def test_a_restart_while_it_rings_calls_nobody_twice(tmp_path: Path) -> None:
    """The call that was placed is remembered, and confirmed by the one that serves now."""
    settings, pbx = furnish_line(tmp_path, **BACK), pbx_of(tmp_path)
    async with pbx:
        async with serving(settings, pbx):
            await types_number(pbx)
            call = await pbx.calls_back(OTHER)
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, None)  # type: ignore[arg-type]
            await asyncio.sleep(15)
            assert len(pbx.asterisk.invites) == 1
            await confirms(call)
            await asyncio.sleep(1)
            assert [wish["way"] for wish in wishes(home)] == ["callback"]
            assert claim_of(home)["state"] == "confirmed"


@virtual_time
async def test_a_number_is_claimed_once_however_often_it_is_typed(tmp_path: Path) -> None:
    async with line_house(tmp_path, channel=None, **BACK) as home:
        first = await types_number(home.pbx)
        second = await types_number(home.pbx)
        assert len(home.rows(opt_out_claims)) == 1
    heard = {prompts_heard(call)[-1] for call in (first, second)}
    assert heard == {"en/line-callback"}


@virtual_time
async def test_without_the_permission_the_claim_waits_and_an_alarm_says_so(tmp_path: Path) -> None:
    async with line_house(tmp_path, may_originate=False, **BACK) as home:
        await types_number(home.pbx)
        await asyncio.sleep(30)
        alarms = (await home.service.overview.status()).alarms
        refused = claim_of(home), home.rows(calls)[-1], home.service.gate.calls.all()
        home.pbx.manager.accounts = pbx_of(tmp_path).manager.accounts
        home.pbx.network.drop_ami()
        await confirms(await home.pbx.calls_back(OTHER, within=300))
        await asyncio.sleep(5)
        healed = (await home.service.overview.status()).alarms
        assert [wish["way"] for wish in wishes(home)] == ["callback"]
    claim, call, living = refused
    assert claim["state"] == "pending"
    assert (call["verdict"], living) == ("block", ())
    told = "opt-outs cannot be confirmed by call back: asterisk: Originate: Permission denied"
    assert told in alarms
    assert not any("call back" in alarm for alarm in healed)


@virtual_time
async def test_without_a_channel_the_claim_waits_and_an_alarm_says_so(tmp_path: Path) -> None:
    async with line_house(tmp_path, channel=None, **BACK) as home:
        await types_number(home.pbx)
        await asyncio.sleep(30)
        alarms = (await home.service.overview.status()).alarms
        assert claim_of(home)["state"] == "pending"
    assert any("no call_back in its settings" in alarm for alarm in alarms)


@virtual_time
async def test_a_channel_that_is_none_is_no_call_for_ever(tmp_path: Path) -> None:
    """Asterisk says nothing of an endpoint that it does not have."""
    async with line_house(tmp_path, **BACK) as home:
        home.pbx.asterisk.no_endpoints.add("carrier")
        await types_number(home.pbx)
        await asyncio.sleep(60)
        placed = [row for row in home.rows(calls) if row["direction"] == "outbound"]
        assert home.service.gate.calls.all() == ()
    assert len(placed) == 1


@pytest.mark.parametrize("fault", ["prompt_not_played", "prompt_missing"])
@virtual_time
async def test_a_question_that_was_not_played_refuses_nothing(tmp_path: Path, fault: str) -> None:
    """Asterisk or callguard does not find it: the person heard nothing that they could refuse."""
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        if fault == "prompt_missing":
            (tmp_path / "prompts" / "en" / "callback-ask-1.wav").unlink()
        else:
            home.service.gate.prompt_folders["asterisk"] = PurePosixPath("/elsewhere")
        call = await home.pbx.calls_back(OTHER)
        await call.carrier_answers()
        await call.ended()
        await asyncio.sleep(1)
        assert claim_of(home)["state"] == "pending"
        assert home.service.gate.counts.faults == {fault: 1}


@virtual_time
async def test_a_number_that_opted_out_otherwise_is_not_called(tmp_path: Path) -> None:
    async with line_house(tmp_path, may_originate=False, **BACK) as home:
        await types_number(home.pbx)
        await asyncio.sleep(1)
        call = home.pbx.inbound(OTHER, did="+442079460999")
        await call.hears(said("notice"), seconds=1)
        await call.presses("9")
        await call.ended()
        await asyncio.sleep(120)
        claim = claim_of(home)
    assert (claim["state"], claim["reason"]) == ("confirmed", "an opt-out of this number stands")


@virtual_time
async def test_a_call_that_may_not_be_placed_waits_until_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here because opt-outs cannot be read; in life, mostly because of the hour."""
    async with line_house(tmp_path, **BACK) as home:
        await types_number(home.pbx)
        with monkeypatch.context() as held:
            held.setattr(Knowledge, "stale_opt_outs", lambda _: 99.0)
            await asyncio.sleep(300)
            waiting = claim_of(home)["state"], len(home.pbx.asterisk.invites)
            kept = [row["direction"] for row in home.rows(calls)]
        await confirms(await home.pbx.calls_back(OTHER, within=120))
        await asyncio.sleep(1)
        assert claim_of(home)["state"] == "confirmed"
    assert waiting == ("pending", 0)
    assert kept == ["inbound"]


@virtual_time
async def test_after_a_week_a_claim_is_given_up(tmp_path: Path) -> None:
    async with line_house(tmp_path, channel=None, **BACK) as home:
        await types_number(home.pbx)
        made = claim_of(home)["at"]
        with home.service.database.writing() as connection:
            connection.execute(update(opt_out_claims).values(at=made - GIVEN_UP))
        await asyncio.sleep(120)
        claim = claim_of(home)
        assert wishes(home) == []
        await asyncio.sleep(5)
        assert home.service.call_back.fault is None
    assert (claim["state"], claim["reason"]) == (
        "expired",
        "could not be called back within 7 days",
    )


@virtual_time
async def test_a_call_back_that_nobody_asked_for_says_nothing(tmp_path: Path) -> None:
    unknown = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    async with line_house(tmp_path, channel=None, **BACK) as home:
        await types_number(home.pbx)
        claim = claim_of(home)["id"]
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.expect_verdict("allow")
        other = home.rows(calls)[-1]["id"]
        for call_id, claim_id in (("", ""), (unknown, claim), (other, claim), (other, unknown)):
            said_then = await ask(
                home.pbx, f"call-back?pbx=asterisk&call={call_id}&claim={claim_id}"
            )
            assert said_then == []
        assert wishes(home) == []
        assert claim_of(home)["state"] == "pending"
        await call.hangs_up("agent")
        await call.ended()
