"""``/api/v1/scrubs``: a list comes in, is scrubbed beside the service, and is gone in time."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from callguard.config import Scrubs
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit, scrubs
from callguard.web import scrub_api, scrub_jobs, scrub_process
from callguard.web.scrub_api import FILES, PATH, CommandScrubber
from callguard.web.scrub_incoming import ScrubError, remove
from callguard.web.scrub_jobs import Job
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.gate.preflights import PARTY, rows
from tests.web.doors import SMS_TOKEN, TOKEN, Doors, Failing, open_doors, two_tenants

__all__ = ["clock", "database", "journal"]

CSV = {"Content-Type": "text/csv"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LIST = f"number\n{PARTY}\n+442079460150\n".encode()
WHERE = f"{PATH}?tenant=acme"

SPLIT = """
import json, pathlib, sys
source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
lines = source.read_text().splitlines()
print(json.dumps({"rows": 1, "bytes": 7}), file=sys.stderr, flush=True)
for name in ("list.csv", "list.must-not.csv", "list.cannot-tell.csv"):
    (out / name).write_text(name + "\\n")
    (out / name).chmod(0o644)
print(json.dumps({"rows": len(lines), "files": {"a": str(out)}}))
"""
REFUSE = """
import sys
print("callguard: in.csv: there is no column of numbers", file=sys.stderr)
sys.exit(1)
"""
HANG = """
import json, os, pathlib, subprocess, sys, time
print(json.dumps({"rows": 3, "bytes": 9}), file=sys.stderr, flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).with_name("pids").write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
STUBBORN = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))
print(json.dumps({"rows": 3, "bytes": 9}), file=sys.stderr, flush=True)
time.sleep(600)
"""
HALF = """
import os, pathlib, sys
(pathlib.Path(sys.argv[2]) / "list.csv").write_bytes(pathlib.Path(sys.argv[1]).read_bytes())
os.kill(os.getpid(), 9)
"""
BABBLE = "print('x' * 3_000_000)"
MUTTER = "print('done')"


@dataclass
class Script:
    """Scrubs with a program of the test."""

    text: str = SPLIT
    begun: list[str] = field(default_factory=list)

    def command(self, job: Job, source: Path, out: Path) -> Sequence[str]:
        self.begun.append(job.id)
        return [sys.executable, "-c", self.text, str(source), str(out)]

    def progress(self, line: str) -> tuple[int, int] | None:
        return CommandScrubber(None).progress(line)


@dataclass
class Place:
    """The doors with a script, and how to open them again."""

    doors: Doors
    script: Script
    folder: Path

    async def send(self, body: bytes = LIST, query: str = "tenant=acme") -> tuple[int, Any]:
        return await self.doors.ask("POST", f"{PATH}?{query}", body, **CSV)

    async def sent(self) -> str:
        status, answer = await self.send()
        assert status == 202, answer
        return str(answer["id"])

    async def state(self, job_id: str) -> Any:
        status, answer = await self.doors.ask("GET", f"{PATH}/{job_id}")
        assert status == 200
        return answer

    async def over(self, job_id: str, state: str = "done") -> Any:
        """What is told of a list once it has come to that state."""
        return await comes(lambda: self.state(job_id), lambda told: told["state"] == state)

    def files(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))


async def comes(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(15):
        while not enough(seen := await look()):
            await asyncio.sleep(0.01)
    return seen


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def limits() -> Scrubs:
    return Scrubs(reserve_bytes=0)


@pytest.fixture
async def place(
    tmp_path: Path,
    database: Database,
    journal: Journal,
    clock: HandClock,
    script: Script,
    limits: Scrubs,
) -> AsyncIterator[Place]:
    two_tenants(database, clock)
    async with open_doors(
        tmp_path, database, journal, clock, scrubber=script, scrubs=limits
    ) as doors:
        yield Place(doors, script, tmp_path / "scrubs")


async def test_a_list_is_taken_in_scrubbed_and_handed_out(place: Place) -> None:
    status, answer = await place.send(query="tenant=acme&purpose=survey&column=number")
    assert (status, answer["state"], answer["tenant"]) == (202, "queued", "acme")
    told = await place.over(answer["id"])
    assert told["asked"] == {"purpose": "survey", "column": "number"}
    assert told["progress"] == {"rows": 3, "bytes": len(LIST), "of": len(LIST)}
    assert told["summary"] == {"rows": 3}
    assert told["finished_at"] is not None
    for name, path in zip(FILES, told["files"], strict=True):
        async with place.doors.client.get(place.doors.address + path, headers=BEARER) as fetched:
            assert (fetched.status, fetched.content_type) == (200, "text/csv")
            assert f'filename="{name}.csv"' in fetched.headers["Content-Disposition"]
            assert fetched.headers["Cache-Control"] == "no-store"
            assert await fetched.text() == FILES[name] + "\n"
    (row,) = rows(place.doors.gate, scrubs)
    assert (row["state"], row["rows"], row["tenant_id"]) == ("done", 3, "acme")


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


async def test_lists_are_scrubbed_one_at_a_time_in_the_order_they_came(place: Place) -> None:
    place.script.text = HANG
    first = await place.sent()
    await place.over(first, "running")
    second = await place.sent()
    assert (await place.state(second))["state"] == "queued"
    place.script.text = SPLIT
    status, answer = await place.doors.ask("DELETE", f"{PATH}/{first}")
    assert (status, answer["state"]) == (200, "cancelled")
    await place.over(second)
    assert place.script.begun == [first, second]


async def test_a_run_tells_how_far_it_is(place: Place) -> None:
    place.script.text = HANG
    job_id = await place.sent()
    told = await comes(
        lambda: place.state(job_id), lambda told: told["progress"]["rows"] is not None
    )
    assert told["state"] == "running"
    assert told["progress"] == {"rows": 3, "bytes": 9, "of": len(LIST)}
    status, answer = await place.doors.ask("GET", f"{PATH}/{job_id}/may-call")
    assert (status, "running" in answer["error"]) == (409, True)


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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (REFUSE, "in.csv: there is no column of numbers"),
        (BABBLE, "the scrub said more than it should at its end"),
        (MUTTER, "the scrub did not say what it did"),
        (HALF, "the scrub ended with status -9"),
    ],
)
async def test_a_scrub_that_fails_says_why_and_leaves_no_list(
    place: Place, text: str, reason: str
) -> None:
    place.script.text = text
    job_id = await place.sent()
    told = await place.over(job_id, "failed")
    assert (told["reason"], told["files"]) == (reason, [])
    assert place.files() == [job_id]
    place.script.text = SPLIT
    await place.over(await place.sent())


async def test_a_scrubber_that_is_broken_takes_nothing_else_down(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Sequence[str]:
        raise KeyError("secret")

    monkeypatch.setattr(place.script, "command", broken)
    told = await place.over(await place.sent(), "failed")
    assert told["reason"] == "the scrub broke: KeyError"
    monkeypatch.undo()
    await place.over(await place.sent())


async def test_a_program_that_is_not_there_is_a_failed_scrub(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.script, "command", lambda *_: ["/nowhere/callguard"])
    told = await place.over(await place.sent(), "failed")
    assert told["reason"] == "No such file or directory"


async def test_a_run_that_says_nothing_for_too_long_is_ended(
    place: Place, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub_process, "SILENT_S", 0.2)
    place.script.text = HANG
    job_id = await place.sent()
    await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
    clock.advance(seconds=1)
    told = await place.over(job_id, "failed")
    assert told["reason"].startswith("it said nothing for")


class TestARestart:
    async def test_begins_a_run_anew_that_was_cut_off(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        script.text = HANG
        everything = (tmp_path, database, journal, clock)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            job_id = await place.sent()
            await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
        assert rows(doors.gate, scrubs)[0]["state"] == "running"
        script.text = SPLIT
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            told = await comes(lambda: known(place, job_id), lambda told: told == "done")
            assert told == "done"
            assert not [name for name in place.files() if "run-" in name]
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await comes(lambda: known(place, job_id), lambda told: told == "done")
            assert (await place.doors.ask("GET", f"{PATH}/{job_id}"))[1]["summary"] == {"rows": 3}
        assert script.begun == [job_id, job_id]

    async def test_leaves_no_task_of_the_one_before(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        before = asyncio.all_tasks()
        async with open_doors(tmp_path, database, journal, clock, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await place.over(await place.sent())
        for _ in range(3):
            await asyncio.sleep(0)
        left = [task.get_coro() for task in asyncio.all_tasks() - before]
        assert [coro for coro in left if "Event.wait" in getattr(coro, "__qualname__", "")] == []

    async def test_removes_the_list_of_a_scrub_that_had_ended(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        everything = (tmp_path, database, journal, clock)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            job_id = await place.sent()
            await place.over(job_id)
            files = place.files()
        (tmp_path / "scrubs" / job_id / "in.csv").write_bytes(LIST)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == files)

    async def test_removes_what_expired_meanwhile_and_what_belongs_to_nobody(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        everything = (tmp_path, database, journal, clock)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await place.over(await place.sent())
        (tmp_path / "scrubs" / "stray").mkdir()
        (tmp_path / "scrubs" / "stray" / "in.csv").write_bytes(LIST)
        clock.advance(days=7)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == [])
            await comes(
                lambda: asyncio.sleep(0, rows(doors.gate, scrubs)), lambda found: found == []
            )


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


class TestAListThatIsNotTaken:
    async def test_leaves_nothing_behind(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing = Failing(place.doors.gate, monkeypatch)
        assert (await place.send())[0] == 503
        assert place.files() == []
        failing.on = False
        await place.over(await place.sent())

    async def test_because_the_disk_has_no_room(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("callguard.web.scrub_incoming.shutil.disk_usage", lambda _: Usage(3))
        status, answer = await place.send()
        assert (status, answer["error"]) == (507, "the disk has no room for the list")
        assert place.files() == []

    async def test_because_the_disk_is_full_halfway(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("callguard.web.scrub_incoming.os.write", full)
        status, answer = await place.send()
        assert (status, "No space left" in answer["error"]) == (507, True)
        monkeypatch.undo()
        assert place.files() == []

    @pytest.mark.parametrize("limits", [Scrubs(reserve_bytes=0, max_bytes=len(LIST) - 1)])
    async def test_because_it_is_too_long(self, place: Place) -> None:
        assert (await place.send())[0] == 413
        await place.over((await place.send(LIST[:-1]))[1]["id"])

        async def unmeasured() -> AsyncIterator[bytes]:
            yield LIST

        async with place.doors.client.post(
            place.doors.address + WHERE, data=unmeasured(), headers={**BEARER, **CSV}
        ) as answer:
            assert answer.status == 413

    @pytest.mark.parametrize("limits", [Scrubs(reserve_bytes=0, max_waiting=1)])
    async def test_because_too_many_are_here(self, place: Place) -> None:
        job_id = await place.sent()
        assert (await place.send())[0] == 507
        await place.doors.ask("DELETE", f"{PATH}/{job_id}")
        assert (await place.send())[0] == 202

    @pytest.mark.parametrize(
        ("query", "where"),
        [
            ("", "tenant"),
            ("tenant=nobody", "tenant"),
            ("tenant=acme&tenant=beta", ""),
            ("tenant=acme&purpose=fun", "purpose"),
            ("tenant=acme&at=noon", "at"),
            ("tenant=acme&at=2026-01-01T10:00", "at"),
            ("tenant=acme&delimiter=ab", "delimiter"),
            ("tenant=acme&column=", "column"),
            ("tenant=acme&config=/etc/passwd", "config"),
        ],
    )
    async def test_because_the_question_is_wrong(
        self, place: Place, query: str, where: str
    ) -> None:
        status, answer = await place.send(query=query)
        assert (status, answer["where"]) == (400, where)
        assert place.files() == []

    async def test_because_it_is_empty_or_no_csv(self, place: Place) -> None:
        assert (await place.send(b""))[0] == 400
        json_type = {"Content-Type": "application/json"}
        assert (await place.doors.ask("POST", WHERE, LIST, **json_type))[0] == 415
        assert place.files() == []

    async def test_because_it_stops_coming(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scrub_api, "IDLE_S", 0.05)

        async def stuck() -> AsyncIterator[bytes]:
            yield LIST
            await asyncio.sleep(1)

        async with place.doors.client.post(
            place.doors.address + WHERE, data=stuck(), headers={**BEARER, **CSV}
        ) as answer:
            assert answer.status == 408
        assert place.files() == []

    async def test_because_whoever_sent_it_left(self, place: Place) -> None:
        host, port = place.doors.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {WHERE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        head += f"Authorization: {BEARER['Authorization']}\r\nContent-Length: 99999\r\n\r\n"
        writer.write(head.encode() + LIST)
        await writer.drain()
        await comes(lambda: asyncio.sleep(0, place.files()), lambda found: len(found) == 2)
        writer.close()
        await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == [])


async def test_the_token_of_the_api_is_needed_everywhere(place: Place) -> None:
    job_id = await place.sent()
    for method, path in (
        ("POST", WHERE),
        ("GET", f"{PATH}/{job_id}"),
        ("GET", f"{PATH}/{job_id}/may-call"),
        ("DELETE", f"{PATH}/{job_id}"),
    ):
        for token in ("wrong", SMS_TOKEN):
            status, _ = await place.doors.ask(method, path, None, token=token)
            assert status == 401
    await place.over(job_id)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", PATH, 405),
        ("PUT", f"{PATH}/x", 405),
        ("DELETE", f"{PATH}/x/may-call", 405),
        ("GET", f"{PATH}/x", 404),
        ("DELETE", f"{PATH}/x", 404),
        ("GET", f"{PATH}/..%2F..%2Fetc", 404),
        ("GET", f"{PATH}/x/may-call", 404),
    ],
)
async def test_what_is_not_there_is_said_in_json(
    place: Place, method: str, path: str, status: int
) -> None:
    got, answer = await place.doors.ask(method, path)
    assert (got, set(answer)) == (status, {"error", "where"})


async def test_a_file_of_another_name_is_not_handed_out(place: Place) -> None:
    job_id = await place.sent()
    await place.over(job_id)
    for name in ("in.csv", "list.csv", "..%2F..%2Fapi.token"):
        status, _ = await place.doors.ask("GET", f"{PATH}/{job_id}/{name}")
        assert status == 404, name


def test_the_command_is_that_of_the_command_line(clock: HandClock, tmp_path: Path) -> None:
    asked = {"header": "no", "dialler": "machine", "column": "--config=x"}
    job = Job("j", "acme", "queued", asked, "api", clock.now(), clock.now())
    command = CommandScrubber(Path("/etc/c.toml")).command(job, Path("in.csv"), tmp_path)
    assert command[1:6] == ["-m", "callguard", "scrub", "in.csv", str(tmp_path / "list.csv")]
    assert set(command[6:]) == {
        "--config=/etc/c.toml",
        "--json",
        "--progress",
        "--tenant=acme",
        "--no-header",
        "--machine",
        "--column=--config=x",
    }


def test_a_service_without_a_file_of_settings_says_that_it_cannot_scrub(clock: HandClock) -> None:
    job = Job("j", "acme", "queued", {}, "api", clock.now(), clock.now())
    with pytest.raises(ScrubError, match="without a file of settings"):
        CommandScrubber(None).command(job, Path("in.csv"), Path("out"))


async def test_a_real_list_is_scrubbed_by_the_command_line(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock
) -> None:
    two_tenants(database, clock)
    config = tmp_path / "callguard.toml"
    config.write_text(f"data = {json.dumps(str(tmp_path))}\n")
    scrubber = CommandScrubber(config)
    async with open_doors(tmp_path, database, journal, clock, scrubber=scrubber) as doors:
        place = Place(doors, Script(), tmp_path / "scrubs")
        said = {"tenant": "acme", "number": PARTY}
        assert (await doors.ask("POST", "/api/v1/opt-outs", said))[0] == 200
        sent = await place.sent()
        told = await comes(
            lambda: place.state(sent), lambda told: told["state"] not in ("queued", "running")
        )
        assert told["state"] == "done", told["reason"]
        assert told["summary"]["rows"] == 2
        assert "files" not in told["summary"]
        async with doors.client.get(
            f"{doors.address}{PATH}/{sent}/must-not", headers=BEARER
        ) as fetched:
            assert PARTY in await fetched.text()
        _, answer = await place.send(b"a,b\n1,2\n", query="tenant=acme&column=c")
        told = await place.over(answer["id"], "failed")
        assert told["reason"]
        assert "\n" not in told["reason"]


async def known(place: Place, job_id: str) -> str:
    """The state of a list, once the lists of before are read."""
    status, answer = await place.doors.ask("GET", f"{PATH}/{job_id}")
    return str(answer["state"]) if status == 200 else ""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Usage:
    free: int
