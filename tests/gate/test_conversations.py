"""Nobody is recorded who was not told, however they come into the conversation."""

import asyncio
from pathlib import Path

from callguard.storage.schema import recordings
from tests.gate.conversations import (
    ELSE,
    at_a_trunk,
    events,
    heard_of,
    now,
    recorded_call,
    trunk_house,
)
from tests.harness.playbook import SPOOL, Call
from tests.harness.virtual import virtual_time
from tests.house import NOTICE, PARTY, PROMPTS, House, furnish, serving, simulated_pbx

ASK = f"{PROMPTS}/en/ask-1"


async def agreed_call(home: House) -> Call:
    """An outbound call whose party was asked and said yes."""
    call = home.pbx.outbound(PARTY, tenant="acme")
    await call.carrier_answers()
    await call.hears_all(ASK)
    await asyncio.sleep(1)
    await call.presses("1")
    await call.talk(seconds=1)
    return call


@virtual_time
async def test_a_blind_transfer_past_the_gate_is_silent_before_anybody_answers(
    tmp_path: Path,
) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        (recorder,) = call.recorders
        party = call.leg("party")
        await call.blind_transfer("agent", to=ELSE, context="unguarded")
        third = await home.pbx.leg(ELSE)
        sent = now()
        await asyncio.sleep(0.001)
        assert recorder.muted == {"read", "write"}
        await third.answers()
        await third.is_connected()
        await asyncio.sleep(5)
        assert heard_of(recorder, third) == 0
        assert heard_of(recorder, party, sent) == 0
        await third.hangs_up()
        await call.ended()
        told = await events(home)
    why = f"not told: {third.channel.uniqueid}"
    assert told[:2] == [("started", "callguard", None), ("silenced", "callguard", why)]


@virtual_time
async def test_an_attended_transfer_brings_nobody_into_the_recording(tmp_path: Path) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        (recorder,) = call.recorders
        second = home.pbx.dials("agent1", ELSE, context="unguarded")
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.is_connected()
        await asyncio.sleep(1)
        assert recorder.muted == set()
        merged = now()
        await call.leg("agent").attended_transfer(second)
        await asyncio.sleep(5)
        assert third.channel.bridge is call.side("party").bridge
        assert heard_of(recorder, third) == 0
        assert heard_of(recorder, call.leg("party"), merged) == 0
        await third.hangs_up()
        await call.ended()


@virtual_time
async def test_a_consultation_by_feature_code_is_not_recorded(tmp_path: Path) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        (recorder,) = call.recorders
        await call.leg("agent").consults(ELSE, context="unguarded")
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await asyncio.sleep(3)
        await call.leg("agent").hangs_up()
        await asyncio.sleep(3)
        assert third.channel.bridge is not None
        assert heard_of(recorder, third) == 0
        await third.hangs_up()
        await call.ended()


@virtual_time
async def test_whoever_is_told_on_the_way_is_heard(tmp_path: Path) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        first = call.recorders[0]
        await call.blind_transfer("agent", to=ELSE)
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.hears(NOTICE, seconds=1)
        assert first.muted == {"read", "write"}
        await third.is_connected()
        assert [each.muted for each in call.recorders] == [frozenset(), frozenset()]
        await asyncio.sleep(5)
        assert heard_of(first, third) == 5
        await third.hangs_up()
        await call.ended()


@virtual_time
async def test_in_a_conference_everybody_must_have_been_told(tmp_path: Path) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        (recorder,) = call.recorders
        party = await call.blind_transfer("agent", to="600", context="inside")
        colleague = home.pbx.dials("agent2", "600")
        await colleague.is_connected()
        await asyncio.sleep(1)
        assert recorder.muted == set()
        assert heard_of(recorder, colleague) == 1
        stranger = home.pbx.dials("carrier", "600")
        await stranger.is_connected()
        await asyncio.sleep(1)
        assert recorder.muted == {"read", "write"}
        assert heard_of(recorder, stranger) == 0
        await stranger.hangs_up()
        await asyncio.sleep(1)
        assert recorder.muted == set()
        assert heard_of(recorder, colleague) == 2
        for leg in (colleague, party):
            await leg.hangs_up()
        await call.ended()
        kinds = [kind for kind, _, _ in await events(home)]
    assert kinds == ["started", "silenced", "heard"]


@virtual_time
async def test_who_refuses_joins_only_once_what_runs_is_silent(tmp_path: Path) -> None:
    """Their leg is not connected before Asterisk confirmed it."""
    async with trunk_house(tmp_path, recording_mode="ask") as home:
        call = await agreed_call(home)
        (recorder,) = call.recorders
        await call.blind_transfer("agent", to=ELSE)
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.hears(ASK, seconds=1)
        await third.presses("2")
        await third.is_connected()
        assert recorder.muted == {"read", "write"}
        await asyncio.sleep(5)
        assert len(call.recorders) == 1
        assert heard_of(recorder, third) == 0
        await third.hangs_up()
        await call.ended()
        reasons = [reason for kind, _, reason in await events(home) if kind == "silenced"]
    assert reasons[-1] == f"refused: {third.channel.uniqueid}"


@virtual_time
async def test_who_refuses_is_not_connected_while_what_runs_cannot_be_silenced(
    tmp_path: Path,
) -> None:
    async with trunk_house(tmp_path, recording_mode="ask") as home:
        home.pbx.asterisk.globals["CALLGUARD_LEASE_FILE"] = f"{SPOOL}/alive"
        call = await agreed_call(home)
        (recorder,) = call.recorders
        home.pbx.manager.refuse_logins = True
        home.pbx.network.drop_ami()
        await call.blind_transfer("agent", to=ELSE)
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.hears(ASK, seconds=1)
        await third.presses("2")
        await asyncio.sleep(10)
        assert third.gone
        assert heard_of(recorder, third) == 0
        await call.ended()


@virtual_time
async def test_a_pause_outlives_the_service_and_a_transfer(tmp_path: Path) -> None:
    settings, identity = furnish(tmp_path)
    settings = at_a_trunk(settings)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, identity)
            call = await recorded_call(home)
            (recorder,) = call.recorders
            known = service.gate.calls.all()[0]
            (recording,) = service.recordings.in_progress(known, call.side("agent").uniqueid)
            asked = now()
            assert await service.recordings.pause(recording, by="agent")
            assert now() == asked
            assert recorder.muted == {"read", "write"}
        recorder.mute({"read", "write"}, muted=False)  # whatever becomes of it meanwhile
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, identity)
            assert recorder.muted == {"read", "write"}
            (recording,) = service.recordings.in_progress(known, call.side("agent").uniqueid)
            assert service.recordings.paused(recording)
            await call.blind_transfer("agent", to=ELSE)
            third = await home.pbx.leg(ELSE)
            await third.answers()
            await third.hears_all(NOTICE)
            await third.is_connected()
            await asyncio.sleep(3)
            assert [each.muted for each in call.recorders] == [{"read", "write"}] * 2
            assert heard_of(call.recorders[1], third) == 0
            assert not await service.recordings.resume(recording, by="subject")
            for each in service.recordings.in_progress(known, third.channel.uniqueid):
                assert await service.recordings.resume(each, by="agent")
            await asyncio.sleep(1)
            assert [each.muted for each in call.recorders] == [frozenset()] * 2
            assert heard_of(call.recorders[1], third) == 1
            await third.hangs_up()
            await call.ended()
            await home.settled()
            told = await events(home)
    kinds = [(kind, by) for kind, by, _ in told if kind in ("paused", "resumed")]
    assert kinds == [
        ("paused", "agent"),
        ("paused", "callguard"),
        ("resumed", "agent"),
        ("resumed", "agent"),
    ]


@virtual_time
async def test_what_changed_while_the_manager_was_away_is_made_good_on_its_return(
    tmp_path: Path,
) -> None:
    """A stranger came and a pause was wished: both are silent before anything else is told."""
    async with trunk_house(tmp_path) as home:
        first, second = await recorded_call(home), await recorded_call(home)
        home.pbx.manager.refuse_logins = True
        home.pbx.network.drop_ami()
        await asyncio.sleep(1)
        await first.blind_transfer("agent", to=ELSE, context="unguarded")
        third = await home.pbx.leg(ELSE)
        await third.answers()
        recordings = home.service.recordings
        known = home.service.gate.calls.all()[1]
        (recording,) = recordings.in_progress(known, second.side("agent").uniqueid)
        assert not await recordings.pause(recording, by="agent")
        assert recordings.paused(recording)
        home.pbx.manager.refuse_logins = False
        while home.service.pbxs["asterisk"].session.state != "up":
            await asyncio.sleep(0.01)
        assert [call.recorders[0].muted for call in (first, second)] == [{"read", "write"}] * 2
        for leg in (third, second.leg("party")):
            await leg.hangs_up()
        await first.ended()
        await second.ended()


@virtual_time
async def test_somebody_elses_recording_that_stops_after_a_restart_does_not_end_the_watch(
    tmp_path: Path,
) -> None:
    """How many ran before callguard did is not known, and Asterisk does not say which stopped."""
    settings, identity = furnish(tmp_path)
    settings = at_a_trunk(settings)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, identity)
            call = await recorded_call(home)
            (ours,) = call.recorders
            theirs = pbx.records(call.leg("party"))
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, identity)
            pbx.asterisk.media.stop_recording(call.side("party"), theirs.identity)
            await asyncio.sleep(10)
            await call.blind_transfer("agent", to=ELSE, context="unguarded")
            third = await pbx.leg(ELSE)
            await third.answers()
            await third.is_connected()
            await asyncio.sleep(1)
            assert ours.running
            assert heard_of(ours, third) == 0
            await third.hangs_up()
            await call.ended()
            await home.settled()
            assert home.one(recordings)["state"] == "sealed"
