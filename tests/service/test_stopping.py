"""The service goes down in order, also where a room failed."""

import asyncio
from pathlib import Path

import pytest

from callguard.service import Service
from callguard.service.running import GRACE_S
from tests.harness.virtual import current_clock, virtual_time
from tests.house import PARTY, furnish, simulated_pbx


@virtual_time
async def test_a_call_that_stays_inside_keeps_no_door_open_where_a_room_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = asyncio.Event()

    async def stays(*_: object) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            left.set()

    async def burn(_: object) -> None:
        await asyncio.sleep(5)
        raise ArithmeticError("a room on fire")

    monkeypatch.setattr("callguard.service.rooms.answer", stays)
    monkeypatch.setattr("callguard.recording.sealer.Sealer.run", burn)
    settings, _ = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        service = Service(settings, current_clock(), connect=pbx.network.ami_connect)
        pbx.network.serve_agi = service.agi.serve_connection
        running = asyncio.create_task(service.run())
        await asyncio.sleep(3)
        call = pbx.outbound(PARTY, tenant="acme")
        since = current_clock().monotonic()
        with pytest.raises(ExceptionGroup) as caught:
            await running
        spent = current_clock().monotonic() - since
        assert caught.group_contains(ArithmeticError)
        assert left.is_set()
        assert pbx.manager.logged_in == 0
        with pytest.raises(OSError, match=r"refused|failed"):
            await asyncio.open_connection("127.0.0.1", service.web_port)
        outcome = await call.ended()
    assert spent < 2 + GRACE_S
    assert not outcome.carrier_invited
