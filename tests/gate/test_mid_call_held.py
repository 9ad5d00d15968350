"""Who withdraws in a call that a hold keeps is obeyed as far as the hold lets: it falls silent, the
consent is over, and what was recorded is hidden, and erased when the hold goes."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import update

from callguard.gate.mid_call import Now, Outcome, Result, act
from callguard.recording.playback.access import Asked, Reader, Refusal
from callguard.recording.playback.admission import Admitted, consider
from callguard.retention.holds.placing import NewHold, add, of_case, release, wishes
from callguard.retention.purging.purge import purge
from callguard.storage.schema import audit, erasures, recording_events, recordings
from tests.gate.line_calls import locked
from tests.gate.test_mid_call import (
    DONE_ERASED,
    DONE_STOPPED,
    acts,
    audible,
    both_ways,
    conversing,
    decided,
    ledger,
    over,
    unlocked,
)
from tests.harness.virtual import current_clock, virtual_time
from tests.house import PARTY, House


def held(home: House) -> str:
    now = current_clock().now()
    new = NewHold("a claim", "test", now + timedelta(days=90), subject=PARTY, case="C-17")
    with home.service.database.writing() as connection:
        return add(connection, new, now).id


def released(home: House) -> None:
    with home.service.database.writing() as connection:
        ids = of_case(connection, "C-17")
        release(connection, ids, current_clock().now(), "test", wishes(connection, ids))


async def purged(home: House) -> None:
    service = home.service
    vault = service.vault
    await purge(service.journal.write, vault.store, vault.ledger, current_clock(), actor="test")


def events(home: House) -> list[tuple[str, str, str | None]]:
    rows = sorted(home.rows(recording_events), key=lambda row: row["id"])
    return [(r["kind"], r["by"], r["reason"]) for r in rows if r["by"] != "callguard"]


@both_ways
@virtual_time
async def test_the_subject_withdraws_and_hears_that_it_stopped(
    tmp_path: Path, direction: str
) -> None:
    async with conversing(tmp_path, direction) as (home, call):
        placed = held(home)
        began = call.pbx.clock.monotonic()
        await call.presses("*95", by="party")
        said = [h.prompt.rpartition("/")[2] for h in call.heard][-1]
        assert not await audible(call)
        last = max(span.until for span in call.recorders[0].heard)
        await over(home, call)
        row, before = home.one(recordings), current_clock().now()
        assert home.rows(erasures) == []
        with home.service.database.reading() as connection:
            for reader in (
                Reader("dana", "supervisor", "acme"),
                Reader("dana", "tenant_admin", "acme"),
            ):
                told = consider(connection, Asked(reader, "metadata"), row["id"], before)
                assert isinstance(told, Refusal)
            auditor = Asked(Reader("noa", "auditor"), "verify")
            assert isinstance(consider(connection, auditor, row["id"], before), Admitted)
        await purged(home)
        assert home.one(recordings)["state"] == "sealed"
        released(home)
        await purged(home)
        assert home.rows(recordings) == []
        (gone,) = home.rows(erasures)
        logged = [entry for entry in home.rows(audit) if entry["action"] == "recording.withdraw"]
        faults = home.service.gate.counts.faults
    assert said == "recording-stopped-1"
    assert last - began < 1
    assert (row["state"], row["header"] is not None) == ("sealed", True)
    assert row["expires_at"] <= before
    assert gone["object_id"] == row["id"]
    assert events(home) == [
        ("stopped", "subject", "consent was withdrawn"),
        ("withdrawn", "subject", "held"),
    ]
    assert [placed in entry["details"] for entry in logged] == [True]
    assert ([one["actor"] for one in ledger(home)], faults) == (["subject"], {})


@virtual_time
async def test_the_page_withdraws_twice_and_a_date_that_was_moved_does_not_outlive_the_wish(
    tmp_path: Path,
) -> None:
    async with conversing(tmp_path, "inbound") as (home, call):
        held(home)
        assert await acts(home, "withdraw", "page") == DONE_STOPPED
        wished = current_clock().now()
        assert not await audible(call)
        assert await acts(home, "withdraw", "api") == DONE_STOPPED
        await over(home, call)
        row = home.one(recordings)
        assert [kind for kind, _, _ in events(home)] == ["stopped", "withdrawn"]
        with home.service.database.writing() as connection:
            later = wished + timedelta(days=365)
            connection.execute(update(recordings).values(expires_at=later))
        released(home)
        assert home.one(recordings)["expires_at"] <= wished
    assert (row["state"], len(ledger(home))) == ("sealed", 1)


@virtual_time
async def test_a_hold_that_goes_while_the_call_runs_lets_the_wish_through(tmp_path: Path) -> None:
    async with conversing(tmp_path, "outbound") as (home, call):
        held(home)
        assert await acts(home, "withdraw", "page") == DONE_STOPPED
        released(home)
        assert await acts(home, "withdraw", "page") == DONE_ERASED
        await over(home, call)
        assert home.one(recordings)["state"] == "erasing"


@virtual_time
async def test_what_cannot_be_kept_at_once_is_held_later(tmp_path: Path) -> None:
    async with conversing(tmp_path, "inbound") as (home, call):
        held(home)
        with locked(tmp_path):
            outcome = await act(home.service.gate, decided(home), "withdraw", "page")
            assert not await audible(call)
        await unlocked(home)
        await over(home, call)
        row = home.one(recordings)
        assert ("withdrawn", "page", "held") in events(home)
    assert outcome == Outcome(Result.PENDING, Now.STOPPED)
    assert (row["state"], home.rows(erasures)) == ("sealed", [])
