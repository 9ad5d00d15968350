"""What goes wrong in one room, or in one row, is told, and takes no more down than it must."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from callguard.config import Settings
from callguard.gate.callbook import YOUNG_S, Call, CallBook
from callguard.service import Service
from callguard.service.running import GRACE_S
from callguard.storage.database import Database
from callguard.storage.schema import call_records, tenants
from tests.gate.forwarding import DIALPLAN
from tests.harness.playbook import Pbx
from tests.harness.virtual import START, current_clock, real_io, virtual_time
from tests.house import DID, PARTY, PROMPTS, House, furnish, house, serving, simulated_pbx

UNKNOWN_SETTINGS = {"home_region": "GB", "of_a_later_version": True}


def unreadable(*_: object, **__: object) -> None:
    raise OperationalError("SELECT 1", {}, RuntimeError("unable to open database file"))


@virtual_time
async def test_a_keeper_that_cannot_read_how_far_it_was_waits_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:

        async def fail(*_: object) -> None:
            raise OSError("EIO")

        keeper = home.service.keepers["asterisk"]
        with monkeypatch.context() as broken:
            broken.setattr(keeper, "catch_up", fail)  # so that it asks for its cursor again
            broken.setattr("callguard.cdr.keeper.read_cursor", unreadable)
            await asyncio.sleep(3)
        await home.whole_call()
        await home.settled()
        kept = home.one(call_records)
    assert kept["source"] == "file"


@virtual_time
async def test_a_keeper_that_cannot_write_a_record_leaves_it_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        with monkeypatch.context() as broken:
            broken.setattr("callguard.cdr.keeper.keep", unreadable)
            await home.whole_call()
            await asyncio.sleep(3)
        await home.settled()
        kept = home.one(call_records)
        left = home.service.keepers["asterisk"].counts.left_to_file
    assert kept["source"] == "file"
    assert left == 1


def spoil(database: Database) -> None:
    """A row that a later version wrote, or somebody by hand."""
    later = current_clock().now() + timedelta(seconds=1)
    with database.writing() as connection:
        connection.execute(update(tenants).values(settings=UNKNOWN_SETTINGS, updated_at=later))


async def acts_as_for_an_unknown_tenant(home: House) -> None:
    refused = await home.pbx.outbound(PARTY, tenant="acme").ended()
    call = home.pbx.inbound(PARTY, did=DID)
    await call.agent_answers()
    await call.is_connected()
    await call.hangs_up("party")
    into = await call.ended()
    status = await home.service.overview.status()
    assert not refused.carrier_invited
    assert into.connected
    assert into.recorded_samples == 0
    assert any(alarm.startswith("tenant acme cannot be read: ") for alarm in status.alarms)


@virtual_time
async def test_a_tenant_whose_row_cannot_be_read_is_unknown_while_the_service_lives(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        spoil(home.service.database)
        await asyncio.sleep(2)
        await acts_as_for_an_unknown_tenant(home)


@virtual_time
async def test_a_tenant_whose_row_cannot_be_read_keeps_no_service_from_starting(
    tmp_path: Path,
) -> None:
    settings, identity = furnish(tmp_path)
    database = Database(settings.database_url)
    spoil(database)
    database.close()
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        await acts_as_for_an_unknown_tenant(House(service, pbx, tmp_path, identity))


async def readyz(service: Service) -> tuple[int, list[str]]:
    """What a load balancer is told."""
    url = f"http://127.0.0.1:{service.web_port}/readyz"
    with real_io():
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status, json.loads(await answer.text())["reasons"]


@pytest.mark.parametrize(("reads_file", "code"), [(False, 503), (True, 200)])
@virtual_time
async def test_without_the_manager_only_the_lease_file_makes_the_service_ready(
    tmp_path: Path, reads_file: bool, code: int
) -> None:
    settings, _ = furnish(tmp_path)
    one = settings.asterisk[0].model_copy(update={"lease_file": reads_file})
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings.model_copy(update={"asterisk": (one,)}), pbx) as service:
        assert (await readyz(service))[0] == 200
        pbx.manager.refuse_logins = True
        pbx.network.drop_ami()
        await asyncio.sleep(10)
        status, reasons = await readyz(service)
    assert status == code
    assert reasons == ([] if reads_file else ["no Asterisk has a fresh lease"])


@virtual_time
async def test_a_lease_file_that_cannot_be_renewed_makes_nobody_ready(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        pbx = home.pbx
        pbx.manager.refuse_logins = True
        pbx.network.drop_ami()
        (tmp_path / "spool").rename(tmp_path / "moved")
        await asyncio.sleep(10)
        status = await home.service.overview.status()
        (tmp_path / "moved").rename(tmp_path / "spool")
    assert status.not_ready == ("no Asterisk has a fresh lease",)


@virtual_time
async def test_a_channel_that_passes_the_gate_twice_leaves_no_ghost(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    folders = {PROMPTS: tmp_path / "prompts"}
    pbx = Pbx(_nobody, folder=tmp_path, folders=folders, operator=DIALPLAN)
    async with pbx, serving(settings, pbx) as service:
        call = pbx.outbound(PARTY, tenant="acme")
        await call.expect_verdict("allow")
        await asyncio.sleep(6)  # the first attempt rings in vain
        during = len(service.gate.calls)
        await call.ended()
        await asyncio.sleep(1)
        left = service.gate.calls.all()
    assert during == 1
    assert left == ()


async def _nobody(*_: object) -> None:
    raise AssertionError("the service does not serve yet")


def a_call(number: int, *, pbx: str = "east", age_s: float = 60) -> Call:
    return Call(
        id=f"call-{number}",
        tenant="acme",
        pbx=pbx,
        uniqueid=f"1.{number}",
        direction="outbound",
        purpose="service",
        subject=PARTY,
        allowed=True,
        obligations=frozenset(),
        decided_at=START - timedelta(seconds=age_s),
    )


def test_only_old_calls_of_that_pbx_without_a_channel_are_forgotten() -> None:
    book = CallBook()
    old, living, young, elsewhere = (
        a_call(1),
        a_call(2),
        a_call(3, age_s=YOUNG_S - 1),
        a_call(4, pbx="west"),
    )
    for call in (old, living, young, elsewhere):
        book.add(call)
    book.keep_only("east", {"1.2"}, START)
    assert book.all() == (living, young, elsewhere)


def test_a_call_that_ended_cannot_be_announced() -> None:
    book, call = CallBook(), a_call(1)
    book.add(call)
    assert book.announce_once(call)
    assert not book.announce_once(call)
    book.end("east", "1.1")
    assert not book.announce_once(call)


async def runs_until_it_fails(settings: Settings, pbx: Pbx) -> Service:
    """Runs the service until one of its rooms fails, and asserts that it says so."""
    service = Service(settings, current_clock(), connect=pbx.network.ami_connect)
    pbx.network.serve_agi = service.agi.serve_connection
    with pytest.raises(ExceptionGroup) as caught:
        await service.run()
    assert caught.group_contains(ArithmeticError, match="a room on fire")
    return service


@virtual_time
async def test_a_room_that_fails_takes_the_service_down_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def burn(_: object) -> None:
        await asyncio.sleep(5)
        raise ArithmeticError("a room on fire")

    monkeypatch.setattr("callguard.recording.sealer.Sealer.run", burn)
    settings, _ = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        since = current_clock().monotonic()
        service = await runs_until_it_fails(settings, pbx)
        spent = current_clock().monotonic() - since
        assert not (tmp_path / "spool" / "alive").exists()
        assert pbx.manager.logged_in == 0
        for port in (service.agi_port, service.web_port):
            with pytest.raises(OSError, match=r"refused|failed"):
                await asyncio.open_connection("127.0.0.1", port)
        outcome = await pbx.outbound(PARTY, tenant="acme").ended()
    assert spent < 5 + 2 * GRACE_S
    assert not outcome.carrier_invited
