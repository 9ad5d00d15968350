"""A consent counts only as it was given, and for no longer than it stood."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callguard.agi.link import ConnectionLost
from callguard.agi.session import AgiSession, Streamed
from callguard.consent.chain_rows import read_chain
from callguard.consent.given import About, record
from callguard.consent.statement import recorded_with_consent
from callguard.gate.callbook import Call as KnownCall
from callguard.gate.recordings import CallRecordings
from callguard.retention.schedule import for_days
from callguard.storage.schema import consents, recording_events, recordings
from callguard.tenants.tenant import Tenant
from tests.gate.asked import Play, chooses, hears, path, play, waits
from tests.gate.test_modes_chosen import BERLIN, consenting, withdrawing
from tests.harness.virtual import current_clock, virtual_time
from tests.house import PARTY, House, house


@virtual_time
async def test_a_consent_that_is_withdrawn_during_the_notice_is_none(tmp_path: Path) -> None:
    async def by_letter(home: House, _: Any) -> None:
        withdrawing(home, BERLIN)

    async with house(tmp_path) as home:
        consenting(home, BERLIN)
        steps = (hears("notice", 1), by_letter, waits(2))
        came = await play(home, Play("", {}, steps, None), BERLIN, outbound=True)
    (row,) = came.rows
    assert (row["state"], row["mode"], row["proof"]) == ("incomplete", "notice", None)
    assert row["rules"][-1] == "callguard: the consent on file ended meanwhile"
    assert (came.told, came.outcome.recorded_samples) == (False, 0)


@virtual_time
async def test_who_withdraws_while_the_recording_is_made_ready_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = CallRecordings.begin

    async def begin(
        self: CallRecordings, tenant: Tenant, call: KnownCall, uniqueid: str, encoding: str
    ) -> str | None:
        file = await begun(self, tenant, call, uniqueid, encoding)
        home.service.gate.told.withdraw(call.pbx, uniqueid)
        return file

    monkeypatch.setattr(CallRecordings, "begin", begin)
    async with house(tmp_path) as home:
        notice = Play("", {}, (hears("notice"),), None)
        came = await play(home, notice, PARTY, outbound=True)
        await home.settled()
        row = home.one(recordings)
    assert came.outcome.recordings == ()
    assert row["state"] == "lost"


@virtual_time
async def test_who_hangs_up_at_the_end_of_the_notice_did_not_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = AgiSession.stream_file

    async def ends_with_it(self: AgiSession, *told: Any, **more: Any) -> Streamed:
        found = await played(self, *told, **more)
        self._link.hung_up = True  # the line HANGUP, just before the reply
        return found

    async with house(tmp_path) as home:
        await chooses(home, late_s=0)
        monkeypatch.setattr(AgiSession, "stream_file", ends_with_it)
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.carrier_answers()
        await call.hears_all(path(home, "notice"))
        await asyncio.sleep(1)
        await call.hangs_up("party")
        outcome = await call.ended()
        row = home.one(consents)
    assert (row["state"], outcome.recordings) == ("incomplete", ())


@virtual_time
async def test_a_no_stands_though_the_line_to_asterisk_breaks_right_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = False

    async def played(self: AgiSession, *_: Any, **__: Any) -> Streamed:
        nonlocal lost
        lost = True
        return Streamed("2", 8_000, hung_up=False, result=50)

    asked = AgiSession.get_variable

    async def get_variable(self: AgiSession, name: str) -> str | None:
        if lost:
            raise ConnectionLost("broken off")
        return await asked(self, name)

    async with house(tmp_path, recording_mode="notice_or_refuse") as home:
        monkeypatch.setattr(AgiSession, "stream_file", played)
        monkeypatch.setattr(AgiSession, "get_variable", get_variable)
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.carrier_answers()
        await asyncio.sleep(1)
        await call.hangs_up("party")
        await call.ended()
        row = home.one(consents)
    assert (row["state"], row["answer"]) == ("refused", "2")


@virtual_time
async def test_audio_that_changes_while_it_plays_proves_nothing(tmp_path: Path) -> None:
    async def another(home: House, _: Any) -> None:
        name = path(home, "notice").rpartition("/")[2]
        file = home.folder / "prompts" / "en" / f"{name}.wav"
        file.write_bytes(file.read_bytes()[:-2] + b"\1\1")

    async with house(tmp_path) as home:
        steps = (hears("notice", 1), another, waits(2))
        came = await play(home, Play("", {}, steps, None), PARTY, outbound=True)
        faults = home.service.gate.counts.faults
    (row,) = came.rows
    assert (row["state"], row["heard_ms"], came.outcome.recorded_samples) == ("incomplete", 0, 0)
    assert faults["prompt_changed"] == 1


@virtual_time
async def test_why_a_call_was_recorded_is_kept_for_longer_than_the_recording(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        await home.whole_call()
        await home.settled()
        recording, consent = home.one(recordings), home.one(consents)
        events = home.rows(recording_events)
    assert recording["expires_at"] < consent["expires_at"]
    assert recording["expires_at"] < min(event["expires_at"] for event in events)


@virtual_time
async def test_a_consent_that_ends_during_the_call_ends_the_recording(tmp_path: Path) -> None:
    async with house(tmp_path, recording_mode="silent") as home:
        now = current_clock().now()
        until = now + timedelta(seconds=20)
        about = About("acme", BERLIN, "recording")
        with home.service.database.writing() as connection:
            record(
                connection,
                about,
                proof="a form",
                granted_at=now,
                until=until,
                at=now,
                actor="test",
                keep=for_days(9),
            )
        call = home.pbx.outbound(BERLIN, tenant="acme", purpose="service")
        await call.carrier_answers()
        await call.talk(seconds=30)
        running = home.service.vault.recorder.in_progress()
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        row = home.one(recordings)
        with home.service.database.reading() as connection:
            chain = read_chain(connection, row["call_id"], current_clock().now())
    assert chain is not None
    assert running == ()
    assert outcome.recorded_samples > 0
    assert timedelta() < until - row["ended_at"] < timedelta(seconds=2)
    assert recorded_with_consent(chain, until).holds
    (told,) = [one for one in chain.tellings if one.call is not None]
    assert (told.mode, told.until) == ("prior", until)
