"""Alive, and ready to take calls."""

from dataclasses import replace

from tests.web.conftest import Room
from tests.web.state import EMPTY


async def test_alive_does_not_ask_the_source(room: Room) -> None:
    room.source.error = TimeoutError()
    async with room.client.get(room.address + "/healthz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"alive": True}
    assert room.source.asked == 0


async def test_ready_is_200_without_reasons(room: Room) -> None:
    async with room.client.get(room.address + "/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"ready": True, "reasons": []}


async def test_not_ready_is_503_with_the_reasons(room: Room) -> None:
    room.source.now = replace(EMPTY, not_ready=("disk full", "no rules"))
    async with room.client.get(room.address + "/readyz") as answer:
        assert answer.status == 503
        assert await answer.json() == {"ready": False, "reasons": ["disk full", "no rules"]}


async def test_an_unknown_state_is_not_ready(room: Room) -> None:
    room.source.error = OSError("gone")
    async with room.client.get(room.address + "/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["reasons"] == [
            "the status cannot be read: the status source failed"
        ]
