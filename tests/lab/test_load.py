"""Many calls at once, and a stranger at the FastAGI door."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.lab.guarded import GuardedPbx, new_number
from tests.lab.sipp import Outcome, Talk

pytestmark = pytest.mark.lab

CALLS = 20
TOLERATED_S = 0.1
"""By how much a scan may delay the median call."""


def test_twenty_calls_at_once_are_each_recorded_once(guarded: GuardedPbx) -> None:
    number = new_number()
    with guarded.telephony.party_answers(calls=CALLS) as party:
        agents = guarded.telephony.agent_calls(
            number, calls=CALLS, rate=10, steps=(Talk(2500),)
        ).finish()
        reached = party.finish()
    story = guarded.settled(number, timeout=20)

    assert len(agents.talks) == len(reached.talks) == CALLS
    ids = {call["id"] for call in story.calls}
    assert len(ids) == CALLS
    for rows in (story.consents, story.recordings, story.records):
        assert Counter(row["call_id"] for row in rows) == dict.fromkeys(ids, 1)
    assert {consent["state"] for consent in story.consents} == {"granted"}
    assert {recording["state"] for recording in story.recordings} == {"sealed"}
    for record in story.records:
        (recording,) = [r for r in story.recordings if r["call_id"] == record["call_id"]]
        bridged = (record["ended_at"] - record["answered_at"]).total_seconds()
        assert guarded.seconds(recording) == pytest.approx(bridged, abs=0.2)
    assert sorted(map(guarded.seconds, story.recordings)) == pytest.approx(
        sorted(agents.talks), abs=0.2
    )
    assert guarded.callguard.spooled() == []


def delays(agents: Outcome) -> list[float]:
    """Seconds from each INVITE to the carrier's ringing, which the gate stands before."""
    sent: dict[str, float] = {}
    rang: dict[str, float] = {}
    for message in agents.trace:
        if message.method == "INVITE":
            sent.setdefault(message.header("Call-ID"), message.at)
        elif message.status == 180:
            rang.setdefault(message.header("Call-ID"), message.at)
    return [rang[call_id] - at for call_id, at in sent.items() if call_id in rang]


async def calls_at_five_a_second(guarded: GuardedPbx, number: str) -> Outcome:
    count = 15
    with guarded.telephony.party_answers(calls=count) as party:
        agents = guarded.telephony.agent_calls(number, calls=count, rate=5, steps=(Talk(200),))
        outcome = await agents.finished()
        await party.finished()
    assert len(outcome.talks) == count, "every call was connected"
    return outcome


@asynccontextmanager
async def scan(port: int) -> AsyncIterator[None]:
    """Fifty connections that say nothing, and five hundred that come and go meanwhile."""
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]

    async def come_and_go() -> None:
        for _ in range(500):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            await asyncio.sleep(0.005)  # so that the scan lasts as long as the calls

    scanning = asyncio.create_task(come_and_go())
    yield
    await scanning
    for _, writer in silent:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_port_scan_delays_no_call_and_fails_none(guarded: GuardedPbx) -> None:
    quiet = delays(await calls_at_five_a_second(guarded, new_number()))
    async with scan(guarded.pbx.sites.agi):
        scanned = delays(await calls_at_five_a_second(guarded, new_number()))

    assert statistics.median(scanned) < statistics.median(quiet) + TOLERATED_S
    assert max(scanned) < max(quiet) + 5 * TOLERATED_S
