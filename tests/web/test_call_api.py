"""Programs see the calls under way and act on them."""

from dataclasses import replace
from typing import Any

import pytest

from callguard.storage.schema import consents
from callguard.web.call_api import MOST
from tests.databases import clock, database, journal
from tests.gate.preflights import rows
from tests.web.doors import Doors, Failing, doors
from tests.web.recorded import CALL_ID, SUBJECT
from tests.web.state import BUSY, CALL, EMPTY

__all__ = ["clock", "database", "doors", "journal"]

CALLS = "/api/v1/calls"
RECORDING = f"{CALLS}/{CALL_ID}/recording"
OPT_OUT = f"{CALLS}/{CALL_ID}/opt-out"
HEBREW = "דנה כהן"


async def acts(doors: Doors, action: str, **more: str) -> tuple[int, Any]:
    return await doors.ask("POST", RECORDING, {"action": action, **more})


async def test_the_calls_under_way_are_told_masked_and_with_their_reasons(doors: Doors) -> None:
    silent = replace(CALL, tenant="beta", recording="silent", reasons=("not told: 7.1",), mode="")
    doors.source.now = replace(BUSY, calls=(CALL, silent))
    status, told = await doors.ask("GET", CALLS)
    assert (status, told["total"]) == (200, 2)
    assert told["calls"][0] == {
        "id": CALL.id,
        "tenant": "acme",
        "direction": "outbound",
        "purpose": "marketing",
        "subject": "+4420••••0123",
        "since": "2026-03-04T11:58:00+00:00",
        "recording": "recorded",
        "reasons": [],
        "consent": "granted",
        "mode": "notice",
    }
    (other,) = (await doors.ask("GET", f"{CALLS}?tenant=beta"))[1]["calls"]
    assert (other["recording"], other["reasons"], other["mode"]) == (
        "silent",
        ["not told: 7.1"],
        None,
    )
    doors.source.now = replace(EMPTY, calls=(CALL,) * (MOST + 1))
    _, many = await doors.ask("GET", CALLS)
    assert (len(many["calls"]), many["total"]) == (MOST, MOST + 1)


async def test_what_cannot_be_read_is_not_an_empty_list(doors: Doors) -> None:
    doors.source.error = TimeoutError()
    status, told = await doors.ask("GET", CALLS)
    assert (status, "cannot be read" in told["error"]) == (503, True)
    assert (await doors.ask("GET", f"{CALLS}?tenant=a&tenant=b"))[0] == 400
    assert (await doors.ask("GET", f"{CALLS}?number=1"))[0] == 400


async def test_each_action_is_done_and_done_again(doors: Doors) -> None:
    for action, now in (
        ("pause", "paused"),
        ("resume", "resumed"),
        ("stop", "stopped"),
        ("withdraw", "erased"),
    ):
        for _ in range(2):
            answer = {"call": CALL_ID, "action": action, "result": "done", "now": now}
            assert await acts(doors, action) == (200, answer)
    assert doors.recorded.did == [
        ("pause", "api"),
        ("pause", "api"),
        ("resume", "api"),
        ("stop", "api"),
    ]
    (row,) = rows(doors.gate, consents)
    assert (row["state"], row["subject"], row["actor"]) == ("withdrawn", SUBJECT, "api")
    status, told = await acts(doors, "resume")
    assert (status, "not resumed" in told["error"], told["where"]) == (409, True, "action")
    status, told = await acts(doors, "pause")
    assert (status, told["result"], told["now"]) == (200, "nothing_recorded", "unchanged")


async def test_who_asked_is_kept_in_any_script(doors: Doors) -> None:
    assert (await acts(doors, "withdraw", actor=f"  {HEBREW} "))[0] == 200
    (row,) = rows(doors.gate, consents)
    assert (row["actor"], row["proof"]) == (HEBREW, "api")
    for _ in range(2):
        status, told = await doors.ask("POST", OPT_OUT, {"actor": HEBREW})
        assert (status, told["result"], told["now"]) == (200, "done", "opted_out")
    (wish,) = doors.written()
    assert (wish["subject"], wish["way"], wish["actor"]) == (SUBJECT, "api", HEBREW)
    assert doors.standing(SUBJECT) == ["acme"]


async def test_what_could_not_be_done_is_not_confirmed(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors.recorded.works = False
    for action in ("pause", "stop"):
        status, told = await acts(doors, action)
        assert (status, told["error"]) == (503, "that could not be done; ask again")
    assert doors.gate.counts.faults == {"recording_not_paused": 1, "recording_not_stopped": 1}
    doors.recorded.works = True
    failing = Failing(doors.gate, monkeypatch)
    assert (await doors.ask("POST", OPT_OUT, {}))[0] == 503
    status, told = await acts(doors, "withdraw")
    assert (status, told["result"], told["now"]) == (202, "pending", "stopped")
    failing.on = False
    assert (await acts(doors, "withdraw"))[1]["result"] == "done"
    assert len(rows(doors.gate, consents)) == 1


async def test_a_call_that_has_ended_or_never_was_is_one_clear_line(doors: Doors) -> None:
    doors.gate.calls.end("asterisk", doors.call.uniqueid)
    for call_id in (CALL_ID, "1", "x" * 200, CALL_ID.upper()):
        for path, body in (("recording", {"action": "stop"}), ("opt-out", {})):
            answer = await doors.ask("POST", f"{CALLS}/{call_id}/{path}", body)
            assert answer == (
                404,
                {"error": "no call of this id is under way", "where": "id"},
            )
    assert doors.recorded.did == []


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b"", 400, ""),
        (b"[]", 400, ""),
        ({"action": "start"}, 400, "action"),
        ({"action": "optout"}, 400, "action"),
        ({}, 400, "action"),
        ({"action": "stop", "by": "agent"}, 400, "by"),
        ({"action": "stop", "actor": "x" * 129}, 400, "actor"),
        ({"action": "stop", "actor": "a\nb"}, 400, "actor"),
        (b"x" * 5_000, 413, ""),
    ],
)
async def test_what_is_not_understood_does_nothing(
    doors: Doors, body: Any, status: int, where: str
) -> None:
    got, told = await doors.ask("POST", RECORDING, body, **{"Content-Type": "application/json"})
    assert (got, told["where"]) == (status, where)
    assert doors.recorded.did == []


async def test_nobody_acts_without_the_token_or_from_another_site(doors: Doors) -> None:
    for method, path, body in (
        ("GET", CALLS, None),
        ("POST", RECORDING, {"action": "stop"}),
        ("POST", OPT_OUT, {}),
    ):
        assert (await doors.ask(method, path, body, token="x" * 40))[0] == 401
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert (await doors.ask(method, path, body, **elsewhere))[0] == 403
    assert (await doors.ask("GET", RECORDING))[0] == 405
    assert (await doors.ask("POST", CALLS, {}))[0] == 405
    assert doors.recorded.did == []
