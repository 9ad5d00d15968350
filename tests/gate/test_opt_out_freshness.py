"""An opt-out entered anywhere binds at once; where none can be seen, nobody is called."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert
from sqlalchemy.exc import OperationalError

from callguard.follower import REFRESH_S
from callguard.gate.callbook import NOT_GIVEN, read_call
from callguard.gate.knowledge import STALE_OPT_OUTS_S
from callguard.gate.opt_out import opt_out
from callguard.optout.events import OptOutEvent, add
from callguard.retention.backup.aftermath import reopen
from callguard.storage.database import Database
from callguard.storage.schema import calls, consents, purges
from callguard.tenants.directory import TenantDirectory
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, PARTY, House, furnish, house, serving, simulated_pbx

NO_GATE = 42
REJECTED = 21
OTHER = "+442079460777"


def unreadable(*_: object, **__: object) -> None:
    raise OperationalError("SELECT 1", {}, RuntimeError("disk I/O error"))


def enters_opt_out(home: House, subject: str) -> None:
    """As another process does, the command line for one."""
    event = OptOutEvent(subject, "acme", True, "cli", "x", current_clock().now())
    with home.service.database.writing() as connection:
        add(connection, event)


@virtual_time
async def test_opt_outs_that_cannot_be_read_end_outbound_calls_and_readiness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        with monkeypatch.context() as broken:
            broken.setattr("callguard.follower.after", unreadable)
            enters_opt_out(home, PARTY)
            await asyncio.sleep(STALE_OPT_OUTS_S + 2)
            refused = await home.pbx.outbound(OTHER, tenant="acme").ended()
            refused_row = home.one(calls)
            call = home.pbx.inbound(OTHER, did=DID)
            await call.agent_answers()
            await call.is_connected()
            await call.hangs_up("party")
            await call.ended()
            blind = await home.service.overview.status()
        await asyncio.sleep(1)
        seeing = await home.service.overview.status()
        healed = await home.whole_call(OTHER)
        bound = await home.pbx.outbound(PARTY, tenant="acme").ended()
    assert not refused.carrier_invited
    assert refused.hangup_cause == REJECTED
    assert refused_row["verdict"] == "block"
    assert [finding["rule"] for finding in refused_row["findings"]] == ["gate.opt-outs"]
    assert "opt-outs could not be read for" in refused_row["reasons"][0]
    assert any("opt-outs could not be read" in reason for reason in blind.not_ready)
    assert seeing.ready
    assert healed.connected
    assert not bound.carrier_invited


@virtual_time
async def test_a_short_hiccup_of_the_database_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        with monkeypatch.context() as broken:
            broken.setattr("callguard.follower.after", unreadable)
            await asyncio.sleep(STALE_OPT_OUTS_S - 2)
            outcome = await home.whole_call()
        assert outcome.connected


@virtual_time
async def test_a_database_that_answers_no_reader_is_taken_for_unread_opt_outs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:

        async def silent(*_: object, **__: object) -> None:
            raise TimeoutError

        with monkeypatch.context() as broken:
            broken.setattr(home.service.database, "read", silent)
            await asyncio.sleep(STALE_OPT_OUTS_S + 2)
            outcome = await home.pbx.outbound(PARTY, tenant="acme").ended()
    assert not outcome.carrier_invited


@virtual_time
async def test_a_list_that_was_read_in_is_in_force_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many came at once: the image is fresh only when a look has found nothing more."""
    monkeypatch.setattr("callguard.follower.PAGE", 2)
    async with house(tmp_path) as home:
        for number in range(9):
            enters_opt_out(home, f"+44207946012{number}")
        await asyncio.sleep(2 * REFRESH_S)
        outcomes = [
            await home.pbx.outbound(f"+44207946012{number}", tenant="acme").ended()
            for number in range(9)
        ]
    assert not any(outcome.carrier_invited for outcome in outcomes)


@virtual_time
async def test_tenants_that_cannot_be_read_do_not_hide_an_opt_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        with monkeypatch.context() as broken:
            broken.setattr(TenantDirectory, "refresh", unreadable)
            await asyncio.sleep(2)
            enters_opt_out(home, PARTY)
            await asyncio.sleep(1)
            bound = await home.pbx.outbound(PARTY, tenant="acme").ended()
            free = await home.whole_call(OTHER)
    assert bound.hangup_cause == REJECTED
    assert free.connected


@virtual_time
async def test_an_opt_out_that_overtakes_the_commit_withdraws_the_verdict(tmp_path: Path) -> None:
    """The facts of a verdict are as old as its commit takes; what was wished meanwhile counts."""
    async with house(tmp_path) as home:
        await home.whole_call()
        gate, journal = home.service.gate, home.service.journal
        first = home.one(calls)["id"]
        with home.service.database.reading() as connection:
            earlier = read_call(connection, first)
        assert earlier is not None
        go_on = threading.Event()

        def hold(_: Connection) -> None:
            go_on.wait(10)

        holding = asyncio.create_task(journal.write(hold, timeout=60))
        wishing = asyncio.create_task(opt_out(gate, earlier, way="feature_code", prompt=None))
        await asyncio.sleep(0)
        before = journal.state().pending
        call = home.pbx.outbound(PARTY, tenant="acme")
        while journal.state().pending == before:
            await asyncio.sleep(0)
        go_on.set()
        await holding
        entered = await wishing
        outcome = await call.ended()
        await journal.write(lambda _: None)
        row = home.rows(calls)[-1]
        announced = home.rows(consents)
    assert entered
    assert not outcome.carrier_invited
    assert outcome.hangup_cause == NO_GATE
    assert (row["verdict"], row["reasons"]) == ("block", [NOT_GIVEN])
    assert len(announced) == 1


@virtual_time
async def test_after_a_restore_nobody_is_called_before_the_opt_outs_since_are_entered(
    tmp_path: Path,
) -> None:
    settings, identity = furnish(tmp_path)
    now = current_clock().now()
    told = {"made_at": (now - timedelta(days=3)).isoformat()}
    row = {"kind": "restore", "started_at": now, "finished_at": now, "certificate": told}
    database = Database(settings.database_url)
    with database.writing() as connection:
        connection.execute(insert(purges).values(id="r", **row))
    database.close()
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        home = House(service, pbx, tmp_path, identity)
        refused = await pbx.outbound(PARTY, tenant="acme").ended()
        reason = home.one(calls)["reasons"][0]
        alarms = (await service.overview.status()).alarms
        with service.database.writing() as connection:
            reopen(connection, now, "ann", "list of Thursday imported")
        await asyncio.sleep(2 * REFRESH_S)
        let_through = await home.whole_call(PARTY)
        later = (await service.overview.status()).alarms
    assert not refused.carrier_invited
    assert "opt-outs, withdrawals and holds since then are missing" in reason
    assert reason in alarms
    assert let_through.connected
    assert reason not in later
