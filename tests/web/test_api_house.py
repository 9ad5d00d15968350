"""The preflight in the whole house: beside the PBX, with the operator's own rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from callguard.gate.preflight import Checked
from callguard.optout.events import OptOutEvent, add
from callguard.storage.schema import attempts, calls
from callguard.web.api import PATH
from callguard.web.token import new_token
from tests.gate.preflights import ABOUT, CAP, OTHER, numbers
from tests.harness.virtual import current_clock, real_io, virtual_time
from tests.house import PARTY, House, furnish, serving, simulated_pbx

TOKEN = new_token()


@asynccontextmanager
async def house_with_a_cap(folder: Path) -> AsyncIterator[House]:
    """The operator lets nobody be called more than three times a day."""
    settings, identity = furnish(folder)
    packs = folder / "packs"
    packs.mkdir()
    (packs / "test.toml").write_text(CAP)
    (folder / "api.token").write_text(TOKEN)
    (folder / "api.token").chmod(0o600)
    policy = settings.policy.model_copy(update={"packs": packs})
    pbx = simulated_pbx(folder)
    async with pbx, serving(settings.model_copy(update={"policy": policy}), pbx) as service:
        yield House(service, pbx, folder, identity)


async def ask(home: House, **asked: object) -> Any:
    """The answer of the API over its socket."""
    url = f"http://127.0.0.1:{home.service.web_port}{PATH}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with real_io():
        async with (
            aiohttp.ClientSession() as client,
            client.post(url, json={"tenant": "acme", **asked}, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()


def verdicts(answer: Any) -> list[str]:
    return [result["verdict"] for result in answer["results"]]


@virtual_time
async def test_calls_and_counted_numbers_are_attempts_alike(tmp_path: Path) -> None:
    async with house_with_a_cap(tmp_path) as home:
        answer = await ask(home, numbers=[PARTY, "020 7946 0123", PARTY, PARTY], count=True)
        refused = await home.pbx.outbound(PARTY, tenant="acme").ended()
        counted = home.rows(attempts)
        for _ in range(2):
            await ask(home, numbers=[OTHER] * 9)
        placed = [await home.whole_call(OTHER) for _ in range(3)]
        last = await ask(home, number=OTHER, explain=True)
        kept = home.rows(calls)
        live = await home.service.overview.status()
    assert verdicts(answer) == ["allow", "allow", "allow", "block"]
    assert answer["results"][3]["rules"] == ["test.cap"]
    assert answer["results"][3]["cause"] == 38
    assert (refused.carrier_invited, refused.hangup_cause) == (False, 38)
    assert len(counted) == 3
    assert [outcome.connected for outcome in placed] == [True] * 3
    assert verdicts(last) == ["block"]
    assert sorted(row["pbx"] for row in kept) == ["api"] * 4 + ["asterisk"] * 4
    assert live.calls == ()


@virtual_time
async def test_of_four_requests_at_once_no_more_pass_than_are_allowed(tmp_path: Path) -> None:
    async with house_with_a_cap(tmp_path) as home:
        asked = numbers(40)
        together = await asyncio.gather(*(ask(home, numbers=asked, count=True) for _ in range(4)))
        passed = [
            r["number"] for told in together for r in told["results"] if "allow" in r.values()
        ]
        kept = home.rows(attempts)
    assert sorted(passed) == sorted(number for number in asked for _ in range(3))
    assert len(kept) == 120


@virtual_time
async def test_who_opted_out_elsewhere_is_blocked_at_the_next_look(tmp_path: Path) -> None:
    async with house_with_a_cap(tmp_path) as home:
        before = await ask(home, number=PARTY)
        await asyncio.sleep(1)
        event = OptOutEvent(PARTY, "acme", True, "cli", "x", current_clock().now())
        with home.service.database.writing() as connection:
            add(connection, event)
        await asyncio.sleep(1)
        after = await ask(home, number=PARTY)
        then = await ask(home, number=PARTY, at=before["at"])
    assert [verdicts(answer) for answer in (before, after, then)] == [
        ["allow"],
        ["block"],
        ["allow"],
    ]


@virtual_time
async def test_calls_are_decided_while_ten_thousand_numbers_are(tmp_path: Path) -> None:
    async with house_with_a_cap(tmp_path) as home:
        preflight = home.service.preflight
        asked = numbers(10_000)
        told: list[Checked] = []
        asking = asyncio.create_task(preflight.look(ABOUT, asked, told.append))
        while not told:
            await asyncio.sleep(0)
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.expect_verdict("allow")
        so_far = len(told)
        await call.hangs_up("agent")
        await call.ended()
        answers = await asking
    assert so_far < 1_000
    assert answers.allowed == 10_000


@virtual_time
async def test_a_request_under_way_ends_with_the_service_and_leaves_no_attempt(
    tmp_path: Path,
) -> None:
    async with house_with_a_cap(tmp_path) as home:
        preflight = home.service.preflight
        gate = home.service.gate
        held = asyncio.Event()
        insert = gate.journal.insert

        async def hangs(*kept: Any, timeout: float = 2.0) -> None:
            await insert(*kept, timeout=timeout)
            held.set()
            await asyncio.Event().wait()

        gate.journal.insert = hangs  # type: ignore[method-assign]
        asking = asyncio.create_task(ask(home, number=PARTY, count=True))
        await held.wait()
        assert len(home.rows(attempts)) == 1
        asking.cancel()
        await asyncio.wait({asking})
        home.service.stop()
        await asyncio.sleep(10)
        assert not preflight._under_way
        left = home.rows(attempts)
    assert left == []
