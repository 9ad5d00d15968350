"""A tenant whose contract ends while the service runs: from its instant on no call is its own, and
the one under way goes on."""

import asyncio
from datetime import timedelta
from pathlib import Path

from callguard.clock import Clock
from callguard.retention.termination.asking import Wanted, ask
from callguard.storage.schema import (
    call_records,
    calls,
    recordings,
    tenant_endpoints,
    terminations,
)
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, NOTICE, PARTY, House, house


def end(home: House, clock: Clock, seconds: float) -> None:
    """As the command line does, in another process."""
    at = clock.now()
    with home.service.database.writing() as connection:
        ask(connection, Wanted("acme", at + timedelta(seconds=seconds)), at=at, actor="test")


@virtual_time
async def test_no_call_is_taken_and_the_one_under_way_is_let_finish(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        before = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await before.carrier_answers()
        await before.hears_all(NOTICE)
        end(home, current_clock(), 3)
        await before.talk(seconds=6)
        named = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await named.expect_verdict("block")
        await named.ended()
        line = home.pbx.outbound(PARTY)
        await line.expect_verdict("block")
        await line.ended()
        incoming = home.pbx.inbound(PARTY, did=DID)
        await incoming.agent_answers()
        await incoming.is_connected()
        await incoming.hangs_up("party")
        connected = await incoming.ended()
        await before.hangs_up("party")
        outcome = await before.ended()
        await home.settled()
        found = home.rows(calls)
        recording = home.one(recordings)
        records = home.rows(call_records)
    assert outcome.connected
    assert outcome.recorded_samples >= 6 * 8000
    assert (recording["state"], recording["tenant_id"]) == ("sealed", "acme")
    assert connected.connected
    assert connected.heard == ()
    assert [row["tenant_id"] for row in found] == ["acme", None, None, None]
    assert "the contract of tenant 'acme' has ended" in str(found[1]["reasons"])
    assert "acme" in {row["tenant_id"] for row in records}


@virtual_time
async def test_a_call_of_before_that_is_answered_after_the_end_is_not_recorded(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.expect_verdict("allow")
        end(home, current_clock(), 0)
        await asyncio.sleep(2)
        await call.carrier_answers()
        await call.talk(seconds=2)
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        rows = home.rows(recordings)
    assert outcome.connected
    assert rows == []


@virtual_time
async def test_the_service_carries_the_end_out_by_itself(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        end(home, current_clock(), -31 * 86_400)
        await asyncio.sleep(70)
        one = home.one(terminations)
        lines = home.rows(tenant_endpoints)
        faults = home.service.vault.terminations.faults
    assert (one["state"], faults, lines) == ("finished", {}, [])
