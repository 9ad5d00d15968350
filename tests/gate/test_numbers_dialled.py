"""Whoever opted out is not reached under another spelling of their number."""

import asyncio
from pathlib import Path

import pytest

from callguard.follower import REFRESH_S
from callguard.optout.events import OptOutEvent, add
from callguard.storage.schema import calls, opt_outs
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, NOTICE, PARTY, House, house


def opts_out(home: House, subject: str) -> None:
    """As the command line would enter it, beside the service."""
    event = OptOutEvent(subject, "acme", True, "cli", "x", current_clock().now())
    with home.service.database.writing() as connection:
        add(connection, event)


@pytest.mark.parametrize(
    ("region", "subject", "dialled"),
    [
        ("GB", PARTY, "02079460123"),
        ("GB", PARTY, "442079460123"),
        ("GB", PARTY, "00442079460123"),
        ("GB", PARTY, "79460123"),
        ("US", "+12025550123", "2025550123"),
        ("US", "+12025550123", "12025550123"),
        ("US", "+12025550123", "5550123"),
    ],
)
@virtual_time
async def test_no_way_of_dialling_reaches_who_opted_out(
    tmp_path: Path, region: str, subject: str, dialled: str
) -> None:
    async with house(tmp_path, home_region=region) as home:
        opts_out(home, subject)
        await asyncio.sleep(2 * REFRESH_S)
        outcome = await home.pbx.outbound(dialled, tenant="acme").ended()
        row = home.one(calls)
    assert not outcome.carrier_invited
    assert row["verdict"] == "block"
    assert row["subject"] in (subject, "")


@virtual_time
async def test_a_local_number_is_nobody_that_could_be_looked_up(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        outcome = await home.pbx.outbound("79460123", tenant="acme").ended()
        row = home.one(calls)
    assert not outcome.carrier_invited
    assert row["reasons"] == ["the called number is none that can be looked up"]


@pytest.mark.parametrize("shown", ["31201234567", "+31201234567", "0031201234567"])
@virtual_time
async def test_who_opts_out_while_calling_is_not_called_back(tmp_path: Path, shown: str) -> None:
    """Carriers show a foreign caller with the plus, with the prefix, or with neither."""
    async with house(tmp_path) as home:
        call = home.pbx.inbound(shown, did=DID)
        await call.hears(NOTICE, seconds=1)
        await call.presses("9")
        await call.ended()
        wish = home.one(opt_outs)
        outcome = await home.pbx.outbound("+31201234567", tenant="acme").ended()
    assert wish["subject"] == "+31201234567"
    assert not outcome.carrier_invited
