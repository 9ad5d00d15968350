"""The policy at call time: caps that nobody overtakes, law by place, and what cannot be read."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import insert, select, update

from callguard.contacts.contact import Contact
from callguard.contacts.store import change
from callguard.follower import REFRESH_S
from callguard.gate.policy import Policy
from callguard.policy.facts import CallFacts, GivenConsent
from callguard.policy.numbers import parse_number
from callguard.policy.overrides import Override
from callguard.policy.packs import parse_pack, shipped_packs
from callguard.policy.place import place_of
from callguard.policy.span import Span
from callguard.storage.journal import NotDurableError
from callguard.storage.schema import attempts, calls, campaign_days, contacts, tenants
from callguard.tenants.rules import set_rule
from callguard.tenants.store import set_retention
from tests.gate.forged import ask
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, NOTICE, PARTY, House, furnish, house, serving, simulated_pbx

OTHER = "+442079460150"
CAP = """
title = "Test"
[[rule]]
id = "test.cap"
kind = "attempts"
title = "Three in a minute"
citation = "Act, s. 1"
effective_from = 2020-01-01
cause = 38
prompt = "blocked-limit"
settings = { limit = 3, window = "60s" }
scope = { purposes = ["service"] }
"""
CONSENT = """
title = "Test"
[[rule]]
id = "test.consent"
kind = "consent_required"
title = "Consent"
citation = "Act, s. 2"
effective_from = 2020-01-01
settings = { proof = true }
scope = { purposes = ["service"] }
"""
ABANDONED = """
title = "Test"
[[rule]]
id = "test.abandoned"
kind = "abandonment"
title = "Abandoned calls"
citation = "Act, s. 3"
effective_from = 2020-01-01
settings = { max_percent = 3, window = "30d", least = 10 }
scope = { diallers = ["machine"] }
"""


def under(home: House, *packs: str) -> None:
    """The house decides by the base pack and these, and no other."""
    gate = home.service.gate
    base = [rule for rule in gate.policy.common.rules if rule.id.startswith("base.")]
    gate.policy = Policy([*base, *(rule for text in packs for rule in parse_pack("t", text).rules)])


_CHANNELS = itertools.count(1)


async def verdict(home: House, number: str = PARTY, caller: str = "200", **query: str) -> str:
    """What one request for a call is answered: the verdict, or "none"."""
    asked = {"pbx": "asterisk", "tenant": "acme", "purpose": "service", "number": number, **query}
    script = f"outbound?{urlencode(asked)}"
    said = await ask(home.pbx, script, uniqueid=f"99.{next(_CHANNELS)}", caller=caller)
    told = [line.split('"')[3] for line in said if "CALLGUARD_VERDICT" in line]
    return told[0].rpartition(",")[2] if told else "none"


def blocked_calls(home: House) -> list[dict[str, Any]]:
    return [row for row in home.rows(calls) if row["verdict"] == "block"]


def known(home: House, step: Any, subject: str = PARTY) -> None:
    with home.service.database.writing() as connection:
        change(connection, "acme", subject, step, at=current_clock().now())


@virtual_time
async def test_the_fourth_call_of_three_is_blocked_until_the_window_has_moved_on(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        under(home, CAP)
        assert [await verdict(home) for _ in range(4)] == ["allow", "allow", "allow", "block"]
        assert await verdict(home, OTHER) == "allow"
        (row,) = blocked_calls(home)
        assert row["reasons"][0].startswith("3 calls by the tenant in 60 seconds, 3 are allowed")
        (blocking,) = [finding for finding in row["findings"] if finding["blocks"]]
        assert (blocking["rule"], blocking["citation"]) == ("test.cap", "Act, s. 1")
        assert len(home.rows(attempts)) == 4
        await asyncio.sleep(61)
        assert await verdict(home) == "allow"


@virtual_time
async def test_of_many_calls_at_once_no_more_pass_than_are_allowed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home, CAP)
        answers = await asyncio.gather(*(verdict(home) for _ in range(12)))
        assert sorted(answers) == ["allow"] * 3 + ["block"] * 9
        assert len(home.rows(attempts)) == 3


@virtual_time
async def test_a_call_that_another_rule_blocks_is_no_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home, CAP, CONSENT)
        assert [await verdict(home) for _ in range(5)] == ["block"] * 5
        assert home.rows(attempts) == []
        consent = GivenConsent("marketing", current_clock().now() - timedelta(days=1), proof="form")
        known(home, lambda contact: contact.granted(consent))
        assert [await verdict(home) for _ in range(4)] == ["allow", "allow", "allow", "block"]


@virtual_time
async def test_a_service_that_begins_anew_goes_on_counting(tmp_path: Path) -> None:
    settings, identity = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        for wanted in (["allow"] * 2, ["allow", "block"]):
            async with serving(settings, pbx) as service:
                home = House(service, pbx, tmp_path, identity)
                under(home, CAP)
                assert [await verdict(home) for _ in range(2)] == wanted


@virtual_time
async def test_counters_that_cannot_be_reached_block_where_a_cap_applies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(*_: object) -> None:
        raise OSError("no route to the counters")

    async with house(tmp_path) as home:
        under(home, CAP)
        monkeypatch.setattr(type(home.service.gate.attempts), "claim", unreachable)
        assert await verdict(home) == "block"
        assert await verdict(home, purpose="survey") == "allow"
        (row,) = blocked_calls(home)
    assert row["reasons"] == ["earlier calls cannot be counted: the counters cannot be reached"]


@virtual_time
async def test_a_contact_that_cannot_be_read_is_not_called_and_may_call_in(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        spoiled = {"known": {"zone": 7}, "updated_at": current_clock().now()}
        with home.service.database.writing() as connection:
            row = {"tenant_id": "acme", "subject": PARTY, **spoiled}
            connection.execute(insert(contacts).values(**row))
        assert await verdict(home) == "block"
        call = home.pbx.inbound(PARTY, did="+442079460999")
        await call.agent_answers()
        await call.talk(seconds=1)
        await call.hangs_up("party")
        outcome = await call.ended()
        (first,) = blocked_calls(home)
        (second,) = [row for row in home.rows(calls) if row["direction"] == "inbound"]
    assert first["reasons"][0].startswith("what is known of the subject could not be read")
    assert outcome.connected
    assert (second["verdict"], second["obligations"]) == ("allow", ["do_not_record"])


@virtual_time
async def test_a_conversation_is_noted_with_the_attempt(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.whole_call()
        unanswered = home.pbx.outbound(OTHER, tenant="acme", purpose="service")
        await unanswered.expect_verdict("allow")
        await unanswered.hangs_up("agent")
        await unanswered.ended()
        noted = {row["subject"]: row["answered_at"] for row in home.rows(attempts)}
    assert noted[PARTY] is not None
    assert noted[OTHER] is None


@virtual_time
async def test_a_consent_counts_at_once_and_its_withdrawal_too(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home, CONSENT)
        now = current_clock().now()
        assert await verdict(home) == "block"
        known(home, lambda c: c.granted(GivenConsent("marketing", now, proof="web form 7")))
        assert await verdict(home) == "allow"
        await asyncio.sleep(1)
        known(home, lambda c: c.withdrawn("marketing", current_clock().now()))
        assert await verdict(home) == "block"


@virtual_time
async def test_what_the_tenant_knows_of_a_place_goes_before_the_number(tmp_path: Path) -> None:
    german = CONSENT.replace('purposes = ["service"]', 'regions = ["DE"]')
    async with house(tmp_path) as home:
        under(home, german)
        assert await verdict(home) == "allow"
        known(home, lambda contact: contact.placed("DE", None, None))
        assert await verdict(home) == "block"


@virtual_time
async def test_a_tenant_s_own_value_is_obeyed_within_a_second(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home, CAP)
        rules = home.service.gate.policy.common.rules
        assert await verdict(home) == "allow"
        with home.service.database.writing() as connection:
            stricter = Override("test.cap", {"limit": 1})
            set_rule(connection, "acme", stricter, rules, at=current_clock().now(), actor="test")
        await asyncio.sleep(2 * REFRESH_S)
        assert await verdict(home) == "block"
        assert await verdict(home, OTHER) == "allow"


@virtual_time
async def test_a_campaign_that_leaves_people_with_nobody_is_stopped(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home, ABANDONED)
        asked = {"campaign": "spring", "dialler": "machine"}
        assert await verdict(home, **asked) == "block"  # nothing is known of the campaign
        day = current_clock().now().date()
        figures = {"tenant_id": "acme", "campaign": "spring", "day": day}
        with home.service.database.writing() as connection:
            row = {**figures, "answered": 100, "abandoned": 3}
            connection.execute(insert(campaign_days).values(**row))
        assert await verdict(home, **asked) == "allow"
        with home.service.database.writing() as connection:
            connection.execute(update(campaign_days).values(abandoned=4))
        assert await verdict(home, **asked) == "block"
        assert await verdict(home, campaign="spring") == "allow"  # an agent dials
        told = [row["reasons"][0] for row in blocked_calls(home)]
        assert any("4 of 100 answered calls abandoned" in reason for reason in told)


@virtual_time
async def test_the_number_shown_is_the_tenant_s_where_the_channel_has_only_an_extension(
    tmp_path: Path,
) -> None:
    shown = """
title = "Test"
[[rule]]
id = "test.caller-id"
kind = "caller_id"
title = "A number is shown"
citation = "Act, s. 4"
effective_from = 2020-01-01
"""
    async with house(tmp_path) as home:
        under(home, shown)
        assert await verdict(home, caller="200") == "block"
        with home.service.database.writing() as connection:
            settings = connection.execute(select(tenants.c.settings)).scalar_one()
            later = current_clock().now() + timedelta(seconds=1)
            changed = {**settings, "shown_number": "+442079460999"}
            connection.execute(update(tenants).values(settings=changed, updated_at=later))
        await asyncio.sleep(2 * REFRESH_S)
        assert await verdict(home, caller="200") == "allow"
        assert await verdict(home, caller="anonymous") == "block"


def test_an_unknown_contact_is_nobody_in_particular() -> None:
    assert Contact() == Contact.read({})


@virtual_time
async def test_a_clock_that_was_set_back_opens_no_cap(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home, CAP)
        later = current_clock().now() + timedelta(minutes=9)
        rows = [
            {
                "subject": PARTY,
                "at": later,
                "call_id": f"c{number}",
                "tenant_id": "acme",
                "purpose": "service",
                "channel": "voice",
            }
            for number in range(3)
        ]
        with home.service.database.writing() as connection:
            connection.execute(insert(attempts), rows)
        assert await verdict(home) == "block"


@virtual_time
async def test_no_retention_makes_an_attempt_forgotten_that_a_rule_still_counts(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        under(home, CAP.replace('"60s"', '"30d"'))
        with home.service.database.writing() as connection:
            now = current_clock().now()
            set_retention(connection, "acme", "attempt", Span(days=0), at=now, actor="test")
        await asyncio.sleep(2 * REFRESH_S)
        assert await verdict(home) == "allow"
        (row,) = home.rows(attempts)
    assert row["expires_at"] - row["at"] > timedelta(days=30)


@virtual_time
async def test_a_conversation_that_could_not_be_kept_counts_and_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme", purpose="service")
        await call.expect_verdict("allow")
        journal = home.service.journal
        with monkeypatch.context() as patched:
            patched.setattr(journal, "write", not_durable)
            await call.carrier_answers()
            await call.hears_all(NOTICE)
            await asyncio.sleep(1)
        assert [row["answered_at"] for row in home.rows(attempts)] == [None]
        since = current_clock().now() - timedelta(hours=1)
        (attempt,) = await home.service.gate.attempts.earlier(PARTY, since)
        assert attempt.answered_at is not None
        await asyncio.sleep(2 * REFRESH_S)
        assert [row["answered_at"] for row in home.rows(attempts)] == [attempt.answered_at]
        await call.hangs_up("party")
        await call.ended()


async def not_durable(*_: object, **__: object) -> None:
    raise NotDurableError("the disk is full")


@virtual_time
async def test_a_mistyped_dialler_is_the_stricter_one(tmp_path: Path) -> None:
    machines = CONSENT.replace('purposes = ["service"]', 'diallers = ["machine"]')
    async with house(tmp_path) as home:
        under(home, machines)
        for dialler in ("machine", "Machine", "machine ", "predictive"):
            assert await verdict(home, dialler=dialler) == "block"
        assert await verdict(home, dialler="agent") == "allow"
        assert await verdict(home) == "allow"


@virtual_time
async def test_a_caller_is_connected_whatever_purpose_the_dialplan_names(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        asked = {"pbx": "asterisk", "tenant": "acme", "purpose": "salez", "number": DID}
        said = await ask(home.pbx, f"inbound?{urlencode(asked)}", caller=PARTY)
        row = home.one(calls)
    assert any('"CALLGUARD_VERDICT" "allow"' in line for line in said)
    assert (row["verdict"], row["obligations"]) == ("allow", ["do_not_record"])


@pytest.mark.parametrize("year", [1970, 2000, 2015, 2099])
def test_an_emergency_call_passes_on_whatever_day_a_broken_clock_shows(year: int) -> None:
    book = Policy(rule for pack in shipped_packs() for rule in pack.rules).common
    number = parse_number("911", "US")
    moment = datetime(year, 6, 1, 3, tzinfo=UTC)
    facts = CallFacts(
        moment, "acme", "outbound", "marketing", number, number, number, place_of(number)
    )
    assert book.decide(facts).emergency
