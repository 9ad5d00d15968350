"""Whoever takes the place of a channel is found there, though no event says so: Asterisk lets them
when a call is put through into a conference, or to a call that has only just been answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gate.conversations import ELSE, heard_of, now, recorded_call, trunk_house
from tests.harness.channels import Channel
from tests.harness.virtual import virtual_time
from tests.house import House


@contextmanager
def untold(home: House, taken: Channel) -> Iterator[None]:
    """AMI does not say that a channel left its bridge, nor who came."""
    announce = home.pbx.asterisk.announce
    assert announce is not None
    tell = announce.emit

    def emit(name: str, privilege: str, headers: list[tuple[str, str]]) -> None:
        of_it = ("Uniqueid", taken.uniqueid) in headers
        if name != "BridgeEnter" and not (name == "BridgeLeave" and of_it):
            tell(name, privilege, headers)

    announce.emit = emit  # type: ignore[method-assign]  # Asterisk leaves an event out
    try:
        yield
    finally:
        announce.emit = tell  # type: ignore[method-assign]  # and tells again


@virtual_time
async def test_whoever_takes_a_place_unsaid_is_found_there(tmp_path: Path) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        (recorder,) = call.recorders
        second = home.pbx.dials("agent1", ELSE, context="unguarded")
        third = await home.pbx.leg(ELSE)
        await third.answers()
        await third.is_connected()
        await asyncio.sleep(1)
        merged = now()
        with untold(home, second.channel):
            await call.leg("agent").attended_transfer(second)
            await asyncio.sleep(5)
        assert third.channel.bridge is call.side("party").bridge
        assert heard_of(recorder, third) <= 0.3
        assert heard_of(recorder, call.leg("party"), merged) <= 0.3
        await third.hangs_up()
        await call.ended()
