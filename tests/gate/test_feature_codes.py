"""Feature codes in the middle of a call: who may press them, and what is said to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from callguard.consent.given import About, record
from callguard.consent.prompts import PromptLibrary
from callguard.contacts.store import EVER, read
from callguard.gate.feature import BEEP, FAILURE_BEEP
from callguard.retention.schedule import for_days
from callguard.storage.schema import calls, consents, opt_outs, recordings
from tests.gate.conversations import ELSE, trunk_house
from tests.gate.forged import ask
from tests.gate.forwarding import forwarded_call, forwarding_house
from tests.gate.line_calls import locked
from tests.harness.playbook import SPOOL, Call
from tests.harness.recorder import RATE
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, NOTICE, PARTY, PROMPTS, WAV_HEADER, House, house

STOPPED = f"{PROMPTS}/en/recording-stopped-1"
PAUSED = f"{PROMPTS}/en/recording-paused-1"
RESUMED = f"{PROMPTS}/en/recording-resumed-1"
UNCHANGED = f"{PROMPTS}/en/recording-unchanged-1"
OPTOUT_DONE = f"{PROMPTS}/en/optout-done-1"
OPTOUT_FAILED = f"{PROMPTS}/en/optout-failed-1"
FAILED = f'STREAM FILE "{FAILURE_BEEP}" ""'


@asynccontextmanager
async def conversing(folder: Path) -> AsyncIterator[tuple[House, Call]]:
    """An announced outbound call that has been recorded for two seconds. The recording is on the
    party's channel."""
    async with house(folder) as home:
        for core in (BEEP, FAILURE_BEEP):
            home.pbx.asterisk.media.prompts.lengths[core] = RATE // 4
        home.pbx.asterisk.globals["CALLGUARD_LEASE_FILE"] = f"{SPOOL}/alive"
        yield home, await home_talking(home)


async def home_talking(home: House) -> Call:
    call = home.pbx.outbound(PARTY, tenant="acme")
    await call.carrier_answers()
    await call.hears_all(NOTICE)
    await call.talk(seconds=2)
    return call


async def loses_ami(home: House) -> None:
    home.pbx.manager.refuse_logins = True
    home.pbx.network.drop_ami()
    await asyncio.sleep(1)


def told(call: Call, prompt: str) -> list[str]:
    """On which channels a prompt was played to its end."""
    return [heard.channel for heard in call.heard if heard.prompt == prompt and heard.whole]


def is_recorded(call: Call) -> bool:
    return any(recorder.running for recorder in call.recorders)


async def sealed_seconds(home: House) -> float:
    await home.settled()
    row = home.one(recordings)
    assert row["state"] == "sealed"
    return float(row["plain_bytes"] - WAV_HEADER) / (2 * RATE)


@virtual_time
async def test_the_recorded_party_stops_the_recording_without_the_manager(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        await loses_ami(home)
        await call.presses("*91", by="party")
        assert not is_recorded(call)
        assert told(call, STOPPED) == [call.side("party").name]
        await call.talk(seconds=30)
        await call.hangs_up("party")
        await call.ended()
        seconds = await sealed_seconds(home)
    assert 2 < seconds < 5


@virtual_time
async def test_the_agent_stops_the_recording_of_the_other_channel(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        await call.presses("*91", by="agent")
        assert not is_recorded(call)
        assert told(call, STOPPED) == [call.side("agent").name]
        await call.talk(seconds=30)
        await call.hangs_up("party")
        await call.ended()
        assert await sealed_seconds(home) < 5


@virtual_time
async def test_what_could_not_be_stopped_is_as_soon_as_the_manager_is_back(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        await loses_ami(home)
        await call.presses("*91", by="agent")
        assert is_recorded(call)
        faults = dict(home.service.gate.counts.faults)
        home.pbx.manager.refuse_logins = False
        while home.service.pbxs["asterisk"].session.state != "up":
            await asyncio.sleep(0.1)
        assert not is_recorded(call)
        await call.talk(seconds=30)
        await call.hangs_up("party")
        outcome = await call.ended()
        assert await sealed_seconds(home) == outcome.recorded_samples / RATE
    assert told(call, UNCHANGED) == [call.side("agent").name]
    assert faults == {"recording_not_stopped": 1}


@virtual_time
async def test_a_code_pressed_twice_is_answered_twice(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        await call.presses("*91", by="party")
        await call.presses("*91", by="agent")
        await call.hangs_up("party")
        await call.ended()
        faults = home.service.gate.counts.faults
    assert len(told(call, STOPPED)) == 2
    assert faults == {}


@virtual_time
async def test_both_recordings_of_a_call_that_was_passed_on_stop(tmp_path: Path) -> None:
    async with forwarding_house(tmp_path) as home:
        call = await forwarded_call(home)
        await call.talk(seconds=2)
        running = [recorder for recorder in call.recorders if recorder.running]
        await call.presses("*91", by="party")
        still = [recorder for recorder in call.recorders if recorder.running]
        await call.talk(seconds=30)
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        rows = home.rows(recordings)
    assert (len(running), still) == (2, [])
    assert [row["state"] for row in rows] == ["sealed", "sealed"]
    assert all(row["plain_bytes"] < 10 * 2 * RATE for row in rows)


@virtual_time
async def test_an_opt_out_in_the_call_is_confirmed_and_binds(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        await call.presses("*92", by="agent")
        confirmed = [h.channel for h in call.heard if (h.prompt, h.whole) == (OPTOUT_DONE, True)]
        await call.hangs_up("agent")
        await call.ended()
        wish = home.one(opt_outs)
        again = await home.pbx.outbound(PARTY, tenant="acme").ended()
    assert confirmed == [call.side("agent").name]
    assert (wish["subject"], wish["way"], wish["actor"]) == (PARTY, "feature_code", "subject")
    assert not again.carrier_invited


@virtual_time
async def test_an_opt_out_in_the_call_that_is_not_durable_is_said_to_have_failed(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path) as (home, call):
        with locked(tmp_path):
            await call.presses("*92", by="agent")
        told = [h.channel for h in call.heard if (h.prompt, h.whole) == (OPTOUT_FAILED, True)]
        confirmed = [h for h in call.heard if h.prompt == OPTOUT_DONE]
        await call.hangs_up("agent")
        await call.ended()
        wishes = home.rows(opt_outs)
    assert told == [call.side("agent").name]
    assert (confirmed, wishes) == ([], [])


@virtual_time
async def test_an_action_that_is_none_is_counted_and_does_nothing(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        call_id = home.one(calls)["id"]
        said = await ask(home.pbx, f"feature?pbx=asterisk&call={call_id}&action=dance")
        assert is_recorded(call)
        assert home.service.gate.counts.faults == {"unknown_feature": 1}
        await call.hangs_up("party")
        await call.ended()
        wishes = home.rows(opt_outs)
    assert said == [FAILED]
    assert wishes == []


@virtual_time
async def test_a_code_for_a_call_that_is_none_is_counted_and_does_nothing(tmp_path: Path) -> None:
    unknown = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    async with house(tmp_path) as home:
        await home.whole_call()
        ended = home.one(calls)["id"]
        for call_id in ("", "x", unknown, ended):
            said = await ask(home.pbx, f"feature?pbx=asterisk&call={call_id}&action=optout")
            assert said == [FAILED]
        faults, wishes = home.service.gate.counts.faults, home.rows(opt_outs)
    assert faults == {"feature_without_call": 4}
    assert wishes == []


@virtual_time
async def test_the_agent_pauses_and_resumes_and_each_is_told_what_became_of_it(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path) as (home, call):
        (recorder,) = call.recorders
        agent, party = call.side("agent").name, call.side("party").name
        for code in ("*93", "*94"):
            await call.presses(code, by="party")
        assert (told(call, UNCHANGED), bool(recorder.muted)) == ([party, party], False)
        await call.presses("*93", by="agent")
        silent_from = call.pbx.clock.monotonic()
        await call.talk(seconds=20)
        await call.presses("*94", by="party")
        await call.talk(seconds=20)
        silent_to = call.pbx.clock.monotonic()
        await call.presses("*94", by="agent")
        await call.talk(seconds=5)
        await call.hangs_up("party")
        await call.ended()
        heard = [one for one in recorder.heard if one.since < silent_to and one.until > silent_from]
        later = [one for one in recorder.heard if one.since >= silent_to]
        faults = home.service.gate.counts.faults
    assert told(call, PAUSED) == told(call, RESUMED) == [agent]
    assert told(call, UNCHANGED) == [party] * 3
    assert (heard, len(later), faults) == ([], 2, {})


@virtual_time
async def test_a_missing_prompt_is_a_beep_for_done_and_another_for_not_done(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path) as (home, call):
        home.service.gate.prompts = PromptLibrary()
        await call.presses("*94", by="party")
        await call.presses("*91", by="party")
        await call.hangs_up("party")
        await call.ended()
        faults = home.service.gate.counts.faults
    party = [heard.prompt for heard in call.heard][-2:]
    assert party == [FAILURE_BEEP, BEEP]
    assert faults == {"prompt_missing": 2}


@virtual_time
async def test_codes_that_a_tenant_does_not_give_do_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, agent_codes=["optout"], subject_codes=[]) as home:
        call = await home_talking(home)
        for by in ("agent", "party"):
            for code in ("*91", "*93", "*95"):
                await call.presses(code, by=by)
        await call.presses("*92", by="party")
        assert is_recorded(call)
        refused = len(told(call, UNCHANGED))
        await call.presses("*92", by="agent")
        await call.hangs_up("party")
        await call.ended()
        wishes = home.rows(opt_outs)
    assert (refused, len(wishes)) == (7, 1)


@virtual_time
async def test_without_callguard_the_recorded_party_can_still_end_it(tmp_path: Path) -> None:
    async with conversing(tmp_path) as (home, call):
        home.pbx.asterisk.globals.pop("CALLGUARD_LEASE_FILE")
        await loses_ami(home)
        await call.talk(seconds=5)  # the lease is stale
        await call.presses("*92", by="party")
        assert is_recorded(call)
        await call.presses("*91", by="agent")
        assert is_recorded(call)
        await call.presses("*91", by="party")
        assert not is_recorded(call)
        await call.hangs_up("party")
        await call.ended()
        said = [heard.prompt for heard in call.heard][-3:]
    assert said == [FAILURE_BEEP] * 3


@virtual_time
async def test_whoever_was_told_in_another_call_is_the_subject_here_too(tmp_path: Path) -> None:
    """A caller who was passed on placed the second call, as the gate sees it."""
    async with forwarding_house(tmp_path) as home:
        call = await forwarded_call(home)
        await call.talk(seconds=2)
        for code in ("*93", "*94"):
            await call.presses(code, by="party")
        recorded = is_recorded(call)
        await call.presses("*95", by="party")
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        rows = home.rows(recordings)
        readable = [row["id"] for row in rows if row["header"] is not None]
    assert (recorded, len(rows), readable) == (True, 2, [])
    assert len(told(call, UNCHANGED)) == 2


@virtual_time
async def test_what_is_recorded_on_a_channel_ends_though_nothing_is_known_of_its_call(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path) as (home, call):
        call.side("party").variables.set("CALLGUARD_CALL", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        await call.presses("*94", by="party")
        assert is_recorded(call)
        await call.presses("*93", by="party")
        assert not is_recorded(call)
        await call.hangs_up("party")
        await call.ended()
        assert await sealed_seconds(home) < 5
    assert len(told(call, FAILURE_BEEP)) == 2


@virtual_time
async def test_whoever_is_passed_on_to_past_the_gate_speaks_for_nobody_else(
    tmp_path: Path,
) -> None:
    async with trunk_house(tmp_path) as home:
        at = current_clock().now()
        about = About("acme", PARTY, "recording")
        with home.service.database.writing() as connection:
            record(
                connection,
                about,
                proof="form",
                granted_at=at,
                at=at,
                actor="test",
                keep=for_days(30),
            )
        call = await home_talking(home)
        await call.blind_transfer("agent", to=ELSE, context="unguarded")
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.is_connected()
        for code in ("*92", "*94", "*95"):
            await third.presses(code)
        heard = [each.prompt for each in third.heard]
        still = is_recorded(call)
        await third.hangs_up()
        await call.ended()
        await home.settled()
        with home.service.database.reading() as connection:
            (standing,) = read(connection, "acme", PARTY, EVER).consents
        withdrawn = [row for row in home.rows(consents) if row["state"] == "withdrawn"]
    assert heard == [OPTOUT_FAILED, UNCHANGED, STOPPED]
    assert not still
    assert not standing.withdrawn
    assert home.rows(opt_outs) == []
    assert home.one(recordings)["state"] == "sealed", "they were never heard in it"
    assert [(row["subject"], row["channel_uniqueid"]) for row in withdrawn] == [
        ("", third.channel.uniqueid)
    ]


@virtual_time
async def test_a_channel_of_which_nothing_is_known_switches_nothing_on(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound(PARTY, did=DID)
        await call.hears_all(NOTICE)
        await call.agent_answers()
        await call.talk(seconds=2)
        await call.presses("*93", by="agent")
        call_id = home.one(calls)["id"]
        await ask(home.pbx, f"feature?pbx=asterisk&call={call_id}&action=resume")
        (recording,) = home.service.vault.recorder.in_progress()
        assert home.service.recordings.paused(recording)
        await call.presses("*94", by="agent")
        assert not home.service.recordings.paused(recording)
        await call.hangs_up("party")
        await call.ended()
