"""Of a call as it went, the ledger alone tells what was recorded of it, and that it might be."""

import asyncio
from pathlib import Path

from callguard.cli.chain_in_words import lines
from callguard.consent.chain import Happened
from callguard.consent.chain_rows import read_chain
from callguard.consent.statement import recorded_with_consent
from callguard.storage.schema import calls
from tests.gate.asked import hears
from tests.harness.virtual import current_clock, virtual_time
from tests.house import PARTY, house


@virtual_time
async def test_a_pause_and_a_withdrawal_are_links_of_a_chain_that_holds(tmp_path: Path) -> None:
    async with house(tmp_path, recording_mode="ask") as home:
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.carrier_answers()
        await hears("ask", 1)(home, call)
        await asyncio.sleep(2.5)
        await call.presses("1")
        await call.talk(seconds=3)
        await call.presses("*93", by="agent")
        await call.talk(seconds=3)
        await call.presses("*94", by="agent")
        await call.talk(seconds=3)
        await call.presses("*91", by="party")
        await call.talk(seconds=3)
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        now = current_clock().now()
        call_id = home.one(calls)["id"]
        with home.service.database.reading() as connection:
            chain = read_chain(connection, call_id, now)
    assert chain is not None
    said = recorded_with_consent(chain, now)
    assert (said.holds, said.recordings, said.doubts) == (True, 1, ())
    happened = [link.kind for link in chain.links() if isinstance(link, Happened)]
    assert happened == [
        *("started", "paused", "silenced", "resumed", "heard"),
        *("silenced", "stopped", "ended", "sealed"),
    ]
    told = lines(chain, said)
    assert any(line.endswith("mode ask") and "GRANTED" in line for line in told)
    assert any("heard 3000 of 3000 ms, played 1 time, answer 1" in line for line in told)
    assert any("tenant acme: recording_mode = ask" in line for line in told)
    assert told[-1].startswith("consent: stood for all of it; ")
