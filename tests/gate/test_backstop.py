"""What goes past the gate is found by what Asterisk tells: stopped, hung up, reported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callguard.agi.session import AgiSession
from callguard.ami.errors import AmiError, AmiRefused, AmiTimeout
from callguard.ami.session import AmiSession
from callguard.ami.wire import Message
from callguard.gate.mid_call import act
from tests.gate.conversations import ELSE, events, heard_of, now, recorded_call
from tests.harness.playbook import Call
from tests.harness.recorder import Recorder
from tests.harness.virtual import virtual_time
from tests.house import NOTICE, PARTY, House, furnish, serving, simulated_pbx

WITHIN_S = 1.0


@asynccontextmanager
async def guarded(
    folder: Path, *, ungated: str = "report", foreign: str = "stop", **tenant: object
) -> AsyncIterator[House]:
    settings, identity = furnish(folder, **tenant)
    chosen = {"trunks": ("PJSIP/carrier",), "ungated": ungated, "foreign_recordings": foreign}
    trunked = tuple(pbx.model_copy(update=chosen) for pbx in settings.asterisk)
    pbx = simulated_pbx(folder)
    async with pbx, serving(settings.model_copy(update={"asterisk": trunked}), pbx) as service:
        yield House(service, pbx, folder, identity)


def faults(home: House) -> dict[str, int]:
    return home.service.gate.counts.faults


async def refused_call(home: House) -> Call:
    """An outbound call whose party hung on and pressed the digit that opts out."""
    call = home.pbx.outbound(PARTY, tenant="acme")
    await call.carrier_answers()
    await call.hears(NOTICE, seconds=1)
    await call.presses("9")
    await call.talk(seconds=1)
    return call


@virtual_time
async def test_a_recording_that_another_dialplan_starts_is_stopped_within_a_second(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as home:
        caller = home.pbx.dials("agent1", f"rogue{ELSE}", context="unguarded")
        party = await home.pbx.leg(ELSE)
        await party.answers()
        await party.is_connected()
        await asyncio.sleep(3)
        (rogue,) = home.pbx.asterisk.media.recorders
        assert heard_of(rogue, party) < WITHIN_S
        assert faults(home)["foreign_recording"] == 1
        assert home.service.backstop.alarms == (
            "channels on which recordings ran that callguard did not begin: 1; stopped there: 1",
            "calls on a trunk without a verdict: 1",
        )
        await caller.hangs_up()


@virtual_time
async def test_one_beside_our_own_is_stopped_once_somebody_no_longer_agrees(tmp_path: Path) -> None:
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        party = call.leg("party")
        rogue = home.pbx.records(party)
        await call.talk(seconds=3)
        (ours, _) = call.recorders
        assert heard_of(rogue, party) == pytest.approx(3, abs=0.1), "everybody agreed"
        assert faults(home)["foreign_recording"] == 1
        withdrawn = now()
        await call.presses("*91", by="party")
        await call.talk(seconds=3)
        assert heard_of(rogue, party, withdrawn) < WITHIN_S
        assert heard_of(ours, party, withdrawn) < WITHIN_S
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_while_ours_is_paused_no_other_hears_what_is_said(tmp_path: Path) -> None:
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        party = call.leg("party")
        rogue = home.pbx.records(party)
        paused = now()
        await call.presses("*93", by="agent")
        await call.talk(seconds=5)
        assert heard_of(rogue, party, paused + WITHIN_S) == 0
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_who_said_no_is_recorded_by_nobody(tmp_path: Path) -> None:
    async with guarded(tmp_path, on_opt_out="connect") as home:
        call = await refused_call(home)
        party = call.leg("party")
        for _ in range(3):
            rogue = home.pbx.records(party)
            await call.talk(seconds=2)
            assert heard_of(rogue, party) < WITHIN_S
        assert home.service.backstop.stopped == 3
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_an_operator_may_have_it_reported_only(tmp_path: Path) -> None:
    async with guarded(tmp_path, foreign="report") as home:
        home.pbx.dials("agent1", f"rogue{ELSE}", context="unguarded")
        party = await home.pbx.leg(ELSE)
        await party.answers()
        await party.is_connected()
        await asyncio.sleep(3)
        (rogue,) = home.pbx.asterisk.media.recorders
        assert heard_of(rogue, party) > 2
        assert faults(home)["foreign_recording"] == 1


@virtual_time
async def test_what_began_while_nothing_was_heard_of_asterisk_is_found_after_it(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        agent = home.pbx.dials("agent1", ELSE, context="unguarded")
        party = await home.pbx.leg(ELSE)
        await party.answers()
        await party.is_connected()
        home.pbx.network.drop_ami()
        rogues = [home.pbx.records(party) for _ in range(2)]
        await asyncio.sleep(0.1)
        while home.service.pbxs["asterisk"].session.state != "up":
            await asyncio.sleep(0.01)
        back = now()
        await asyncio.sleep(3)
        assert all(heard_of(rogue, party, back) < WITHIN_S for rogue in rogues)
        (ours, *_) = call.recorders
        assert heard_of(ours, call.leg("party"), back) == pytest.approx(3, abs=0.1), "goes on"
        await agent.hangs_up()
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_a_call_past_the_gate_is_reported_or_hung_up(tmp_path: Path) -> None:
    for ungated in ("report", "hangup"):
        folder = tmp_path / ungated
        folder.mkdir()
        async with guarded(folder, ungated=ungated) as home:
            caller = home.pbx.dials("agent1", ELSE, context="unguarded")
            party = await home.pbx.leg(ELSE)
            await asyncio.sleep(WITHIN_S)
            assert faults(home)["ungated_call"] == 1
            assert party.gone is (ungated == "hangup")
            call = await recorded_call(home)
            assert faults(home)["ungated_call"] == 1, "this one has a verdict"
            assert not call.leg("party").gone
            await call.hangs_up("party")
            await caller.hangs_up()


@virtual_time
async def test_nobody_who_calls_for_help_is_hung_up(tmp_path: Path) -> None:
    async with guarded(tmp_path, ungated="hangup") as home:
        past = home.pbx.dials("agent1", "112", context="unguarded")
        help_ = await home.pbx.leg("112")
        await asyncio.sleep(WITHIN_S)
        assert not help_.gone
        assert faults(home)["ungated_call"] == 1, "it is reported all the same"
        call = home.pbx.outbound("999")
        await call.carrier_answers()
        await asyncio.sleep(WITHIN_S)
        assert not call.leg("party").gone
        assert faults(home)["ungated_call"] == 1
        await past.hangs_up()
        await call.hangs_up("party")


@virtual_time
async def test_a_call_that_got_its_verdict_before_a_restart_is_not_hung_up(tmp_path: Path) -> None:
    async with guarded(tmp_path, ungated="hangup") as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.expect_verdict("allow")
        home.service.gate.calls.end("asterisk", call.channel.uniqueid)  # as after a restart
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=1)
        assert "ungated_call" not in faults(home)
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_one_that_began_just_before_ours_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rogues: list[Recorder] = []
    execute = AgiSession.exec

    async def late(session: AgiSession, application: str, *options: str) -> str:
        if application == "MixMonitor":
            rogues.append(home.pbx.records(await home.pbx.leg(PARTY)))
            await asyncio.sleep(0.05)
        return await execute(session, application, *options)

    monkeypatch.setattr(AgiSession, "exec", late)
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        party = call.leg("party")
        paused = now()
        await call.presses("*93", by="agent")
        await call.talk(seconds=4)
        (rogue,) = rogues
        assert heard_of(rogue, party, paused + WITHIN_S) == 0
        assert not any(one.running for one in call.recorders), "which is ours is not known"
        await call.hangs_up("party")
        await call.ended()
        assert ("stopped", "callguard", None) in await events(home)


@virtual_time
async def test_ours_is_not_stopped_for_one_that_has_ended_by_itself(tmp_path: Path) -> None:
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        media, party = home.pbx.asterisk.media, call.leg("party")
        for _ in range(2):
            home.pbx.records(party)
            await call.talk(seconds=1)
            assert media.stop_recording(party.channel)  # the newest, by whoever began it
        await call.presses("*93", by="agent")
        await call.presses("*94", by="agent")
        resumed = now()
        await call.talk(seconds=3)
        ours = call.recorders[0]
        assert heard_of(ours, party, resumed) == pytest.approx(3, abs=0.1)
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_ours_that_somebody_else_stopped_is_known_to_have_ended(tmp_path: Path) -> None:
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        party, (ours,) = call.leg("party"), call.recorders
        rogue = home.pbx.records(party)
        await call.talk(seconds=1)
        assert home.pbx.asterisk.media.stop_recording(party.channel, ours.identity)
        paused = now()
        await call.presses("*93", by="agent")
        await call.talk(seconds=3)
        assert heard_of(rogue, party, paused + WITHIN_S) == 0
        assert ("stopped", "callguard", None) in await events(home)
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_ours_that_was_sealed_is_not_somebody_elses_after_the_connection_was_lost(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as home:
        call = await recorded_call(home)
        await call.presses("*91", by="party")
        await home.settled()
        home.pbx.network.drop_ami()
        await asyncio.sleep(5)
        assert home.service.backstop.alarms == ()
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_a_stop_that_is_not_answered_is_tried_again_and_one_forbidden_is_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[AmiError] = [AmiTimeout("no answer")]
    action = AmiSession.action

    async def troubled(
        session: AmiSession, name: str, *headers: tuple[str, str], timeout: float | None = None
    ) -> Message:
        if name == "StopMixMonitor" and answers:
            raise answers.pop()
        return await action(session, name, *headers, timeout=timeout)

    monkeypatch.setattr(AmiSession, "action", troubled)
    async with guarded(tmp_path, on_opt_out="connect") as home:
        call = await refused_call(home)
        rogue = home.pbx.records(call.leg("party"))
        await call.talk(seconds=2)
        assert (answers, rogue.running) == ([], False)
        denied = Message((("Message", "Permission denied"),))
        answers += [AmiRefused("StopMixMonitor", denied)]
        rogue = home.pbx.records(call.leg("party"))
        await call.talk(seconds=2)
        assert faults(home)["foreign_recording_not_stopped"] == 1
        assert "the manager user may not stop recordings (docs/install.md)" in (
            home.service.backstop.alarms
        )
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_a_thousand_channels_after_a_lost_connection_hold_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = AmiSession.action

    async def slowly(
        session: AmiSession, name: str, *headers: tuple[str, str], timeout: float | None = None
    ) -> Message:
        if name == "Getvar":
            await asyncio.sleep(0.01)
        return await action(session, name, *headers, timeout=timeout)

    monkeypatch.setattr(AmiSession, "action", slowly)
    async with guarded(tmp_path, on_opt_out="connect") as home:
        call = await refused_call(home)
        for _ in range(1_000):
            home.pbx.asterisk.new_channel("PJSIP/agent1", "inside", "600")
        home.pbx.network.drop_ami()
        await asyncio.sleep(0.1)
        while home.service.pbxs["asterisk"].session.state != "up":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # this channel was asked already, most others were not
        rogue = home.pbx.records(call.leg("party"))
        await call.talk(seconds=2)
        assert heard_of(rogue, call.leg("party")) < WITHIN_S
        await call.hangs_up("party")


@virtual_time
async def test_what_was_erased_while_it_could_not_be_stopped_is_after_a_restart(
    tmp_path: Path,
) -> None:
    settings, identity = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        async with serving(settings, pbx) as service:
            call = await recorded_call(House(service, pbx, tmp_path, identity))
            (decided,) = service.gate.calls.all()
            pbx.manager.refuse_logins = True
            pbx.network.drop_ami()
            await act(service.gate, decided, "withdraw", "api")
        (recorder,) = call.recorders
        assert any(one.running for one in call.recorders)
        pbx.manager.refuse_logins = False
        async with serving(settings, pbx) as service:
            await asyncio.sleep(WITHIN_S)
            assert not recorder.running
            assert service.backstop.foreign == 0, "it was ours"
            await call.hangs_up("party")
            await call.ended()
