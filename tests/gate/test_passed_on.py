"""A call that is passed on stays its tenant's, and whoever is passed on is no agent."""

import asyncio
from pathlib import Path

import pytest

from callguard.gate.callbook import Call
from callguard.gate.decide import is_passed_on
from callguard.gate.request import Request, read_request
from callguard.policy.facts import Direction
from callguard.storage.schema import calls
from tests.clock import HandClock
from tests.gate.conversations import ELSE, recorded_call, trunk_house
from tests.harness.virtual import virtual_time
from tests.house import NOTICE, PARTY

FIRST = "01a1f8d3-ea00-74ca-a010-43adadd932dd"


def asked(uniqueid: str, passed_from: str) -> Request:
    values, query = {"agi_uniqueid": uniqueid}, {"pbx": "east", "from": passed_from}
    return read_request("outbound", values, query)


def before(direction: Direction, *, passed_on: bool = False) -> Call:
    return Call(
        id=FIRST,
        tenant="acme",
        pbx="east",
        uniqueid="1.1",
        direction=direction,
        purpose="service",
        subject=PARTY,
        allowed=True,
        obligations=frozenset(),
        decided_at=HandClock().now(),
        passed_on=passed_on,
    )


@pytest.mark.parametrize(
    ("uniqueid", "passed_from", "origin", "passed_on"),
    [
        ("1.1", "", None, False),
        ("1.1", FIRST, None, True),
        ("1.1", FIRST, before("outbound"), False),
        ("1.1", FIRST, before("outbound", passed_on=True), True),
        ("1.1", FIRST, before("inbound"), True),
        ("1.2", FIRST, before("outbound"), True),
    ],
)
def test_only_who_placed_the_call_before_places_the_next(
    uniqueid: str, passed_from: str, origin: Call | None, passed_on: bool
) -> None:
    assert is_passed_on(asked(uniqueid, passed_from), origin) == passed_on


@virtual_time
async def test_a_blind_transfer_that_names_no_tenant_is_the_first_calls(tmp_path: Path) -> None:
    async with trunk_house(tmp_path, shown_number="+442079460998") as home:
        call = await recorded_call(home)
        for side in (call.side("agent"), call.side("party")):
            side.variables.set("__TENANT", "")
        await call.blind_transfer("agent", to=ELSE)
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.hears_all(NOTICE)
        await third.is_connected()
        known = home.service.gate.calls.all()
        outside = home.service.recordings.speaks_outside
        party = call.side("party").uniqueid
        assert [one.passed_on for one in known] == [True]
        assert outside("asterisk", party)
        assert await home.service.gate.recall(known[0].id) == known[0]
        rows = home.rows(calls)
        first = await home.service.gate.recall(rows[0]["id"])
        assert first is not None
        assert home.service.gate.calls.get(first.id) is None
        await asyncio.sleep(1)
        await third.hangs_up()
        await call.ended()
        assert await home.service.gate.recall(rows[0]["id"]) is None
    assert [row["tenant_id"] for row in rows] == ["acme", "acme"]
    assert [row["caller"] for row in rows] == ["+442079460998"] * 2
