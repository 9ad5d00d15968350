"""Outbound calls that the rules hold back: by the hour, by a cap, for want of a consent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from callguard.contacts.contact import Contact
from callguard.storage.schema import calls
from tests.lab.asterisk import Asterisk
from tests.lab.calls import LINE
from tests.lab.clocks import zone_where_it_is
from tests.lab.guarded import GuardedPbx, Placed, Row, eventually, new_number
from tests.lab.sipp import Outcome, Talk

pytestmark = pytest.mark.lab

HOURS, CAP, CONSENT, EVERYTHING = "tenant-1", "tenant-2", "tenant-3", "tenant-4"
"""Tenants of the dialplan's prefixes `*51` to `*54`, each under its own rules."""
HONOLULU = "18085550123"
PROMPT_S = 0.3


@dataclass(frozen=True, slots=True)
class Rule:
    """What a caller meets whom the rule holds back."""

    id: str
    citation: str
    cause: int
    code: int
    prompt: str


BY_HOURS = Rule("lab.hours", "House rule 1", 57, 603, "blocked-hours")
BY_CAP = Rule("lab.cap", "House rule 2", 17, 486, "blocked-limit")
BY_CONSENT = Rule("lab.consent", "House rule 3", 34, 503, "blocked-consent")


def pack(at: datetime) -> str:
    """The operator's rules. The permitted hours are this one of New York and the next two,
    which are never those of Honolulu."""
    hour = at.astimezone(ZoneInfo("America/New_York")).hour
    permitted = [f"{h % 24:02}:00-{h % 24 + 1:02}:00" for h in range(hour, hour + 3)]
    hours = f"{{ hours = {{ daily = {permitted} }} }}"
    return "\n".join(
        [
            'title = "The laboratory"',
            rule(BY_HOURS, "calling_hours", hours, HOURS, EVERYTHING),
            rule(BY_CAP, "attempts", '{ limit = 3, window = "24h" }', CAP),
            rule(BY_CONSENT, "consent_required", "{}", CONSENT, EVERYTHING),
            rule(replace(BY_CAP, id="lab.none"), "attempts", _NO_CALLS, EVERYTHING),
        ]
    )


_NO_CALLS = '{ limit = 0, window = "24h" }'


def rule(about: Rule, kind: str, settings: str, *tenants: str) -> str:
    return f"""
[[rule]]
id = "{about.id}"
kind = "{kind}"
title = "A rule of the house"
citation = "{about.citation}"
effective_from = 2020-01-01
cause = {about.cause}
prompt = "{about.prompt}"
scope = {{ tenants = {list(tenants)} }}
settings = {settings}
"""


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    """Its log tells what it plays; of the emergency numbers its own list has only 911."""
    files = {
        "logger.conf": "[general]\n[logfiles]\nfull => notice,warning,error,verbose(3)\n",
        "extensions_callguard_emergency.conf": (
            "[callguard-emergency]\nexten => 911,1,Goto(callguard-emergency-pass,s,1)\n"
        ),
    }
    with Asterisk(tmp_path_factory.mktemp("pbx"), files=files) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(
    pbx: Asterisk, furnished: GuardedPbx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedPbx]:
    """callguard with a pack of the operator's own, and a tenant for each of its rules."""
    packs = tmp_path_factory.mktemp("packs")
    (packs / "lab.toml").write_text(pack(datetime.now(UTC)))
    beside = GuardedPbx(pbx, tmp_path_factory.mktemp("guarded"), packs=packs)
    beside.lay_out(furnished)
    for tenant, purpose in {
        HOURS: "service",
        CAP: "service",
        CONSENT: "marketing",
        EVERYTHING: "marketing",
    }.items():
        beside.callguard.add_tenant(
            tenant, purpose=purpose, record=False, blocked_prompt=True, shown_number=LINE
        )
    try:
        beside.callguard.start()
        yield beside
    finally:
        beside.close()


def called_by(guarded: GuardedPbx, tenant: str, number: str) -> Placed:
    """One short call of a tenant."""
    return guarded.outbound(f"*5{tenant[-1]}{number}", talk_ms=50)


def assert_held_back(guarded: GuardedPbx, placed: Placed, number: str, by: Rule) -> Row:
    """The carrier saw nothing; the agent heard why before the call was refused, unanswered; the
    call's row names rule and citation. That row."""
    assert placed.dialled == 0
    assert placed.code == by.code
    assert 200 not in [message.status for message in placed.agent.trace]
    (heard_from,) = {m.at for m in placed.agent.trace if m.status == 183}
    assert placed.agent.trace[-1].at - heard_from > PROMPT_S - 0.02
    assert played(guarded)[-1] == by.prompt
    row = guarded.so_far(number).calls[-1]
    assert row["verdict"] == "block"
    (finding,) = [f for f in row["findings"] if f["rule"] == by.id]
    assert (finding["outcome"], finding["blocks"]) == ("block", True)
    assert finding["citation"] == by.citation
    assert finding["reason"] in row["reasons"]
    return row


def played(guarded: GuardedPbx) -> list[str]:
    """The prompts that Asterisk has played, oldest first."""
    log = (guarded.pbx.log / "full").read_text(errors="replace")
    return re.findall(r"Playing '\S*/en/([a-z-]+)-1\.", log)


def final_codes(agents: Outcome) -> Counter[int]:
    """How each of several calls at once ended."""
    last = {
        message.header("Call-ID"): message.status
        for message in agents.trace
        if message.status >= 200 and message.header("CSeq").endswith("INVITE")
    }
    return Counter(last.values())


def at_the_same_moment(guarded: GuardedPbx, number: str, count: int) -> tuple[Counter[int], int]:
    """So many calls of the capped tenant at once: how each ended, and how many were dialled."""
    with guarded.telephony.party_answers(calls=count) as party:
        agents = guarded.telephony.agent_calls(
            f"*5{CAP[-1]}{number}", calls=count, rate=1000, steps=(Talk(50),)
        ).finish()
        seen = party.close()
    return final_codes(agents), len({m.header("Call-ID") for m in seen.invites_received})


def restricted(since: datetime | None) -> partial[Contact]:
    """With the use of what is known restricted since then, or no longer."""
    return partial(replace, restricted_since=since)


def test_the_hours_are_those_of_the_callees_own_clock(guarded: GuardedPbx) -> None:
    """At one moment New York may be called, and Honolulu may not."""
    number = new_number()
    assert called_by(guarded, HOURS, number).code == 200
    assert guarded.so_far(number).calls[-1]["verdict"] == "allow"

    placed = called_by(guarded, HOURS, HONOLULU)
    row = assert_held_back(guarded, placed, HONOLULU, BY_HOURS)
    assert re.fullmatch(
        r"\w+ [0-9-]{10} [0-9:]{5} in Pacific/Honolulu is outside .*", row["reasons"][0]
    )


def test_why_a_call_was_held_back_is_told_afterwards(guarded: GuardedPbx) -> None:
    called_by(guarded, HOURS, HONOLULU)
    call = guarded.so_far(HONOLULU).calls[-1]
    told = guarded.callguard.run("explain", "--call", call["id"])

    assert told["verdict"] == "block"
    assert told["reasons"] == call["reasons"]
    (blocking,) = [finding for finding in told["findings"] if finding["blocks"]]
    assert (blocking["rule"], blocking["citation"]) == (BY_HOURS.id, BY_HOURS.citation)


def test_the_fourth_call_is_held_back_and_so_is_the_next_after_a_crash(
    guarded: GuardedPbx,
) -> None:
    number = new_number()
    for _ in range(3):
        placed = called_by(guarded, CAP, number)
        assert (placed.code, placed.dialled) == (200, 1)

    row = assert_held_back(guarded, called_by(guarded, CAP, number), number, BY_CAP)
    assert row["reasons"][0].startswith("3 calls by the tenant in 24 hours, 3 are allowed; ")
    guarded.callguard.kill()
    guarded.callguard.start()
    assert_held_back(guarded, called_by(guarded, CAP, number), number, BY_CAP)
    assert called_by(guarded, CAP, new_number()).code == 200


def test_of_four_calls_at_the_same_moment_three_are_dialled(guarded: GuardedPbx) -> None:
    number = new_number()
    codes, dialled = at_the_same_moment(guarded, number, 4)

    assert codes == {200: 3, BY_CAP.code: 1}
    assert dialled == 3
    verdicts = [call["verdict"] for call in guarded.so_far(number).calls]
    assert Counter(verdicts) == {"allow": 3, "block": 1}


def test_a_call_held_back_for_another_reason_does_not_count(guarded: GuardedPbx) -> None:
    number = new_number()
    guarded.callguard.know(CAP, number, restricted(datetime.now(UTC)))
    held_back = called_by(guarded, CAP, number)
    guarded.callguard.know(CAP, number, restricted(None))
    codes, dialled = at_the_same_moment(guarded, number, 3)

    assert (held_back.code, held_back.dialled) == (403, 0)
    assert (codes, dialled) == ({200: 3}, 3)
    assert called_by(guarded, CAP, number).code == BY_CAP.code


def test_a_sales_call_needs_a_consent_that_stands(guarded: GuardedPbx) -> None:
    """The shipped rules hold too: they want its proof on file, or a registry to look into."""
    number = new_number()
    noon = zone_where_it_is(12, datetime.now(UTC))  # within the hours of any law
    guarded.callguard.know(CONSENT, number, lambda contact: contact.placed(None, None, noon))
    placed = called_by(guarded, CONSENT, number)
    row = assert_held_back(guarded, placed, number, BY_CONSENT)
    assert "no consent to marketing is on file" in row["reasons"]

    consent = ("consent", "record", number, "--tenant", CONSENT, "--purpose", "marketing")
    guarded.callguard.run(*consent, "--proof", "form 7")
    placed = called_by(guarded, CONSENT, number)
    assert (placed.code, placed.dialled) == (200, 1)

    withdrawal = ("consent", "withdraw", number, "--tenant", CONSENT, "--purpose", "marketing")
    guarded.callguard.run(*withdrawal, "--reason", "a letter")
    placed = called_by(guarded, CONSENT, number)
    row = assert_held_back(guarded, placed, number, BY_CONSENT)
    assert re.search(r"the consent to marketing of \S+ ended on \S+", " ".join(row["reasons"]))


def test_an_emergency_call_passes_every_rule(guarded: GuardedPbx) -> None:
    """The dialplan's list passes 911; 112, which is missing there, the gate passes."""
    held_back = called_by(guarded, EVERYTHING, HONOLULU)
    assert (held_back.code, held_back.dialled) == (BY_CONSENT.code, 0)
    blocking = {f["rule"] for f in guarded.so_far(HONOLULU).calls[-1]["findings"] if f["blocks"]}
    assert {BY_HOURS.id, BY_CONSENT.id, "lab.none"} <= blocking

    for number in ("911", "112"):
        placed = called_by(guarded, EVERYTHING, number)
        assert (placed.code, placed.dialled) == (200, 1)
        assert f"sip:{number}@" in placed.party.invites_received[0].first_line
    query = select(calls).where(calls.c.tenant_id == EVERYTHING, calls.c.verdict == "allow")
    (row,) = eventually(lambda: guarded.rows(query))
    assert row["called"] == "US:112"
    assert not any(finding["blocks"] for finding in row["findings"])
