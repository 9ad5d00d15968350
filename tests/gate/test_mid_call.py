"""What agent, subject, page and API do in the middle of a call takes effect at once, in both
directions, whatever else fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callguard.agi.session import AgiSession
from callguard.consent.given import About, record
from callguard.contacts.store import EVER, read
from callguard.gate.callbook import Call as Decided
from callguard.gate.mid_call import Now, Outcome, Result, act
from callguard.gate.mid_call_rules import Action, Who
from callguard.recording.recorder import OpenRecording
from callguard.retention.schedule import for_days
from callguard.storage.schema import consents, erasures, opt_outs, recording_events, recordings
from tests.gate.conversations import ELSE, recorded_call, trunk_house
from tests.gate.line_calls import locked
from tests.harness.playbook import SPOOL, Call
from tests.harness.recorder import Recorder
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, NOTICE, PARTY, PROMPTS, House, house

HEBREW = "דנה כהן"
DONE_STOPPED = Outcome(Result.DONE, Now.STOPPED)
DONE_PAUSED = Outcome(Result.DONE, Now.PAUSED)
DONE_RESUMED = Outcome(Result.DONE, Now.RESUMED)
DONE_ERASED = Outcome(Result.DONE, Now.ERASED)
NOTHING = Outcome(Result.NOTHING_RECORDED)
REFUSED = Outcome(Result.REFUSED)
PENDING = Outcome(Result.PENDING, Now.STOPPED)

both_ways = pytest.mark.parametrize("direction", ["outbound", "inbound"])


async def dialling(home: House, direction: str) -> Call:
    """A call in whose notice the party is."""
    if direction == "outbound":
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
    else:
        call = home.pbx.inbound(PARTY, did=DID)
    await call.hears(NOTICE, seconds=1)
    return call


async def talking(home: House, direction: str) -> Call:
    """A call that has been recorded for two seconds."""
    call = await dialling(home, direction)
    if direction == "inbound":
        await call.agent_answers()
    await call.talk(seconds=2)
    return call


@asynccontextmanager
async def conversing(folder: Path, direction: str) -> AsyncIterator[tuple[House, Call]]:
    async with house(folder) as home:
        yield home, await talking(home, direction)


def decided(home: House) -> Decided:
    (call,) = home.service.gate.calls.all()
    return call


async def acts(home: House, action: Action, who: Who = "api", name: str = "") -> Outcome:
    """What comes of it, within a second; a moment later than what was done before."""
    await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        return await act(home.service.gate, decided(home), action, who, name=name)


async def over(home: House, call: Call) -> None:
    await call.hangs_up("party")
    await call.ended()
    await home.settled()


async def audible(call: Call) -> bool:
    """Whether anybody is heard in a recording that runs."""
    await asyncio.sleep(0.1)
    now = call.pbx.clock.monotonic()
    return any(
        one.running and any(span.until >= now for span in one.heard) for one in call.recorders
    )


def recorder_of(call: Call) -> Recorder:
    (recorder,) = call.recorders
    return recorder


def ledger(home: House) -> list[dict[str, Any]]:
    return [row for row in home.rows(consents) if row["state"] == "withdrawn"]


def kinds(home: House) -> list[tuple[str, str]]:
    """What somebody did to recordings."""
    rows = [row for row in home.rows(recording_events) if row["by"] != "callguard"]
    return [(row["kind"], row["by"]) for row in sorted(rows, key=lambda row: row["id"])]


async def unlocked(home: House) -> None:
    """Until what waited is kept."""
    while home.service.gate.acts.withdrawals:
        await asyncio.sleep(0.5)


@both_ways
@virtual_time
async def test_page_and_api_pause_resume_and_stop_each_twice(
    tmp_path: Path, direction: str
) -> None:
    async with conversing(tmp_path, direction) as (home, call):
        assert await audible(call)
        assert await acts(home, "resume", "page") == DONE_RESUMED
        for who in ("page", "api"):
            assert await acts(home, "pause", who) == DONE_PAUSED
            assert not await audible(call)
        (shown,) = await home.service.overview.live_calls()
        assert (shown.recording, shown.consent, shown.mode) == ("paused", "granted", "notice")
        for _ in range(2):
            assert await acts(home, "resume", "page") == DONE_RESUMED
        await call.talk(seconds=1)
        assert await audible(call)
        assert await acts(home, "pause") == DONE_PAUSED  # and stopped while it is silent
        assert await acts(home, "stop", "page") == DONE_STOPPED
        assert not recorder_of(call).running
        assert await acts(home, "stop") == DONE_STOPPED
        assert await acts(home, "pause") == await acts(home, "resume") == NOTHING
        (shown,) = await home.service.overview.live_calls()
        await over(home, call)
        row, did = home.one(recordings), kinds(home)
        faults = home.service.gate.counts.faults
    assert (shown.recording, shown.consent) == ("none", "granted")
    assert (row["state"], ledger(home), faults) == ("sealed", [], {})
    assert [kind for kind, _ in did] == ["paused", "paused", "resumed", "paused", "stopped"]
    assert did[-1] == ("stopped", "page")


@both_ways
@virtual_time
async def test_a_subject_who_stops_no_longer_agrees_and_nobody_resumes(
    tmp_path: Path, direction: str
) -> None:
    async with conversing(tmp_path, direction) as (home, call):
        channel = call.side("party").uniqueid
        assert await acts(home, "pause") == DONE_PAUSED
        await call.presses("*91", by="party")
        await call.presses("*91", by="party")
        for who in ("page", "api"):
            assert await acts(home, "resume", who) == REFUSED
        await call.presses("*94", by="agent")
        (shown,) = await home.service.overview.live_calls()
        told = home.service.gate.told.of("asterisk", channel)
        await over(home, call)
        (row,) = ledger(home)
    assert told is not None
    assert (told.state, shown.consent) == ("withdrawn", "withdrawn")
    assert (row["subject"], row["purpose"], row["pbx"]) == (PARTY, "recording", "asterisk")
    assert (row["channel_uniqueid"], row["actor"]) == (channel, "subject")
    assert (row["proof"], row["call_id"]) == ("feature_code", shown.id)
    assert row["expires_at"] - row["at"] == timedelta(days=367)
    assert home.one(recordings)["state"] == "sealed"  # what was recorded is kept
    unchanged = [h.channel for h in call.heard if h.prompt.endswith("recording-unchanged-1")]
    assert unchanged == [call.side("agent").name]


@both_ways
@virtual_time
async def test_withdrawing_erases_what_was_sealed_too_and_ends_the_standing_consent(
    tmp_path: Path, direction: str
) -> None:
    async with house(tmp_path) as home:
        now = current_clock().now()
        about = About("acme", PARTY, "recording")
        with home.service.database.writing() as connection:
            record(
                connection,
                about,
                proof="form",
                granted_at=now,
                at=now,
                actor="test",
                keep=for_days(30),
            )
        call = await talking(home, direction)
        assert await acts(home, "stop", "page") == DONE_STOPPED
        await home.settled()
        assert home.one(recordings)["state"] == "sealed"
        assert await acts(home, "withdraw", "api", HEBREW) == DONE_ERASED
        assert await acts(home, "withdraw", "page") == DONE_ERASED
        await call.presses("*95", by="party")
        await over(home, call)
        row, tombstone = home.one(recordings), home.one(erasures)
        with home.service.database.reading() as connection:
            (standing,) = read(connection, "acme", PARTY, EVER).consents
        in_call = [one for one in ledger(home) if one["call_id"] is not None]
        spooled = home.spooled()
    assert (row["state"], row["header"], row["wrapped_file_key"]) == ("erasing", None, None)
    assert (tombstone["object_id"], spooled) == (row["id"], [])
    assert standing.withdrawn
    (entered,) = in_call
    assert (entered["actor"], entered["proof"]) == (HEBREW, "api")


@both_ways
@virtual_time
async def test_the_subject_erases_what_is_being_recorded_and_is_told_so(
    tmp_path: Path, direction: str
) -> None:
    async with conversing(tmp_path, direction) as (home, call):
        began = call.pbx.clock.monotonic()
        await call.presses("*95", by="party")
        (heard,) = [h for h in call.heard if h.prompt == f"{PROMPTS}/en/recording-erased-1"]
        last = max(span.until for span in recorder_of(call).heard)
        await over(home, call)
        row, did = home.one(recordings), kinds(home)
        faults = home.service.gate.counts.faults
    assert (heard.channel, heard.whole) == (call.side("party").name, True)
    assert last - began < 1
    assert (row["state"], row["header"], home.spooled()) == ("erasing", None, [])
    assert ("erased", "subject") in did
    assert (len(ledger(home)), faults) == (1, {})


@both_ways
@virtual_time
async def test_what_is_stopped_in_the_notice_never_begins(tmp_path: Path, direction: str) -> None:
    async with house(tmp_path) as home:
        call = await dialling(home, direction)
        assert await acts(home, "pause") == NOTHING
        assert await acts(home, "stop") == NOTHING
        assert await acts(home, "withdraw", "page") == Outcome(Result.DONE, Now.ERASED)
        if direction == "inbound":
            await call.agent_answers()
        await call.talk(seconds=2)
        assert not await audible(call)
        await over(home, call)
        rows = [row for row in home.rows(recordings) if row["state"] not in ("empty", "lost")]
    assert (call.recorders, rows) == ([], [])


@virtual_time
async def test_without_the_manager_what_is_done_is_done_and_what_is_not_is_said(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path, "outbound") as (home, call):
        home.pbx.manager.refuse_logins = True
        home.pbx.network.drop_ami()
        home.pbx.asterisk.globals["CALLGUARD_LEASE_FILE"] = f"{SPOOL}/alive"
        await asyncio.sleep(1)
        assert (await acts(home, "pause", "page")).result is Result.FAILED
        assert (await acts(home, "stop", "page")).result is Result.FAILED
        await call.presses("*93", by="agent")
        assert await audible(call)
        await call.presses("*95", by="party")
        assert not recorder_of(call).running
        said = [h.prompt.rpartition("/")[2] for h in call.heard][-2:]
        await over(home, call)
        faults = home.service.gate.counts.faults
        row = home.one(recordings)
    assert said == ["recording-unchanged-1", "recording-erased-1"]
    assert faults == {"recording_not_paused": 2, "recording_not_stopped": 1}
    assert (row["state"], row["header"]) == ("erasing", None)


@virtual_time
async def test_silence_does_not_wait_for_the_disk_and_the_wish_is_kept_later(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path, "inbound") as (home, call):
        began = call.pbx.clock.monotonic()
        with locked(tmp_path):
            pressed = asyncio.create_task(call.presses("*95", by="party"))
            await asyncio.sleep(1)
            assert not await audible(call)
            await pressed
            assert await act(home.service.gate, decided(home), "withdraw", "page") == PENDING
            (shown,) = await home.service.overview.live_calls()
            alarms = home.service.overview._alarms()
        said = [h.prompt.rpartition("/")[2] for h in call.heard][-1]
        await unlocked(home)
        last = max(span.until for span in recorder_of(call).heard)
        assert await acts(home, "withdraw", "page") == DONE_ERASED
        await over(home, call)
        row = home.one(recordings)
    assert last - began < 1
    assert said == "recording-stopped-1"  # not that it is erased
    assert (shown.recording, shown.consent) == ("none", "withdrawn")
    assert "withdrawals of consent that could not be kept yet: 1" in alarms
    assert (row["state"], row["header"]) == ("erasing", None)
    assert [one["actor"] for one in ledger(home)] == ["subject"]


@virtual_time
async def test_whoever_wants_silence_goes_before_whoever_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with conversing(tmp_path, "outbound") as (home, call):
        gate, decision, on_disk = home.service.gate, decided(home), asyncio.Event()
        kept = home.service.recordings._log.keep_wish

        async def slowly(recording: OpenRecording, kind: Any, by: str) -> bool:
            if kind == "resumed":
                await on_disk.wait()
            return await kept(recording, kind, by)

        monkeypatch.setattr(home.service.recordings._log, "keep_wish", slowly)
        assert await acts(home, "pause", "page") == DONE_PAUSED
        resuming = asyncio.create_task(act(gate, decision, "resume", "page"))
        await asyncio.sleep(0.5)
        assert await acts(home, "pause") == DONE_PAUSED
        on_disk.set()
        assert (await resuming).result is Result.FAILED
        await call.talk(seconds=3)
        assert not await audible(call)
        assert await acts(home, "resume") == DONE_RESUMED
        withdrawn, _ = await asyncio.gather(
            act(gate, decision, "withdraw", "page"), act(gate, decision, "resume", "api")
        )
        assert (withdrawn, recorder_of(call).running) == (DONE_ERASED, False)
        twice = await asyncio.gather(*(act(gate, decision, "stop", who) for who in ("page", "api")))
        await over(home, call)
    assert twice == [DONE_STOPPED] * 2
    assert len(ledger(home)) == 1


@virtual_time
async def test_an_opt_out_by_the_page_is_entered_once_and_names_who_asked(tmp_path: Path) -> None:
    async with conversing(tmp_path, "inbound") as (home, call):
        opted_out = Outcome(Result.DONE, Now.OPTED_OUT)
        assert await acts(home, "optout", "api", HEBREW) == opted_out
        assert await acts(home, "optout", "page") == opted_out
        await over(home, call)
        wish = home.one(opt_outs)
        again = await home.pbx.outbound(PARTY, tenant="acme").ended()
    assert (wish["subject"], wish["way"], wish["actor"]) == (PARTY, "api", HEBREW)
    assert not again.carrier_invited


@virtual_time
async def test_whoever_asked_may_leave_before_the_answer(tmp_path: Path) -> None:
    async with conversing(tmp_path, "outbound") as (home, call):
        asking = asyncio.create_task(act(home.service.gate, decided(home), "withdraw", "api"))
        await asyncio.sleep(0)
        asking.cancel()
        await call.talk(seconds=2)
        await over(home, call)
        row = home.one(recordings)
    assert asking.cancelled()
    assert (row["header"], len(ledger(home))) == (None, 1)


@virtual_time
async def test_a_hundred_at_once_are_one_stop_and_each_is_told_that_it_is_done(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path, "outbound") as (home, call):
        gate, decision = home.service.gate, decided(home)
        done = await asyncio.gather(*(act(gate, decision, "stop", "api") for _ in range(100)))
        await over(home, call)
    assert done == [DONE_STOPPED] * 100
    assert (kinds(home), gate.counts.faults) == ([("stopped", "api")], {})


@virtual_time
async def test_what_is_erased_before_asterisk_began_it_leaves_nothing_in_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, outcomes = AgiSession.exec, []

    async def late(session: AgiSession, application: str, *options: str) -> str:
        if application == "MixMonitor":
            outcomes.append(await act(home.service.gate, decided(home), "withdraw", "api"))
            await asyncio.sleep(2)
        return await execute(session, application, *options)

    monkeypatch.setattr(AgiSession, "exec", late)
    async with house(tmp_path) as home:
        call = await talking(home, "outbound")
        assert not await audible(call)
        await over(home, call)
        assert (outcomes, home.spooled()) == ([DONE_ERASED], [])
        assert home.one(recordings)["state"] == "erasing"


@virtual_time
async def test_a_pause_by_another_id_of_the_call_goes_before_a_resumption_under_way(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path, "outbound") as (home, call):
        kept, (recording,) = home.service.recordings, home.service.vault.recorder.in_progress()
        assert await kept.pause(recording, by="api")
        resumed, paused = await asyncio.gather(
            kept.resume(recording, by="api"), kept.pause(recording, by="api")
        )
        assert (resumed, paused) == (False, True)
        assert not await audible(call)
        await over(home, call)


@virtual_time
async def test_the_first_id_of_a_call_that_was_passed_on_reaches_the_whole_conversation(
    tmp_path: Path,
) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        gate, first = home.service.gate, decided(home)
        await call.blind_transfer("agent", to=ELSE)
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.hears_all(NOTICE)
        await third.is_connected()
        second, recorders = decided(home), home.pbx.asterisk.media.recorders
        assert second.id != first.id
        assert await act(gate, first, "pause", "api") == DONE_PAUSED
        await asyncio.sleep(0.1)
        assert all(one.muted for one in recorders)
        assert await act(gate, second, "resume", "page") == DONE_RESUMED
        assert await act(gate, first, "stop", "api") == DONE_STOPPED
        assert not any(one.running for one in recorders)
        assert await act(gate, second, "resume", "page") == NOTHING, "and not that it is heard"
        await third.hangs_up()
        await call.ended()
