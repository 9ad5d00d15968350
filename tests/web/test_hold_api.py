"""``/api/v1/holds``: placed, listed, released."""

from datetime import timedelta
from typing import Any

from callguard.web.hold_api import PATH, RELEASE_PATH
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.gate.preflights import PARTY
from tests.retention.rows import put
from tests.web.doors import Doors, doors

__all__ = ["clock", "database", "doors", "journal"]

REVIEW = {"reason": "a claim", "review": "2099-01-31T00:00:00+01:00"}


async def place(doors: Doors, **what: Any) -> tuple[int, Any]:
    return await doors.ask("POST", PATH, {**REVIEW, **what})


async def listed(doors: Doors, query: str = "") -> list[str]:
    status, told = await doors.ask("GET", PATH + query)
    assert status == 200
    return [one["hold"] for one in told["holds"]]


async def test_a_hold_is_placed_once_listed_and_released(doors: Doors, clock: HandClock) -> None:
    put(doors.gate.database, "call_record", 1, clock.now())
    status, first = await place(doors, tenant="acme", case="C-17")
    assert (status, first["already"], first["author"]) == (201, False, "api")
    assert (first["review"], first["covers"]) == ("2099-01-30T23:00:00+00:00", {"call_record": 1})
    status, again = await place(doors, tenant="acme", case="C-17")
    assert (status, again["already"], again["hold"]) == (200, True, first["hold"])
    period = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    _, second = await place(doors, tenant="acme", subject="020 7946 0123", case="C-18", **period)
    assert (second["subject"], second["from"]) == (PARTY, "2026-01-01T00:00:00+00:00")
    assert await listed(doors) == [first["hold"], second["hold"]]
    assert await listed(doors, "?case=C-18") == [second["hold"]]
    assert await listed(doors, "?tenant=beta") == []
    status, told = await doors.ask("POST", RELEASE_PATH, {"case": "C-17"})
    assert (status, told) == (200, {"released": [first["hold"]], "due": {"call_record": 1}})
    status, told = await doors.ask("POST", RELEASE_PATH, {"holds": [first["hold"]]})
    assert status == 409
    assert "released already" in told["error"]
    assert await listed(doors) == [second["hold"]]


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 409, "ask for everything"),
    ({"tenant": "nobody"}, 409, "there is no tenant nobody"),
    ({"call": "x"}, 409, "there is no call x"),
    ({"subject": "twelve"}, 400, "that is no number"),
    ({"tenant": "acme", "from": "2026-01-01"}, 400, ""),
    ({"tenant": "acme", "review": "2020-01-01T00:00:00Z"}, 409, "lies in the future"),
    ({"tenant": "acme", "until": "x"}, 400, "there is no such key"),
    ({"everything": True, "tenant": "acme"}, 409, "names no tenant"),
]


async def test_what_cannot_be_held_is_refused(doors: Doors) -> None:
    for what, status, error in REFUSED:
        said, told = await place(doors, **what)
        assert said == status, what
        assert error in told["error"]
        assert "\n" not in told["error"]
    assert await listed(doors) == []


async def test_nobody_without_the_token_and_nothing_by_halves(doors: Doors) -> None:
    for method, path in (("GET", PATH), ("POST", PATH), ("POST", RELEASE_PATH)):
        status, _ = await doors.ask(method, path, {} if method == "POST" else None, token="x" * 43)
        assert status == 401
    _, placed = await place(doors, everything=True)
    for asked in ({}, {"holds": [placed["hold"]], "case": "C"}):
        status, _ = await doors.ask("POST", RELEASE_PATH, asked)
        assert status == 400
    status, _ = await doors.ask("POST", RELEASE_PATH, {"holds": [placed["hold"], "other"]})
    assert status == 409
    assert await listed(doors) == [placed["hold"]]


async def test_a_review_that_is_overdue_is_told(doors: Doors, clock: HandClock) -> None:
    soon = (clock.now() + timedelta(days=1)).isoformat()
    await place(doors, tenant="acme", review=soon)
    _, told = await doors.ask("GET", PATH)
    assert [one["overdue"] for one in told["holds"]] == [False]
    clock.advance(days=1)
    _, told = await doors.ask("GET", PATH)
    assert [one["overdue"] for one in told["holds"]] == [True]
