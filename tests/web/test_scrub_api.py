"""``/api/v1/scrubs``: a list comes in, is scrubbed beside the service, and is handed out."""

import json
from pathlib import Path

import pytest

from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import scrubs
from callguard.web.scrub_api import FILES, PATH, CommandScrubber
from callguard.web.scrub_incoming import ScrubError
from callguard.web.scrub_job import Job
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.gate.preflights import PARTY, rows
from tests.web.doors import SMS_TOKEN, open_doors, two_tenants
from tests.web.scrub_place import (
    BEARER,
    HANG,
    LIST,
    SPLIT,
    WHERE,
    Place,
    Script,
    comes,
    limits,
    place,
    script,
)

__all__ = ["clock", "database", "journal", "limits", "place", "script"]


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
