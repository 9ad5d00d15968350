"""The registries at call time: what they answer holds calls back, the row says which snapshot it
was, and a new list counts from the next call on."""

import asyncio
import shutil
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from callguard.follower import REFRESH_S
from callguard.gate.policy import Policy
from callguard.ids import uuid7
from callguard.policy.facts import GivenConsent
from callguard.policy.overrides import Override
from callguard.policy.packs import parse_pack
from callguard.storage.schema import calls, registry_imports
from callguard.tenants.rules import set_rule
from tests.gate.test_policy import known, verdict
from tests.harness.virtual import current_clock, virtual_time
from tests.house import PARTY, House, house
from tests.optout.registry.shelves import put

WASHINGTON, NEXT, BOSTON = "+12025550101", "+12025550102", "+16175550101"
TODAY = date(2026, 3, 2)
LISTED_ON = date(2026, 2, 20)
ASKS = """
title = "Test"
[[rule]]
id = "test.registry"
kind = "registry"
title = "Registry"
citation = "Act, s. 1"
effective_from = 2020-01-01
settings = { registry = "us-dnc" }
scope = { purposes = ["marketing"] }
unless = { consent = "marketing" }
[[rule]]
id = "test.fresh"
kind = "registry_freshness"
title = "Fresh"
citation = "Act, s. 2"
effective_from = 2020-01-01
settings = { registry = "us-dnc", max_age_days = 31 }
scope = { purposes = ["marketing"] }
unless = { consent = "marketing" }
"""


def shelved(folder: Path, numbers: Iterable[str] = (WASHINGTON,), of: date = LISTED_ON) -> str:
    """Imports a list of the area code 202; the digest of the snapshot."""
    return put(folder / "registries", "us-dnc", numbers, ("+1202",), of).digest


def under(home: House) -> None:
    """The house decides by the two rules about a registry, and the base pack."""
    gate = home.service.gate
    base = [rule for rule in gate.policy.common.rules if rule.id.startswith("base.")]
    gate.policy = Policy([*base, *parse_pack("t", ASKS).rules])


async def sells(home: House, number: str) -> tuple[str, dict[str, Any], dict[str, dict[str, Any]]]:
    """A marketing call: the verdict, its row, and the findings by rule."""
    before = {row["id"] for row in home.rows(calls)}
    said = await verdict(home, number, purpose="marketing")
    row = next(row for row in home.rows(calls) if row["id"] not in before)
    return said, row, {finding["rule"]: finding for finding in row["findings"]}


async def alarms(home: House) -> list[str]:
    status = await home.service.overview.status()
    return [alarm for alarm in status.alarms if alarm.startswith("registr")]


@virtual_time
async def test_who_is_listed_is_held_back_with_the_lists_date_and_the_snapshot(
    tmp_path: Path,
) -> None:
    digest = shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        said, row, findings = await sells(home, WASHINGTON)
        assert said == "block"
        assert row["registries"] == {"us-dnc": digest}
        assert row["reasons"] == ["the number is in registry us-dnc of 2026-02-20"]
        assert findings["test.registry"]["blocks"]
        assert not findings["test.fresh"]["blocks"]


@virtual_time
async def test_who_is_not_listed_may_be_called_and_the_row_names_the_snapshot(
    tmp_path: Path,
) -> None:
    digest = shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        said, row, findings = await sells(home, NEXT)
        assert said == "allow"
        assert row["registries"] == {"us-dnc": digest}
        assert findings["test.registry"]["reason"].endswith("not in registry us-dnc of 2026-02-20")


@virtual_time
async def test_the_shipped_rules_ask_the_same_list(tmp_path: Path) -> None:
    digest = shelved(tmp_path)
    put(tmp_path / "registries", "gb-tps", [PARTY], ("+44",))
    async with house(tmp_path) as home:
        _, row, findings = await sells(home, WASHINGTON)
        assert row["registries"] == {"us-dnc": digest}
        assert findings["us.federal.registry"]["blocks"]
        assert findings["us.federal.registry-freshness"]["outcome"] == "pass"
        _, _, findings = await sells(home, NEXT)
        assert findings["us.federal.registry"]["outcome"] == "pass"


@virtual_time
async def test_a_number_outside_the_subscription_is_unknown_and_held_back(tmp_path: Path) -> None:
    digest = shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        said, row, findings = await sells(home, BOSTON)
        assert said == "block"
        assert findings["test.registry"]["outcome"] == "unknown"
        assert row["reasons"] == [
            "registry us-dnc of 2026-02-20 cannot tell: the number is outside its coverage"
        ]
        assert row["registries"] == {"us-dnc": digest}


@virtual_time
async def test_a_list_counts_to_its_last_day_and_no_longer(tmp_path: Path) -> None:
    shelved(tmp_path, of=TODAY - timedelta(days=31))
    async with house(tmp_path) as home:
        under(home)
        said, _, _ = await sells(home, NEXT)
        assert said == "allow"
        current_clock().jump(86_400)
        said, row, findings = await sells(home, NEXT)
        assert said == "block"
        assert findings["test.registry"]["outcome"] == "pass"
        assert row["reasons"] == [
            "the list of us-dnc is of 2026-01-30, 32 days old; at most 31 are allowed"
        ]


@virtual_time
async def test_a_damaged_snapshot_clears_nobody(tmp_path: Path) -> None:
    digest = shelved(tmp_path)
    bits = tmp_path / "registries" / "us-dnc" / digest / "1.bits"
    data = bytearray(bits.read_bytes())
    data[20] ^= 64
    bits.write_bytes(data)
    async with house(tmp_path) as home:
        under(home)
        await asyncio.sleep(3 * REFRESH_S)
        said, row, _ = await sells(home, NEXT)
        assert said == "block"
        assert row["reasons"] == [
            "registry us-dnc of 2026-02-20 cannot tell: the snapshot is damaged"
        ]
        assert row["registries"] == {"us-dnc": digest}
        (alarm,) = await alarms(home)
        assert alarm.startswith("registry us-dnc can clear no number: the snapshot is damaged: ")


@virtual_time
async def test_an_import_while_the_service_runs_counts_from_the_next_call_on(
    tmp_path: Path,
) -> None:
    before = shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        said, row, _ = await sells(home, NEXT)
        assert (said, row["registries"]) == ("allow", {"us-dnc": before})
        after = shelved(tmp_path, [WASHINGTON, NEXT], of=TODAY)
        await asyncio.sleep(2 * REFRESH_S)
        said, row, _ = await sells(home, NEXT)
        assert (said, row["registries"]) == ("block", {"us-dnc": after})
        assert row["reasons"] == ["the number is in registry us-dnc of 2026-03-02"]


@virtual_time
async def test_calls_go_on_while_lists_come_and_each_row_names_one_of_them(tmp_path: Path) -> None:
    digests = {shelved(tmp_path)}
    async with house(tmp_path) as home:
        under(home)
        for day in range(5):
            asked = [asyncio.create_task(sells(home, NEXT)) for _ in range(4)]
            digests.add(shelved(tmp_path, of=LISTED_ON + timedelta(days=day + 1)))
            await asyncio.sleep(REFRESH_S)
            for said, _, _ in await asyncio.gather(*asked):
                assert said == "allow"
        told = {row["registries"]["us-dnc"] for row in home.rows(calls)}
    assert told <= digests
    assert len(told) > 2


@virtual_time
async def test_what_no_rule_asked_is_not_in_the_row(tmp_path: Path) -> None:
    shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        await verdict(home, WASHINGTON)
        await sells(home, WASHINGTON)
        with home.service.database.reading() as connection:
            kinds = connection.execute(text("SELECT purpose, typeof(registries) FROM calls"))
            assert {tuple(row) for row in kinds} == {("service", "null"), ("marketing", "text")}


@virtual_time
async def test_a_consent_that_lifts_the_rule_leaves_the_snapshot_in_the_row(tmp_path: Path) -> None:
    digest = shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        consent = GivenConsent("marketing", current_clock().now() - timedelta(days=1), proof="form")
        known(home, lambda contact: contact.granted(consent), WASHINGTON)
        said, row, _ = await sells(home, WASHINGTON)
        assert (said, row["registries"]) == ("allow", {"us-dnc": digest})


@virtual_time
async def test_a_registry_that_is_not_there_is_an_alarm_once_it_held_a_call_back(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        under(home)
        assert await alarms(home) == []
        for _ in range(2):
            said, row, _ = await sells(home, WASHINGTON)
            assert (said, row["registries"]) == ("block", None)
        assert await alarms(home) == [
            "registry us-dnc is not imported: calls held back since the start: 2"
        ]
        shelved(tmp_path)
        await asyncio.sleep(2 * REFRESH_S)
        assert await alarms(home) == []


@pytest.mark.parametrize(
    ("days_old", "state", "alarm"),
    [
        (0, "usable", []),
        (26, "usable", []),
        (27, "ageing", ["registry us-dnc goes stale on 2026-03-07, in 5 days"]),
        (31, "ageing", ["registry us-dnc goes stale on 2026-03-03, in 1 day"]),
        (32, "stale", ["registry us-dnc is stale since 2026-03-02"]),
        (-9, "ahead", ["registry us-dnc is of 2026-03-11, which is still to come"]),
    ],
)
@virtual_time
async def test_a_list_that_grows_old_is_told_beforehand(
    tmp_path: Path, days_old: int, state: str, alarm: list[str]
) -> None:
    shelved(tmp_path, of=TODAY - timedelta(days=days_old))
    async with house(tmp_path) as home:
        status = await home.service.overview.status()
        (registry,) = status.registries
        assert (registry.state, await alarms(home)) == (state, alarm)
        assert registry.stale_on == TODAY - timedelta(days=days_old) + timedelta(days=32)
        assert (registry.count, registry.coverage) == (1, ("+1202",))


@virtual_time
async def test_a_tenants_stricter_age_counts_and_a_looser_one_does_not(tmp_path: Path) -> None:
    shelved(tmp_path, of=TODAY)
    async with house(tmp_path) as home:
        for days, stale_on in ((10, date(2026, 3, 13)), (60, date(2026, 4, 3))):
            override = Override(
                "us.federal.registry-freshness", {"max_age_days": days}, reason="agreed"
            )
            with home.service.database.writing() as connection:
                now = current_clock().now()
                rules = home.service.gate.policy.common.rules
                set_rule(connection, "acme", override, rules, at=now, actor="x")
            await asyncio.sleep(2 * REFRESH_S)
            status = await home.service.overview.status()
            assert status.registries[0].stale_on == stale_on


@virtual_time
async def test_a_refused_import_is_an_alarm_until_one_is_taken(tmp_path: Path) -> None:
    shelved(tmp_path)

    async def after(home: House, state: str, reason: str | None) -> list[str]:
        await asyncio.sleep(1)
        at = current_clock().now()
        row = {"id": str(uuid7(at)), "registry": "us-dnc", "state": state, "at": at}
        with home.service.database.writing() as connection:
            connection.execute(
                insert(registry_imports).values(**row, actor="x", reason=reason, details={})
            )
        return await alarms(home)

    async with house(tmp_path) as home:
        refused = await after(home, "refused", "the list is cut off")
        assert refused == ["registry us-dnc: the last import was refused: the list is cut off"]
        status = await home.service.overview.status()
        assert status.registries[0].refused == "the list is cut off"
        assert await after(home, "taken", "smaller on purpose") == []


@virtual_time
async def test_a_registry_that_is_taken_away_holds_its_calls(tmp_path: Path) -> None:
    shelved(tmp_path)
    async with house(tmp_path) as home:
        under(home)
        shutil.rmtree(tmp_path / "registries")
        await asyncio.sleep(2 * REFRESH_S)
        said, row, _ = await sells(home, NEXT)
        assert (said, row["registries"]) == ("block", None)
        assert row["reasons"] == ["registry us-dnc is not there to ask"]
        assert "registry us-dnc was taken away since the start" in await alarms(home)
