"""A list goes when somebody removes it or its time is over, with all that it led to."""

import asyncio
from pathlib import Path

import pytest

from callguard.storage.schema import audit, scrubs
from callguard.web import scrub_jobs
from callguard.web.scrub_api import FILES, PATH
from callguard.web.scrub_incoming import remove
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.gate.preflights import rows
from tests.web.doors import Failing
from tests.web.scrub_place import HANG, SPLIT, Place, comes, limits, place, script

__all__ = ["clock", "database", "journal", "limits", "place", "script"]

STUBBORN = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))
print(json.dumps({"rows": 3, "bytes": 9}), file=sys.stderr, flush=True)
time.sleep(600)
"""


async def test_what_lies_here_is_for_the_owner_alone_and_the_list_itself_is_gone(
    place: Place,
) -> None:
    job_id = await place.sent()
    await place.over(job_id)
    await comes(
        lambda: asyncio.sleep(0, place.files()), lambda found: f"{job_id}/in.csv" not in found
    )
    assert place.files() == sorted(
        [job_id, f"{job_id}/out", *(f"{job_id}/out/{name}" for name in FILES.values())]
    )
    for path in (place.folder, *place.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_cancelling_ends_the_process_with_its_children_and_removes_everything(
    place: Place,
) -> None:
    place.script.text = HANG
    job_id = await place.sent()
    pids = place.folder / job_id / "pids"
    await comes(lambda: asyncio.sleep(0, pids.exists()), bool)
    told = await comes(lambda: asyncio.sleep(0, pids.read_text().split()), lambda p: len(p) == 2)
    status, answer = await place.doors.ask("DELETE", f"{PATH}/{job_id}")
    assert (status, answer["state"]) == (200, "cancelled")
    assert place.files() == []
    await comes(lambda: asyncio.sleep(0, [alive(int(p)) for p in told]), lambda up: not any(up))
    assert rows(place.doors.gate, scrubs)[0]["state"] == "cancelled"
    assert (await place.doors.ask("DELETE", f"{PATH}/{job_id}"))[0] == 200
    actions = [row["action"] for row in rows(place.doors.gate, audit)]
    assert actions.count("scrub.add") == actions.count("scrub.remove") == 1


async def test_a_removal_goes_on_when_whoever_asked_leaves(place: Place) -> None:
    place.script.text = STUBBORN
    job_id = await place.sent()
    await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await place.doors.ask("DELETE", f"{PATH}/{job_id}")
    await place.over(job_id, "cancelled")
    await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == [])


async def test_what_is_done_can_be_removed(place: Place) -> None:
    job_id = await place.sent()
    await place.over(job_id)
    assert (await place.doors.ask("DELETE", f"{PATH}/{job_id}"))[1]["state"] == "cancelled"
    assert place.files() == []
    assert (await place.doors.ask("GET", f"{PATH}/{job_id}/may-call"))[0] == 409


async def test_a_removal_that_is_not_durable_is_not_confirmed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await place.sent()
    await place.over(job_id)
    failing = Failing(place.doors.gate, monkeypatch)
    assert (await place.doors.ask("DELETE", f"{PATH}/{job_id}"))[0] == 503
    assert (await place.state(job_id))["state"] == "done"
    failing.on = False
    assert (await place.doors.ask("DELETE", f"{PATH}/{job_id}"))[0] == 200
    assert place.files() == []


async def test_a_run_that_does_not_end_in_time_is_begun_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not certain to be gone, and whoever asked need not ask again."""
    place.script.text = HANG
    job_id = await place.sent()
    await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
    place.script.text = SPLIT
    with monkeypatch.context() as patched:
        patched.setattr(scrub_jobs, "GRACE_S", -0.5)
        assert (await place.doors.ask("DELETE", f"{PATH}/{job_id}"))[0] == 503
    await place.over(job_id)
    assert place.script.begun == [job_id, job_id]


async def test_after_a_week_a_list_is_hidden_at_once_and_swept_away(
    place: Place, clock: HandClock
) -> None:
    job_id = await place.sent()
    await place.over(job_id)
    clock.advance(days=7)
    for path in (f"{PATH}/{job_id}", f"{PATH}/{job_id}/may-call"):
        assert (await place.doors.ask("GET", path))[0] == 404
    assert place.doors.jobs is not None
    assert await place.doors.jobs.sweep() == 1
    assert place.files() == []
    assert rows(place.doors.gate, scrubs) == []


async def test_what_cannot_be_removed_keeps_no_list_here(
    place: Place, clock: HandClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await place.over(await place.sent())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (place.folder / "link").symlink_to(elsewhere)
    (place.folder / "broken").symlink_to(tmp_path / "nowhere")
    (place.folder / "file").touch()
    (place.folder / "stuck").mkdir()

    def removing(folder: Path) -> None:
        if folder.name == "stuck":
            raise OSError(1, "Operation not permitted")
        remove(folder)

    monkeypatch.setattr(scrub_jobs, "remove", removing)
    clock.advance(days=7)
    assert place.doors.jobs is not None
    with pytest.raises(OSError, match="not permitted"):
        await place.doors.jobs.sweep()
    assert place.files() == ["stuck"]
    assert rows(place.doors.gate, scrubs) == []
    assert (elsewhere / "kept").exists()


async def test_the_sweep_ends_a_run_whose_time_is_over(place: Place, clock: HandClock) -> None:
    place.script.text = HANG
    job_id = await place.sent()
    await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
    clock.advance(days=7)
    assert place.doors.jobs is not None
    assert await place.doors.jobs.sweep() == 1
    assert place.files() == []
    place.script.text = SPLIT
    await place.over(await place.sent())


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
