"""``callguard explain``: the verdict that the gate would give, told to whoever asks why."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from callguard.ids import uuid7
from callguard.policy.rules import Finding, Outcome, Rule, refusal
from callguard.storage.database import Database
from callguard.storage.schema import attempts, calls, consents, opt_outs
from tests.cli.conftest import CommandLine
from tests.optout.registry.shelves import put

ANN = "+442079460000"
FLORIDA = "+18504320000"
ACME = ("--tenant", "acme")
SATURDAY = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)


def database_of(callguard: CommandLine) -> Database:
    return Database(f"sqlite:///{callguard.data / 'callguard.db'}")


def explained(callguard: CommandLine, *arguments: str) -> Mapping[str, Any]:
    answer = callguard("explain", *arguments, "--json").json()
    assert isinstance(answer, dict)
    return answer


def outcomes(said: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    return {one["rule"]: (one["outcome"], one["blocks"]) for one in said["findings"]}


def text_of(callguard: CommandLine, *arguments: str) -> list[str]:
    callguard.patch.setenv("COLUMNS", "240")
    said = callguard("explain", *arguments)
    assert (said.code, said.err) == (0, "")
    return said.out.splitlines()


def test_the_first_line_is_the_verdict_and_why(acme: CommandLine) -> None:
    lines = text_of(acme, "020 7946 0000", *ACME, "--caller", "+442079460999")
    assert lines[0] == "BLOCKED: registry gb-tps is not there to ask"
    assert lines[1] == "number: 020 7946 0000, read as +442079460000"
    assert lines[2] == "kind: outbound, voice, marketing"
    lines = text_of(acme, ANN, *ACME, "--caller", "+442079460999", "--purpose", "service")
    assert lines[0] == "ALLOWED"
    assert lines[1] == f"number: {ANN}"


def test_it_is_told_where_the_subject_is_and_what_their_clocks_show(acme: CommandLine) -> None:
    lines = text_of(acme, FLORIDA, *ACME, "--at", "2026-11-21T18:00Z")
    assert "at: Saturday 2026-11-21 18:00:00 UTC" in lines
    assert "place: US (US-FL), by the number" in lines
    assert "local time: Saturday 2026-11-21 12:00 in America/Chicago" in lines
    acme("contact", "set", FLORIDA, *ACME, "--zone", "America/New_York")
    lines = text_of(acme, FLORIDA, *ACME, "--at", "2026-11-21T18:00Z")
    assert "place: US (US-FL), by what the tenant knows of the subject" in lines
    assert "local time: Saturday 2026-11-21 13:00 in America/New_York" in lines


def test_of_many_zones_three_are_told_and_the_rest_counted(acme: CommandLine) -> None:
    local = next(t for t in text_of(acme, "+18005550123", *ACME) if t.startswith("local time"))
    said = explained(acme, "+18005550123", *ACME)
    assert local.count(" in ") == 3
    assert local.endswith(f", and {len(said['local_times']) - 3} more")
    assert len(said["local_times"]) == len(said["place"]["zones"]) > 30


def test_an_address_lies_in_the_tenants_own_country(acme: CommandLine) -> None:
    lines = text_of(acme, "ann@example.org", *ACME, "--channel", "email")
    assert any(line.startswith("place: GB, by the tenant's own country") for line in lines)


def test_what_blocks_comes_first_and_each_row_names_its_law(acme: CommandLine) -> None:
    said = explained(acme, ANN, *ACME)
    blocks = [finding["blocks"] for finding in said["findings"]]
    assert blocks == sorted(blocks, reverse=True)
    assert any(blocks)
    kinds = [finding["outcome"] for finding in said["findings"] if not finding["blocks"]]
    assert kinds == sorted(kinds, key=["block", "require", "unknown", "pass"].index)
    rows = "\n".join(text_of(acme, ANN, *ACME))
    for finding in said["findings"]:
        assert finding["rule"] in rows
        assert f"in force since {finding['since']}" in rows
    assert "cannot tell, so blocks" in rows
    assert "passes" in rows
    assert "requires" in rows


def test_what_nobody_checked_is_marked(acme: CommandLine) -> None:
    said = explained(acme, ANN, *ACME)
    marked = sum(finding["status"] == "unverified" for finding in said["findings"])
    assert 0 < marked < len(said["findings"])
    assert "\n".join(text_of(acme, ANN, *ACME)).count("unverified") == marked


def test_the_law_is_that_of_the_day(acme: CommandLine) -> None:
    before = explained(acme, "+33142685300", *ACME, "--at", "2026-08-10T12:00+02:00")
    after = explained(acme, "+33142685300", *ACME, "--at", "2026-08-11T12:00+02:00")
    assert "fr.bloctel" in outcomes(before)
    assert "fr.consent" not in outcomes(before)
    assert outcomes(after)["fr.consent"] == ("block", True)
    assert "fr.bloctel" not in outcomes(after)


def test_hours_are_those_of_the_moment_asked_for(acme: CommandLine) -> None:
    for time, outcome in (("13:59", "block"), ("14:00", "pass"), ("20:59", "pass")):
        said = explained(acme, FLORIDA, *ACME, "--at", f"2026-11-20T{time}-00:00")
        assert outcomes(said)["us-fl.hours"][0] == outcome, time
    said = explained(acme, FLORIDA, *ACME, "--at", "2026-11-20T08:00-06:00")
    assert said["at"] == "2026-11-20T14:00:00+00:00"
    assert said["read_as_utc"] is False


def test_a_time_without_a_zone_is_utc_and_that_is_said(acme: CommandLine) -> None:
    said = explained(acme, ANN, *ACME, "--at", "2026-11-21 18:00")
    assert (said["at"], said["read_as_utc"]) == ("2026-11-21T18:00:00+00:00", True)
    line = next(t for t in text_of(acme, ANN, *ACME, "--at", "2026-11-21") if t[:4] == "at: ")
    assert line.endswith("00:00:00 UTC (no time zone was given, so it is read as UTC)")
    line = next(t for t in text_of(acme, ANN, *ACME) if t[:4] == "at: ")
    assert line.endswith(" UTC")


def test_what_is_of_today_is_said_of_another_day(acme: CommandLine) -> None:
    assert explained(acme, ANN, *ACME, "--caller", ANN)["notes"] == []
    [note] = explained(acme, ANN, *ACME, "--caller", ANN, "--at", "2026-01-02T12:00Z")["notes"]
    assert note.startswith("of today, not of then: where the subject is")
    assert "registries" in note
    [note] = explained(acme, ANN, *ACME, "--caller", ANN, "--at", "2099-01-02T12:00Z")["notes"]
    assert note.startswith("that is still to come")


def test_a_wish_lifted_since_stands_as_it_stood(acme: CommandLine) -> None:
    rows = [
        {"seq": seq, "subject": ANN, "standing": standing, "purposes": [], "way": "call"}
        for seq, standing in ((1, True), (2, False), (3, True))
    ]
    for row, day in zip(rows, (1, 3, 5), strict=True):
        row |= {"tenant_id": None, "actor": "x", "at": datetime(2026, 11, day, tzinfo=UTC)}
    database = database_of(acme)
    with database.writing() as connection:
        connection.execute(insert(opt_outs), rows)
    database.close()

    def blocked(*arguments: str) -> bool:
        return outcomes(explained(acme, ANN, *ACME, *arguments))["base.opt-out"][1]

    days = [blocked("--at", f"2026-11-0{day}T12:00Z") for day in (1, 2, 3, 4, 5)]
    assert days == [True, True, False, False, True]
    assert not blocked("--at", "2026-10-31T23:59:59Z")
    assert blocked()
    assert not outcomes(explained(acme, "+442079460001", *ACME))["base.opt-out"][1]


def test_earlier_calls_count_and_the_figures_are_told(acme: CommandLine) -> None:
    database = database_of(acme)
    with database.writing() as connection:
        for hours in (1, 2, 3, 30):
            connection.execute(
                insert(attempts).values(
                    subject=FLORIDA,
                    at=SATURDAY - timedelta(hours=hours),
                    call_id=str(hours),
                    tenant_id="acme",
                    purpose="marketing",
                    channel="voice",
                )
            )
    database.close()

    def found(at: datetime) -> Mapping[str, Any]:
        said = explained(acme, FLORIDA, *ACME, "--at", at.isoformat())
        return next(one for one in said["findings"] if one["rule"] == "us-fl.attempts")

    assert found(SATURDAY)["blocks"]
    assert "3 calls by the tenant in 24 hours, 3 are allowed" in found(SATURDAY)["reason"]
    assert not found(SATURDAY - timedelta(hours=2))["blocks"]


def test_asking_counts_and_keeps_nothing(acme: CommandLine) -> None:
    before = [*rows_of(acme, "calls"), *rows_of(acme, "attempts"), *rows_of(acme, "audit")]
    said = [explained(acme, FLORIDA, *ACME, "--purpose", "service") for _ in range(2)]
    after = [*rows_of(acme, "calls"), *rows_of(acme, "attempts"), *rows_of(acme, "audit")]
    assert before == after
    assert outcomes(said[0]) == outcomes(said[1])


def rows_of(callguard: CommandLine, table: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(callguard.data / "callguard.db")
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own tables
    connection.close()
    return rows


def test_calls_no_longer_kept_are_said_to_be_missing(acme: CommandLine) -> None:
    acme("tenant", "policy", "acme", "attempt", "1d")
    notes = explained(acme, "+33142685300", *ACME, "--caller", ANN)["notes"]
    assert [note[:36] for note in notes] == ["earlier calls are known only from 20"]
    assert explained(acme, FLORIDA, *ACME, "--caller", ANN, "--purpose", "service")["notes"] == []


def test_the_tenants_own_values_are_those_that_count(acme: CommandLine) -> None:
    noon = ("--at", "2026-11-20T18:00Z")
    assert outcomes(explained(acme, FLORIDA, *ACME, *noon))["us-fl.hours"][0] == "pass"
    acme("policy", "override", "acme", "us-fl.hours", 'hours={weekdays=["09:00-11:00"]}')
    assert outcomes(explained(acme, FLORIDA, *ACME, *noon))["us-fl.hours"][0] == "block"


def test_the_settings_say_which_packs_count(acme: CommandLine) -> None:
    with acme.config.open("a") as file:
        file.write('\n[policy]\nleave_out = ["gb"]\n')
    found = outcomes(explained(acme, ANN, *ACME))
    assert "base.opt-out" in found
    assert not any(rule.startswith("gb.") for rule in found)


def test_a_machine_a_campaign_and_a_debt_are_taken_into_account(acme: CommandLine) -> None:
    assert "gb.automated-consent" not in outcomes(explained(acme, ANN, *ACME))
    said = explained(acme, ANN, *ACME, "--machine", "--campaign", "סתיו", "--debt", "d-1")
    assert outcomes(said)["gb.automated-consent"] == ("block", True)
    assert (said["campaign"], said["debt"]) == ("סתיו", "d-1")
    lines = text_of(acme, ANN, *ACME, "--campaign", "סתיו")
    assert "campaign: סתיו" in lines


def test_the_number_shown_is_that_of_the_call_or_of_the_tenant(callguard: CommandLine) -> None:
    shown = ("--key", "x25519", "--shown-number", "020 7946 0999")
    callguard("tenant", "add", "acme", *shown)
    callguard("tenant", "add", "bare", "--key", "x25519")
    assert outcomes(explained(callguard, ANN, *ACME))["gb.caller-id"] == ("pass", False)
    hidden = explained(callguard, ANN, *ACME, "--caller", "anonymous")
    assert outcomes(hidden)["gb.caller-id"] == ("block", True)
    bare = explained(callguard, ANN, "--tenant", "bare")
    assert outcomes(bare)["gb.caller-id"] == ("block", True)
    assert bare["notes"] == [
        "decided as a call that shows no number: the tenant has none, nor --caller"
    ]
    given = explained(callguard, ANN, "--tenant", "bare", "--caller", "+442079460999")
    assert outcomes(given)["gb.caller-id"] == ("pass", False)


def test_inbound_the_number_is_the_one_who_calls(acme: CommandLine) -> None:
    acme("contact", "set", ANN, *ACME, "--restrict")
    said = explained(acme, ANN, *ACME, "--direction", "inbound")
    assert said["verdict"] == "allow"
    assert outcomes(said)["base.restriction"] == ("require", False)
    assert "do_not_record" in said["obligations"]
    assert said["read_as"] == ANN
    lines = text_of(acme, ANN, *ACME, "--direction", "inbound", "--called", "+442079460999")
    assert any(line.startswith("the call must: do not record") for line in lines)


def test_an_emergency_number_passes_whatever_else_is_found(acme: CommandLine) -> None:
    lines = text_of(acme, "999", *ACME)
    assert lines[0].startswith("ALLOWED: 999 is an emergency number in GB")


def test_what_reaches_nobody_is_blocked_with_that_reason(acme: CommandLine) -> None:
    lines = text_of(acme, "sales\x1b[2J", *ACME)
    assert lines[0].startswith("BLOCKED: ")
    assert "place: not known" in lines
    assert lines[1] == "number: sales\\x1b[2J"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "say a number, or a kept call with --call"),
        ((ANN,), "say whose call it is, with --tenant"),
        ((ANN, "--tenant", "nobody"), "there is no tenant nobody"),
        ((ANN, *ACME, "--purpose", "fun"), "'fun' is no purpose; known: marketing, service"),
        ((ANN, *ACME, "--direction", "up"), "'up' is no direction; known: outbound, inbound"),
        ((ANN, *ACME, "--channel", "fax"), "'fax' is no channel; known: voice, sms, email"),
        ((ANN, *ACME, "--at", "noon"), "'noon' is no time such as"),
        ((ANN, *ACME, "--at", "2026-11-31"), "'2026-11-31' is no time such as"),
        ((ANN, *ACME, "--at", "1969-12-31"), "is not between 1970 and 2099"),
        ((ANN, *ACME, "--at", "2100-01-01"), "is not between 1970 and 2099"),
        ((ANN, *ACME, "--direction", "inbound", "--caller", ANN), "with --called"),
        ((ANN, *ACME, "--called", ANN), "--called is for inbound"),
        ((ANN, "--call", "x"), "--call stands alone"),
        (("--call", "x", *ACME), "--call stands alone"),
        (("--call", "x", "--at", "2026-11-21"), "--call stands alone"),
        (("--call", "x", "--machine"), "--call stands alone"),
        (("--call", "x"), "there is no such call"),
    ],
    ids=lambda value: " ".join(value)[-50:] if isinstance(value, tuple) else "",
)
def test_wrong_use_is_one_clear_line(
    acme: CommandLine, arguments: Sequence[str], reason: str
) -> None:
    acme("explain", *arguments).refused(reason)


def test_a_tenant_whose_settings_cannot_be_read_is_not_called_unknown(acme: CommandLine) -> None:
    with sqlite3.connect(acme.data / "callguard.db") as connection:
        connection.execute('UPDATE tenants SET settings = \'{"home_region": "XX"}\'')
    connection.close()
    acme("explain", ANN, *ACME).refused("tenant acme cannot be read")


@pytest.mark.parametrize("at", ["1970-01-01T00:00Z", "2099-12-31T23:59Z"])
@pytest.mark.parametrize("number", [FLORIDA, "+33142685300", "+97231234567", "+61255501234"])
def test_every_moment_that_may_be_asked_for_has_a_verdict(
    acme: CommandLine, at: str, number: str
) -> None:
    assert explained(acme, number, *ACME, "--at", at)["findings"] is not None


HOURS = Rule("gb.x", "calling_hours", "Hours", "The Act, s. 1", datetime(2020, 1, 2).date())  # noqa: DTZ001 - a day
BLOCKED = Finding(HOURS, Outcome.BLOCK, "it is too late", blocks=True)
PASSED = Finding(HOURS, Outcome.PASS, "no opt-out stands")


def keep(callguard: CommandLine, **values: object) -> str:
    """Keeps a call of a minute ago, blocked unless said otherwise."""
    now = datetime.now(UTC)
    row: dict[str, object] = {
        "id": str(uuid7(now)),
        "tenant_id": "acme",
        "pbx": "asterisk",
        "uniqueid": "1.1",
        "direction": "outbound",
        "purpose": "marketing",
        "campaign": "סתיו",
        "subject": ANN,
        "caller": "+442079460999",
        "called": ANN,
        "verdict": "block",
        "reasons": ["it is too late"],
        "obligations": [],
        "findings": [PASSED.as_json(), BLOCKED.as_json()],
        "decided_at": now - timedelta(minutes=1),
        "expires_at": now + timedelta(minutes=1),
        **values,
    }
    database = database_of(callguard)
    with database.writing() as connection:
        connection.execute(insert(calls).values(**row))
    database.close()
    return str(row["id"])


def test_a_kept_call_is_told_in_the_same_way_with_its_numbers_masked(acme: CommandLine) -> None:
    call = keep(acme)
    said = explained(acme, "--call", call)
    assert said["verdict"] == "block"
    assert said["reasons"] == ["it is too late"]
    assert said["number"] == "+44********00"
    assert said["findings"] == [BLOCKED.as_json(), PASSED.as_json()]
    text = "\n".join(text_of(acme, "--call", call))
    assert text.startswith("BLOCKED: it is too late\nnumber: +44********00\n")
    assert "campaign: סתיו" in text
    assert "The Act, s. 1" in text
    for told in (text, json.dumps(said)):
        assert "7946" not in told


def test_a_call_that_nothing_decided_cites_no_law(acme: CommandLine) -> None:
    verdict = refusal("gate.tenant", "no tenant 'x' is known")
    findings = [finding.as_json() for finding in verdict.findings]
    call = keep(acme, tenant_id=None, purpose=None, findings=findings)
    text = "\n".join(text_of(acme, "--call", call))
    assert "callguard: failure table" in text
    assert "in force since" not in text
    assert "unverified" not in text


def test_a_call_whose_date_has_passed_is_not_there(acme: CommandLine) -> None:
    past = keep(acme, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    acme("explain", "--call", past).refused("callguard: there is no such call\n")
    assert explained(acme, "--call", keep(acme, expires_at=None))["verdict"] == "block"


def test_what_a_dialplan_put_into_a_call_moves_no_cursor(acme: CommandLine) -> None:
    finding = {**BLOCKED.as_json(), "reason": "campaign \x1b[2J"}
    call = keep(acme, campaign="a\x1b[2Jb", reasons=["campaign \x1b[2J"], findings=[finding])
    assert "\x1b" not in "\n".join(text_of(acme, "--call", call))


def test_the_snapshots_that_were_asked_are_named(acme: CommandLine) -> None:
    digest = put(acme.data / "registries", "gb-tps", [ANN], ("+44",)).digest
    said = explained(acme, ANN, *ACME)
    assert said["registries"] == {"gb-tps": digest}
    assert outcomes(said)["gb.tps"] == ("block", True)
    assert f"registry gb-tps: snapshot {digest}" in text_of(acme, ANN, *ACME)
    assert explained(acme, ANN, *ACME, "--purpose", "service")["registries"] == {}


def test_a_kept_call_names_the_snapshots_that_answered_then(acme: CommandLine) -> None:
    digest = "5f" * 32
    call = keep(acme, registries={"gb-tps": digest})
    assert explained(acme, "--call", call)["registries"] == {"gb-tps": digest}
    assert f"registry gb-tps: snapshot {digest}" in text_of(acme, "--call", call)
    assert explained(acme, "--call", keep(acme, registries=None))["registries"] == {}


def test_it_is_told_how_the_call_would_be_recorded_and_who_wants_it_so(acme: CommandLine) -> None:
    service = (ANN, *ACME, "--purpose", "service")

    def line() -> str:
        (found,) = [t for t in text_of(acme, *service) if t.startswith("recording: ")]
        return found

    said = explained(acme, *service)["recording"]
    assert (said["mode"], said["law"], said["wish"], said["records"]) == (*["notice"] * 3, True)
    assert any(rule.startswith("gb.recording: ") for rule in said["rules"])
    assert line().startswith("recording: notice; the law asks for notice (")
    assert line().endswith("); the tenant wishes notice")
    acme("tenant", "set", "acme", "recording_mode=silent")
    assert line().startswith("recording: notice; the law asks for notice (")
    acme("tenant", "set", "acme", "recording_mode=ask")
    assert line().startswith("recording: ask; the law asks for notice (")
    acme("consent", "record", ANN, *ACME, "--purpose", "recording", "--proof", "contract 7")
    assert line().startswith("recording: prior; the law asks for prior (")
    assert "; it rests on consent:" in line()
    database = database_of(acme)
    with database.writing() as connection:
        connection.execute(consents.delete())
    database.close()
    assert line().startswith("recording: ask; ")
    assert line().endswith("; no evidence of the consent is on file")
    acme("tenant", "set", "acme", "record=no")
    assert line() == "recording: none; the tenant does not record"


def test_of_a_kept_call_it_is_told_how_it_was_recorded(acme: CommandLine) -> None:
    call = keep(acme)
    assert explained(acme, "--call", call)["recording"] is None
    row = {"id": "c1", "tenant_id": "acme", "call_id": call, "subject": ANN, "state": "granted"}
    row |= {"purpose": "recording", "mode": "notice_or_refuse"}
    database = database_of(acme)
    with database.writing() as connection:
        connection.execute(insert(consents).values(**row, at=SATURDAY))
    database.close()
    said = explained(acme, "--call", call)["recording"]
    assert (said["mode"], said["wish"]) == ("notice_or_refuse", None)
    assert f"callguard consent show --call {call}" in "\n".join(text_of(acme, "--call", call))
