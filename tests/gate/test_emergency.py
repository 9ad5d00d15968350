"""Emergency calls pass: whatever was mistyped, locked, stale or frozen, and never recorded."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from callguard.gate.knowledge import STALE_OPT_OUTS_S
from callguard.storage.schema import calls, consents, recordings
from tests.harness.virtual import virtual_time
from tests.house import DID, House, furnish, house, serving, simulated_pbx

BRAZILIAN = "190"
"""Of Brazil; the dialplan's own list, which never asks the gate, does not have it."""


async def is_kept(home: House) -> None:
    """All that was given to the journal so far is in the database."""
    await home.service.journal.write(lambda _: None)


@asynccontextmanager
async def operator_in_brazil(folder: Path, *, tenant_region: str) -> AsyncIterator[House]:
    """A house of which the PBX stands in Brazil, wherever the tenant is at home."""
    settings, identity = furnish(folder, home_region=tenant_region)
    pbx = simulated_pbx(folder)
    brazilian = settings.model_copy(update={"home_region": "BR"})
    async with pbx, serving(brazilian, pbx) as service:
        yield House(service, pbx, folder, identity)


@pytest.mark.parametrize(
    ("tenant", "purpose"), [("acme", "sales"), ("acme", ""), ("nobody", ""), ("nobody", "sales")]
)
@virtual_time
async def test_nothing_that_was_mistyped_holds_an_emergency_call_back(
    tmp_path: Path, tenant: str, purpose: str
) -> None:
    async with operator_in_brazil(tmp_path, tenant_region="BR") as home:
        call = home.pbx.outbound(BRAZILIAN, tenant=tenant, purpose=purpose)
        await call.expect_verdict("emergency")
        await call.carrier_answers()
        await call.talk(seconds=1)
        await call.hangs_up("party")
        outcome = await call.ended()
        await is_kept(home)
        row = home.one(calls)
    assert outcome.connected
    assert (row["verdict"], row["subject"]) == ("allow", "BR:190")


@virtual_time
async def test_the_place_of_the_pbx_counts_for_a_tenant_from_elsewhere(tmp_path: Path) -> None:
    async with operator_in_brazil(tmp_path, tenant_region="GB") as home:
        call = home.pbx.outbound(BRAZILIAN, tenant="acme")
        await call.expect_verdict("emergency")
        await call.carrier_answers()
        await call.talk(seconds=2)
        await call.hangs_up("party")
        outcome = await call.ended()
        await is_kept(home)
        row, announced, recorded = home.one(calls), home.rows(consents), home.rows(recordings)
    assert outcome.connected
    assert outcome.heard == ()
    assert outcome.recorded_samples == 0
    assert (announced, recorded) == ([], [])
    assert row["obligations"] == ["do_not_record"]
    assert row["reasons"] == ["190 is an emergency number in BR"]


@virtual_time
async def test_an_emergency_call_does_not_wait_for_its_own_row(tmp_path: Path) -> None:
    async with house(tmp_path, home_region="BR") as home:
        go_on = threading.Event()

        def hold(_: Connection) -> None:
            go_on.wait(10)

        holding = asyncio.create_task(home.service.journal.write(hold, timeout=60))
        call = home.pbx.outbound(BRAZILIAN, tenant="acme")
        await call.is_dialled()
        before = home.rows(calls)
        go_on.set()
        await holding
        await is_kept(home)
        row = home.one(calls)
        await call.hangs_up("agent")
        await call.ended()
    assert before == []
    assert (row["verdict"], row["subject"]) == ("allow", "BR:190")


@virtual_time
async def test_a_service_that_freezes_before_the_answer_leaves_no_dead_air(tmp_path: Path) -> None:
    async with house(tmp_path, home_region="BR") as home:
        call = home.pbx.outbound(BRAZILIAN, tenant="acme")
        await call.is_dialled()
        home.pbx.network.freeze()
        await call.carrier_answers(after=0.5)
        await call.is_connected(within=0.1)
        home.pbx.network.thaw()
        await call.hangs_up("agent")
        outcome = await call.ended()
        asked = [note.detail for note in outcome.notes if note.kind == "agi"]
        kept = home.one(calls)
    assert len(asked) == 1
    assert outcome.cdr["userfield"] == "emergency"
    assert kept["verdict"] == "allow"


@virtual_time
async def test_opt_outs_that_cannot_be_read_hold_no_emergency_call_back(tmp_path: Path) -> None:
    async with house(tmp_path, home_region="BR") as home:
        home.service.gate.opt_outs_read_at = -2 * STALE_OPT_OUTS_S
        assert home.service.gate.stale_opt_outs() is not None
        call = home.pbx.outbound(BRAZILIAN, tenant="acme")
        await call.expect_verdict("emergency")
        await call.hangs_up("agent")
        await call.ended()


@virtual_time
async def test_an_emergency_number_that_calls_in_is_a_caller_like_any_other(tmp_path: Path) -> None:
    async with house(tmp_path, home_region="BR") as home:
        call = home.pbx.inbound(BRAZILIAN, did=DID)
        await call.agent_answers()
        await call.talk(seconds=1)
        await call.hangs_up("party")
        await call.ended()
        row = home.one(calls)
    assert (row["direction"], row["verdict"]) == ("inbound", "allow")
    assert row["obligations"] == ["play_notice"]
