"""``callguard consent show --call``: the chain of a call, and whether a consent stood."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, insert, update

from callguard.ids import uuid7
from callguard.storage.database import Database
from callguard.storage.schema import (
    call_records,
    calls,
    consents,
    opt_outs,
    recording_events,
    recordings,
)
from tests.cli.conftest import CommandLine

CALL = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
PASSED_ON = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
ANN, BOB = "+442079460000", "+97235550000"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOTICE = "notice-refuse v2 he sha256:" + "ab" * 32
WORDS = "השיחה מוקלטת. " + "לחץ 2 כדי לסרב. " * 40 + "\u202eend\x1b[2J"
VERDICT = "verdict allow on outbound, service, acme, +44********00; the call must: play notice"
RULE = "gb.recording: UK GDPR art. 6"

Rows = Sequence[tuple[Table, Mapping[str, object]]]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def call(name: str, subject: str, **values: object) -> tuple[Table, Mapping[str, object]]:
    duties = ["play_notice"]
    finding = {"reason": "recording needs a notice", "outcome": "require"}
    law = {"rule": "gb.recording", "citation": "UK GDPR art. 6", "status": "unverified"}
    other = {"rule": "gb.hours", "citation": "x", "outcome": "pass", "obligations": []}
    return calls, {
        "id": name,
        "tenant_id": "acme",
        "pbx": "east",
        "uniqueid": "1.1",
        "direction": "outbound",
        "channel": "voice",
        "purpose": "service",
        "subject": subject,
        "caller": "1",
        "called": subject,
        "verdict": "allow",
        "reasons": [],
        "obligations": duties,
        "decided_at": NOON,
        "campaign": None,
        "findings": [{**finding, **law, "obligations": duties}, other],
        **values,
    }


def told(row_id: str, seconds: float, **values: object) -> tuple[Table, Mapping[str, object]]:
    return consents, {
        "id": row_id,
        "tenant_id": "acme",
        "call_id": CALL,
        "subject": ANN,
        "purpose": "recording",
        "state": "granted",
        "mode": "notice_or_refuse",
        "rules": [RULE],
        "pbx": "east",
        "channel_uniqueid": "1.2",
        "prompt": NOTICE,
        "words": WORDS,
        "language": "he",
        "asked": 2,
        "heard_ms": 2980,
        "length_ms": 3000,
        "answer": None,
        "at": at(seconds),
        **values,
    }


def event(seconds: float, kind: str, by: str = "callguard", reason: str | None = None) -> Any:
    return recording_events, {
        "id": f"e{seconds:05.1f}",
        "recording_id": "r1",
        "call_id": CALL,
        "tenant_id": "acme",
        "kind": kind,
        "by": by,
        "reason": reason,
        "at": at(seconds),
    }


RECORDING = (
    recordings,
    {
        "id": "r1",
        "tenant_id": "acme",
        "call_id": CALL,
        "pbx": "east",
        "channel_uniqueid": "1.2",
        "state": "sealed",
        "spool_name": "s",
        "encoding": "x",
        "started_at": at(4),
        "ended_at": at(60),
        "sealed_at": at(62),
        "payload_sha256": "cd" * 32,
    },
)
WHOLE: Rows = (
    call(CALL, ANN),
    told("c1", 3),
    RECORDING,
    event(4, "started"),
    event(20, "paused", "agent"),
    event(20.1, "silenced", reason="paused"),
    event(30, "resumed", "agent"),
    event(30.1, "heard"),
    event(40, "silenced", reason="not told: 1.5"),
    event(50, "heard"),
    (
        opt_outs,
        {
            "seq": 1,
            "tenant_id": "acme",
            "subject": ANN,
            "standing": True,
            "purposes": [],
            "way": "feature_code",
            "call_id": CALL,
            "actor": "subject",
            "at": at(55),
        },
    ),
)


def put(callguard: CommandLine, rows: Rows) -> None:
    database = Database(f"sqlite:///{callguard.data / 'callguard.db'}")
    with database.writing() as connection:
        for table, values in rows:
            connection.execute(insert(table).values(**values))
    database.close()


def shown(callguard: CommandLine) -> tuple[int, list[str]]:
    said = callguard("consent", "show", "--call", CALL)
    assert said.err == ""
    return said.code, said.out.splitlines()


def test_the_chain_is_told_from_the_verdict_to_the_sealed_recording(acme: CommandLine) -> None:
    put(acme, WHOLE)
    code, lines = shown(acme)
    words = WORDS.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    day = "2026-11-20 12:00:"
    assert lines == [
        f"call {CALL}",
        f"{day}00.000Z  {VERDICT}",
        "    rule gb.recording (UK GDPR art. 6, status unverified): recording needs a notice",
        f"{day}03.000Z  GRANTED: +44********00 on east 1.2, mode notice_or_refuse",
        f"    prompt {NOTICE}",
        "    language he; heard 2980 of 3000 ms, played 2 times, no digit",
        f"    words: {words}",
        f"    asked for by {RULE}",
        f"{day}04.000Z  recording 1 started by callguard",
        "    r1; channel east 1.2; now sealed",
        f"{day}20.000Z  recording 1 paused by agent",
        f"{day}20.100Z  recording 1 silenced by callguard: paused",
        f"{day}30.000Z  recording 1 resumed by agent",
        f"{day}30.100Z  recording 1 heard by callguard",
        f"{day}40.000Z  recording 1 silenced by callguard: not told: 1.5",
        f"{day}50.000Z  recording 1 heard by callguard",
        f"{day}55.000Z  opted out of calls by acme: +44********00, way feature_code, by subject",
        "2026-11-20 12:01:00.000Z  recording 1 ended by callguard",
        f"2026-11-20 12:01:02.000Z  recording 1 sealed by callguard: sha256:{'cd' * 32}",
        "consent: stood for all of it; 36.000 s audible in 1 recording",
    ]
    assert code == 0
    assert ANN not in "\n".join(lines)


def test_a_machine_reads_all_of_it(acme: CommandLine) -> None:
    put(acme, WHOLE)
    said = acme("consent", "show", "--call", CALL, "--json").json()
    assert isinstance(said, dict)
    kinds = [link["what"] for link in said["links"]]
    assert kinds == ["verdict", "consent", *["recording"] * 7, "opt_out", *["recording"] * 2]
    telling = said["links"][1]
    assert (telling["words"], telling["heard_ms"], telling["rules"]) == (WORDS, 2980, [RULE])
    assert said["links"][0]["findings"][0]["status"] == "unverified"
    assert said["recordings"][0]["sha256"] == "cd" * 32
    assert said["consent"] == {
        "stood": True,
        "recordings": 1,
        "audible_ms": 36_000,
        "without": [],
        "doubts": [],
    }
    assert ANN not in str(said)


def test_where_no_consent_stood_the_last_line_says_so_and_the_command_fails(
    acme: CommandLine,
) -> None:
    withdrawn = told("c2", 41.5, state="withdrawn", prompt=None, words=None, actor="api", proof="x")
    put(acme, (*WHOLE, withdrawn))
    code, lines = shown(acme)
    assert code == 1
    assert "12:00:41.500Z  WITHDRAWN: +44********00 on east 1.2" in "\n".join(lines)
    assert lines[-1] == (
        "consent: DID NOT STAND for all of it; 36.000 s audible in 1 recording; "
        "without consent: recording 1, 10.000 s from 2026-11-20 12:00:50.000Z"
    )
    said = acme("consent", "show", "--call", CALL, "--json")
    assert (said.code, said.out.count("\n")) == (1, 1)
    assert '"stood": false' in said.out


def test_what_was_said_elsewhere_and_bears_on_the_call_is_in_its_chain(acme: CommandLine) -> None:
    elsewhere: dict[str, object] = {"call_id": None, "pbx": None, "prompt": None}
    elsewhere |= {"channel_uniqueid": None}
    elsewhere |= {"mode": None, "rules": None, "words": None, "actor": "cli:ann"}
    put(
        acme,
        (
            call(CALL, ANN),
            told("c0", -9000, proof="contract 7", **elsewhere),
            told("c1", 3, mode="prior", prompt=None, proof="consent:c0"),
            told("c2", 30, state="withdrawn", proof="by letter", **elsewhere),
            told("c3", -500, state="withdrawn", proof="long before", **elsewhere),
            (recordings, {**RECORDING[1], "ended_at": at(30.5)}),
            event(4, "started"),
            event(30.4, "stopped"),
        ),
    )
    code, lines = shown(acme)
    text = "\n".join(lines)
    assert code == 0
    assert "granted before elsewhere: +44********00, entered by cli:ann" in lines[1]
    assert lines[2] == "    consent:c0: contract 7"
    assert "    rests on consent:c0" in lines
    assert "12:00:30.000Z  withdrawn elsewhere" in text
    assert "long before" not in text


def test_calls_that_were_linked_are_named_with_what_was_told_in_them(acme: CommandLine) -> None:
    record = {
        "pbx": "east",
        "sequence": 1,
        "linkedid": "1.1",
        "tenant_id": "acme",
        "caller": "1",
        "called": "2",
        "channel": "x",
        "peer_channel": "y",
        "started_at": NOON,
        "ended_at": NOON,
        "duration_s": 1,
        "billed_s": 1,
        "disposition": "ANSWERED",
        "userfield": "",
        "source": "file",
    }
    put(
        acme,
        (
            *WHOLE,
            call(PASSED_ON, BOB, uniqueid="1.7"),
            told("c7", 45, call_id=PASSED_ON, subject=BOB, channel_uniqueid="1.7", state="refused"),
            (call_records, {**record, "uniqueid": "1.1", "call_id": CALL}),
            (call_records, {**record, "uniqueid": "1.7", "call_id": PASSED_ON}),
            (call_records, {**record, "uniqueid": "9.9", "linkedid": "9.9", "call_id": "else"}),
        ),
    )
    code, lines = shown(acme)
    assert code == 0
    assert f"linked: call {PASSED_ON}, outbound, +97*******00, allow" in lines
    assert any("REFUSED: +97*******00 on east 1.7, mode" in line for line in lines)
    assert any(f"in call {PASSED_ON}" in line for line in lines)
    # It fell silent for somebody before, but not after this answer.
    (doubt,) = [line for line in lines if line.startswith("note: ")]
    assert doubt.startswith("note: whether channel 1.7, where it was refused, was ever on")


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (calls, "note: the verdict is no longer kept"),
        (recordings, "consent: stood for all of it; 26.000 s audible in 1 recording"),
        (recording_events, "consent: stood for all of it; 56.000 s audible in 1 recording"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_has_expired_is_not_told(acme: CommandLine, gone: Table, left: str) -> None:
    put(acme, WHOLE)
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    with database.writing() as connection:
        connection.execute(update(gone).values(expires_at=NOON))
    database.close()
    code, lines = shown(acme)
    assert left in lines
    assert code == 0


def test_a_call_of_which_nothing_is_kept_is_one_line(acme: CommandLine) -> None:
    acme("consent", "show", "--call", "x\x1b").refused("nothing is kept of a call x\\x1b")
    acme("consent", "show").refused("say a number, or a call with --call")
    acme("consent", "show", ANN).refused("say towards which tenant")
    acme("consent", "show", ANN, "--call", CALL).refused("--call stands alone")


def test_who_refused_in_the_next_call_on_the_same_channel_is_in_the_chain(
    acme: CommandLine,
) -> None:
    first, later = str(uuid7(at(3))), str(uuid7(at(30)))
    refused = told(later, 30, call_id="another", state="refused")
    put(acme, (call(CALL, ANN), told(first, 3), RECORDING, refused))
    code, lines = shown(acme)
    assert code == 1
    assert any("REFUSED" in line and line.endswith(", in call another") for line in lines)
    assert lines[-1].startswith("consent: DID NOT STAND")


def test_a_prompt_that_was_not_played_is_not_said_to_have_been(acme: CommandLine) -> None:
    put(acme, (call(CALL, ANN), told("c1", 3, state="incomplete", asked=0, heard_ms=0)))
    _, lines = shown(acme)
    assert "    language he; heard 0 of 3000 ms, played 0 times, no digit" in lines
