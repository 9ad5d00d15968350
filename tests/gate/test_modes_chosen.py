"""Which mode a call has, what is known of the party from then on, and what follows elsewhere."""

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from callguard.consent.given import About, record, withdraw
from callguard.consent.states import ConsentState
from callguard.gate.callbook import Call as KnownCall
from callguard.gate.callbook import read_call
from callguard.gate.policy import Policy
from callguard.gate.recordings import CallRecordings
from callguard.gate.told import Told
from callguard.policy.packs import parse_pack
from callguard.retention.schedule import for_days
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import consents
from tests.gate.asked import Play, Step, agi_dies, chooses, hears, path, play, presses
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, PARTY, House, house

BERLIN = "+493023125001"
AMSTERDAM = "+31201234567"
GRANTED, REFUSED, INCOMPLETE = "granted", "refused", "incomplete"
YES = (hears("ask"), presses("1", after=1))
ASK: dict[str, object] = {"recording_mode": "ask"}
OR_REFUSE: dict[str, object] = {"recording_mode": "notice_or_refuse"}

SILENT = parse_pack(
    "test",
    """
title = "Test"
[[rule]]
id = "test.silent"
kind = "recording_mode"
title = "One party"
citation = "Act, s. 7"
effective_from = 2020-01-01
settings = { mode = "silent", beep = true }
scope = { directions = ["outbound", "inbound"] }
""",
).rules


def consenting(home: House, subject: str, days: int = 30) -> str:
    """The subject consents to recordings on paper; the row of the ledger."""
    now = current_clock().now()
    with home.service.database.writing() as connection:
        row = record(
            connection,
            About("acme", subject, "recording"),
            proof="a form",
            granted_at=now,
            until=now + timedelta(days=days),
            at=now,
            actor="test",
            keep=for_days(9),
        )
    return f"consent:{row}"


def withdrawing(home: House, subject: str) -> None:
    about = About("acme", subject, "recording")
    now = current_clock().now()
    with home.service.database.writing() as connection:
        withdraw(connection, about, reason="a letter", at=now, actor="test", keep=for_days(9))


@pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])
def test_the_law_of_either_end_asks_and_a_yes_is_recorded(tmp_path: Path, outbound: bool) -> None:
    @virtual_time
    async def both() -> None:
        async with house(tmp_path) as home:
            no = (hears("ask"), hears("ask"))
            for steps, state in ((YES, GRANTED), (no, REFUSED)):
                came = await play(home, Play("", {}, steps, state), BERLIN, outbound=outbound)
                (row,) = came.rows
                assert (row["state"], row["mode"]) == (state, "ask")
                assert (came.outcome.recorded_samples > 0) is (state == GRANTED)
                assert any(rule.startswith("de.recording") for rule in row["rules"])
                assert not any(rule.startswith("tenant ") for rule in row["rules"])

    both()


@virtual_time
async def test_who_has_consented_is_not_asked_and_the_ledger_names_the_proof(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        proof = consenting(home, BERLIN)
        silent = Play("", {"recording_mode": "silent"}, (), GRANTED)
        quiet = await play(home, silent, BERLIN, outbound=True)
        caller = await play(home, Play("", ASK, (), GRANTED), BERLIN, outbound=False)
        notice = Play("", {}, (hears("notice"),), GRANTED)
        told = await play(home, notice, BERLIN, outbound=True)
        refusing = (hears("notice-refuse", 1), presses("2"))
        no = await play(home, Play("", OR_REFUSE, refusing, REFUSED), BERLIN, outbound=True)
    for came, mode in ((quiet, "prior"), (caller, "prior"), (told, "notice")):
        (row,) = came.rows
        assert (row["state"], row["mode"], row["proof"]) == (GRANTED, mode, proof)
        assert came.outcome.recorded_samples > 0
    assert (quiet.heard, caller.heard, told.heard) == ((), (), ("en/notice",))
    (row,) = quiet.rows
    assert (row["prompt"], row["asked"], row["heard_ms"], row["answer"]) == (None, 0, 0, None)
    assert (no.rows[0]["state"], no.outcome.recorded_samples) == (REFUSED, 0)


@virtual_time
async def test_a_consent_that_is_withdrawn_while_it_rings_is_asked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        consenting(home, BERLIN)
        await chooses(home, recording_mode="silent")
        call = home.pbx.outbound(BERLIN, tenant="acme")
        await call.is_dialled()
        withdrawing(home, BERLIN)
        await call.carrier_answers()
        await call.hears(path(home, "ask"), seconds=1)
        await call.presses("2")
        await call.is_connected()
        await call.hangs_up("party")
        outcome = await call.ended()
        row = home.rows(consents)[-1]
    assert (row["mode"], row["state"], row["proof"]) == ("ask", REFUSED, None)
    assert row["rules"][-1] == "callguard: no evidence of the consent on file"
    assert outcome.recorded_samples == 0


@pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])
def test_where_one_party_suffices_nothing_is_said_and_the_tone_sounds(
    tmp_path: Path, outbound: bool
) -> None:
    @virtual_time
    async def one() -> None:
        async with house(tmp_path) as home:
            home.service.gate.policy = Policy(SILENT)
            wish: dict[str, object] = {"recording_mode": "silent", "beep_s": 20}
            came = await play(home, Play("", wish, (), GRANTED), PARTY, outbound=outbound)
            tones = [recorder.beep_s for recorder in home.pbx.asterisk.media.recorders]
        (row,) = came.rows
        assert came.heard == ()
        assert came.told
        assert (row["state"], row["mode"], row["rules"]) == (
            GRANTED,
            "silent",
            ["test.silent: Act, s. 7"],
        )
        assert (row["prompt"], row["asked"]) == (None, 0)
        assert came.outcome.recorded_samples > 0
        assert tones == [20]

    one()


@virtual_time
async def test_a_yes_is_remembered_for_as_long_as_the_tenant_says(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        keeps = ASK | {"remember_days": 30}
        first = await play(home, Play("", keeps, YES, GRANTED), PARTY, outbound=False)
        again = await play(home, Play("", keeps, (), GRANTED), PARTY, outbound=True)
        other = await play(home, Play("", keeps, YES, GRANTED), BERLIN, outbound=True)
        forgets = await play(home, Play("", ASK, YES, GRANTED), AMSTERDAM, outbound=True)
        hidden = await play(home, Play("", keeps, YES, GRANTED), "anonymous", outbound=False)
        (given, *rest) = [row for row in home.rows(consents) if row["call_id"] is None]
    row = first.rows[0]
    assert given["proof"] == (
        f"call {row['call_id']}, key 1 after {row['prompt']} (consent:{row['id']})"
    )
    assert given["until"] - given["at"] == timedelta(days=30)
    assert again.heard == ()
    assert (again.rows[0]["mode"], again.rows[0]["proof"]) == ("prior", f"consent:{given['id']}")
    assert len(other.rows) == len(forgets.rows) == len(hidden.rows) == 1
    assert hidden.outcome.recorded_samples > 0
    assert [one["subject"] for one in rest] == [BERLIN]


@virtual_time
async def test_each_call_that_rests_on_a_yes_moves_the_date_of_its_proof(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        keeps = ASK | {"remember_days": 30}
        first = await play(home, Play("", keeps, YES, GRANTED), BERLIN, outbound=False)
        (given,) = [row for row in home.rows(consents) if row["call_id"] is None]
        soon = given["at"] + timedelta(days=40)
        with home.service.database.writing() as connection:
            connection.execute(update(consents).values(expires_at=soon))
        again = await play(home, Play("", keeps, (), GRANTED), BERLIN, outbound=True)
        kept = {row["id"]: row["expires_at"] for row in home.rows(consents)}
    since_use = again.rows[0]["at"] + timedelta(days=365)
    assert soon < since_use <= kept[given["id"]] < given["expires_at"]
    assert kept[first.rows[0]["id"]] >= since_use


@virtual_time
async def test_nothing_is_said_to_a_machine_and_no_machine_is_recorded(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for wish in ("notice", "ask", "silent"):
            if wish == "silent":
                home.service.gate.policy = Policy(SILENT)
            await chooses(home, recording_mode=wish)
            call = home.pbx.outbound(PARTY, tenant="acme")
            called = await call.is_dialled()
            called.variables.set("AMDSTATUS", "MACHINE")
            await call.carrier_answers()
            await call.talk(seconds=1)
            await call.hangs_up("party")
            outcome = await call.ended()
            row = home.rows(consents)[-1]
            assert outcome.heard == ()
            assert outcome.recorded_samples == 0
            assert (row["mode"], row["state"]) == (wish, INCOMPLETE)
            assert (row["answer"], row["language"]) == (None, "en")


@virtual_time
async def test_a_prompt_that_asterisk_has_not_is_missing_and_counted(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.pbx.asterisk.media.folders.clear()
        came = await play(home, Play("", ASK, (), INCOMPLETE), PARTY, outbound=True)
        faults = home.service.gate.counts.faults
    assert (came.rows[0]["state"], came.rows[0]["heard_ms"]) == (INCOMPLETE, 0)
    assert came.outcome.recorded_samples == 0
    assert faults == {"prompt_not_played": 1}


@virtual_time
async def test_everybody_is_spoken_to_in_the_language_of_their_country(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        wish: dict[str, object] = {"languages": ("en", "nl")}
        steps = (hears("nl/notice"),)
        came = await play(home, Play("", wish, steps, GRANTED), AMSTERDAM, outbound=False)
        here = await play(home, Play("", wish, (hears("notice"),), GRANTED), PARTY, outbound=True)
    assert (came.rows[0]["language"], came.heard) == ("nl", ("nl/notice",))
    assert came.rows[0]["prompt"].split()[2] == "nl"
    assert (here.rows[0]["language"], here.heard) == ("en", ("en/notice",))


@pytest.mark.parametrize("key", ["1", "2"])
def test_an_answer_that_is_not_durable_is_no_yes_whatever_was_agreed_before(
    tmp_path: Path, key: str
) -> None:
    @virtual_time
    async def one() -> None:
        async with house(tmp_path) as home:
            told = home.service.gate.told
            call = home.pbx.outbound(BERLIN, tenant="acme", purpose="service")
            await call.carrier_answers()
            await call.hears_all(path(home, "ask"))
            party = call.side("party").uniqueid
            before = Told("acme", "an earlier call", BERLIN, ConsentState.GRANTED)
            told.enter("asterisk", party, before)
            locker = sqlite3.connect(tmp_path / "callguard.db", isolation_level=None)
            locker.execute("BEGIN IMMEDIATE")
            await call.presses(key)
            await call.is_connected()
            locker.execute("ROLLBACK")
            locker.close()
            known = told.of("asterisk", party)
            await call.hangs_up("party")
            outcome = await call.ended()
            kept = home.rows(consents)
        assert outcome.recordings == ()
        assert known is not None
        assert (known.call_id != "an earlier call", known.may_be_recorded) == (True, False)
        assert kept == []

    one()


@virtual_time
async def test_a_row_that_came_too_late_is_no_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    punctual = Journal.insert

    async def late(self: Journal, *rows: Row, timeout: float = 2.0) -> None:
        await punctual(self, *rows, timeout=timeout)
        if rows[0].table is consents:
            raise NotDurableError("not durable within 2 s")

    async with house(tmp_path) as home:
        monkeypatch.setattr(Journal, "insert", late)
        case = Play("", {}, (hears("notice"),), GRANTED)
        came = await play(home, case, PARTY, outbound=True)
    assert (came.told, came.outcome.recorded_samples) == (False, 0)
    assert came.outcome.connected


HUSHES: dict[str, tuple[dict[str, object], tuple[Step, ...], bool]] = {
    "granted": ({}, (hears("notice"),), False),
    "nothing is said": ({"record": False}, (), True),
    "refused": (OR_REFUSE, (hears("notice-refuse", 1), presses("2")), True),
    "opted out and connected": (
        {"on_opt_out": "connect"},
        (hears("notice", 1), presses("9"), hears("optout-done")),
        True,
    ),
    "incomplete": (ASK | {"accept_digit": "5"}, (), True),
    "AGI dies in the notice": ({}, (hears("notice", 1), agi_dies), True),
    "AGI dies in the answer": (
        OR_REFUSE,
        (hears("notice-refuse", 1), presses("2"), hears("refused", 1), agi_dies),
        True,
    ),
}


@pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])
def test_who_did_not_consent_joins_only_what_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outbound: bool
) -> None:
    hushed: list[tuple[str, str]] = []
    silent = True

    async def hush(_: CallRecordings, call: KnownCall, uniqueid: str) -> bool:
        hushed.append((call.id, uniqueid))
        return silent

    @virtual_time
    async def all_of_them() -> None:
        nonlocal silent
        async with house(tmp_path) as home:
            numbers = (f"+4420794606{n:02d}" for n in range(100))
            for name, (wish, steps, hushes) in HUSHES.items():
                silent = True
                came = await play(
                    home, Play(name, wish, steps, None), next(numbers), outbound=outbound
                )
                assert len(hushed) == int(hushes), name
                rows = [(row["call_id"], row["channel_uniqueid"]) for row in came.rows]
                assert hushed == [] or rows in ([], hushed), name
                hushed.clear()
                silent = False
                ends = hushes and agi_dies not in steps
                came = await play(
                    home, Play(name, wish, steps, None, ends=ends), next(numbers), outbound=outbound
                )
                assert came.outcome.connected is not ends, name
                assert (came.after == "end") is ends, name
                hushed.clear()
            assert home.service.gate.counts.faults["recording_not_silenced"] == 4

    monkeypatch.setattr(CallRecordings, "hush", hush)
    all_of_them()


@virtual_time
async def test_a_call_is_the_same_from_memory_and_after_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        out = home.pbx.outbound(BERLIN, tenant="acme", purpose="service")
        await out.is_dialled()
        into = home.pbx.inbound(BERLIN, did=DID)
        await into.hears(path(home, "ask"), seconds=1)
        known = home.service.gate.calls.all()
        with home.service.database.reading() as connection:
            kept = [read_call(connection, call.id) for call in known]
        await out.hangs_up("agent")
        await into.hangs_up("party")
        await out.ended()
        await into.ended()
    assert len(known) == 2
    # Whether it was passed on is known of the living channel alone.
    assert [replace(call, passed_on=False) for call in known] == [
        replace(call, passed_on=False) for call in kept if call is not None
    ]
    for call in known:
        assert {rule.split(":")[0] for rule in call.asking} == {
            "base.recording-notice",
            "de.recording",
            "eu.recording",
            "gb.recording",
        }
