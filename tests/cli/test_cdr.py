"""``callguard cdr``: who may see call records and take them away, and what the log says of it."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from callguard.cdr.columns import NAMES, VERSION
from callguard.recording import age
from callguard.storage.database import Database
from callguard.storage.schema import audit, call_statistics, calls, tenants
from tests.cdr.export.reading_back import table_of
from tests.cdr.told import (
    NOON,
    OWN,
    SUBJECT,
    hold,
    put_call,
    put_consent,
    put_record,
    put_records,
    record,
)
from tests.cli.conftest import CommandLine
from tests.cli.recorded import kept
from tests.recording.sealing import X25519

WHY = "--reason=bill 4711"
EXPORT = ("cdr", "export")


@pytest.fixture
def filled(acme: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Three records of one day, and a call with its consent."""
    monkeypatch.setenv("COLUMNS", "250")
    with kept(acme) as database:
        call = put_call(database)
        put_consent(database, call, "granted")
        put_records(database, [record(0, call_id=call), record(1), record(2, direction="inbound")])
        put_record(database, 3, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    return acme


def logged(callguard: CommandLine) -> list[tuple[str, dict[str, Any]]]:
    with kept(callguard) as database, database.reading() as connection:
        found = connection.execute(select(audit.c.action, audit.c.details).order_by(audit.c.seq))
        return [
            (row.action, json.loads(row.details))
            for row in found
            if row.action.startswith("call_records.")
        ]


def exported(callguard: CommandLine, out: Path, *more: str) -> Any:
    return callguard(*EXPORT, str(out), "--tenant=acme", WHY, "--json", *more).json()


def test_an_export_is_a_file_and_one_line_that_says_what_it_is(filled: CommandLine) -> None:
    out = filled.folder / "calls.csv"
    said = filled(*EXPORT, str(out), "--tenant=acme", WHY)
    assert (said.code, said.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8"), newline="")))
    assert [row["sequence"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["called"] == SUBJECT
    assert rows[0]["consent_states"] == "granted"
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    size = out.stat().st_size
    assert said.out == (f"wrote {out}: 3 rows, {size} bytes, sha256 {digest}, columns v{VERSION}\n")


def test_the_name_of_the_file_says_the_format(filled: CommandLine) -> None:
    told = exported(filled, filled.folder / "calls.jsonl")
    assert (told["format"], told["rows"]) == ("jsonl", 3)
    lines = (filled.folder / "calls.jsonl").read_text("utf-8").splitlines()
    assert list(json.loads(lines[0])) == list(NAMES)
    exported(filled, filled.folder / "calls.parquet")
    assert table_of((filled.folder / "calls.parquet").read_bytes()).num_rows == 3
    told = exported(filled, filled.folder / "calls.x", "--format=jsonl")
    assert told["format"] == "jsonl"
    filled(*EXPORT, str(filled.folder / "c.xls"), "--tenant=acme", WHY).refused(
        "'xls' is no format: csv, jsonl, parquet"
    )


def test_only_the_period_and_what_is_asked_for(filled: CommandLine) -> None:
    out = filled.folder / "calls.csv"
    noon = NOON.isoformat()
    one = (NOON + timedelta(seconds=1)).isoformat()
    assert exported(filled, out, f"--from={noon}", f"--to={one}")["rows"] == 1
    assert exported(filled, out, "--direction=inbound", "--force")["rows"] == 1
    assert exported(filled, out, f"--number={SUBJECT}", "--force")["rows"] == 3
    assert exported(filled, out, "--number=+4930123456", "--force")["rows"] == 0
    filled(*EXPORT, str(out), "--tenant=acme", WHY, "--force", f"--from={one}", f"--to={noon}"
           ).refused("nothing ends from")  # fmt: skip
    filled(*EXPORT, str(out), "--tenant=acme", WHY, "--force", "--number=x").refused(
        "is no telephone number"
    )


def test_it_is_in_the_audit_log_before_and_after_and_no_number_is(filled: CommandLine) -> None:
    out = filled.folder / "calls.csv"
    told = exported(filled, out, f"--number={SUBJECT}", f"--from={NOON.isoformat()}")
    (first, begun), (second, ended) = logged(filled)
    assert (first, second) == ("call_records.export", "call_records.exported")
    assert begun["reason"] == "bill 4711"
    assert (begun["format"], begun["by"], begun["masked"]) == ("csv", ["number"], False)
    assert begun["since"] == NOON.isoformat()
    assert begun["export"] == ended["export"]
    assert (ended["rows"], ended["bytes"], ended["sha256"]) == (3, told["bytes"], told["sha256"])
    assert SUBJECT[3:] not in json.dumps([begun, ended])


def test_what_is_not_written_is_said_so_in_the_log(
    filled: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = filled.folder / "calls.csv"

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("callguard.cdr.export.whole_file.os.write", full)
    filled(*EXPORT, str(out), "--tenant=acme", WHY).refused("No space left on device")
    assert not out.exists()
    (_, _), (action, ended) = logged(filled)
    assert action == "call_records.not_exported"
    assert "No space left" in ended["fault"]


def test_nothing_is_read_that_cannot_be_logged(
    filled: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = filled.folder / "calls.csv"

    def broken(*_: object) -> None:
        raise OSError("the log is full")

    monkeypatch.setattr("callguard.cdr.disclosure.append", broken)
    filled(*EXPORT, str(out), "--tenant=acme", WHY).refused("the log is full")
    filled("cdr", "list", WHY).refused("the log is full")
    assert not out.exists()


def test_it_needs_a_reason_a_role_and_somebody_whose_records_they_are(filled: CommandLine) -> None:
    out = filled.folder / "calls.csv"
    assert filled(*EXPORT, str(out), "--tenant=acme").code == 2
    assert filled(*EXPORT, str(out), WHY).code == 2
    assert filled(*EXPORT, str(out), WHY, "--all", "--tenant=acme").code == 2
    filled(*EXPORT, str(out), "--tenant=acme", "--reason= ").refused("needs a reason")
    for role in ("auditor", "supervisor:acme"):
        filled(*EXPORT, str(out), "--tenant=acme", WHY, f"--role={role}").refused("may not export")
    filled(*EXPORT, str(out), "--tenant=nobody", WHY).refused("there is no tenant nobody")
    filled("tenant", "add", "beta", "--key", "x25519")
    filled(*EXPORT, str(out), "--tenant=acme", WHY, "--role=tenant_admin:beta").refused(
        "sees its own tenant's"
    )
    assert logged(filled) == []
    told = filled(*EXPORT, str(out), WHY, "--role=tenant_admin:beta", "--json").json()
    assert isinstance(told, dict)
    assert told["rows"] == 0
    assert exported(filled, out, "--force", "--role=tenant_admin:acme")["rows"] == 3


def test_numbers_of_who_had_processing_restricted_need_a_ground_too(filled: CommandLine) -> None:
    filled("contact", "set", SUBJECT, "--tenant=acme", "--restrict")
    out = filled.folder / "calls.csv"
    said = filled(*EXPORT, str(out), "--tenant=acme", WHY)
    assert said.out.endswith("; without numbers, only stored: 3 (name a --ground)\n")
    assert SUBJECT not in out.read_text("utf-8")
    shown = [("cdr", "list", WHY), ("cdr", "show", call_of(filled), WHY)]
    for command in shown:
        assert SUBJECT not in filled(*command, "--json").out
        assert SUBJECT in filled(*command, "--json", "--ground=legal-claim").out
    assert exported(filled, out, "--force", "--ground=legal-claim")["only_stored"] == 0
    assert SUBJECT in out.read_text("utf-8")
    filled(*EXPORT, str(out), "--tenant=acme", WHY, "--force", "--ground=mine").refused(
        "is no ground"
    )
    details = [one for _, one in logged(filled)]
    assert [one.get("only_stored") for one in details[:2]] == [None, 3]
    assert [one.get("ground") for one in details[-2:]] == ["legal-claim"] * 2


def test_what_is_held_is_seen_for_a_reason_by_readers_of_all_tenants(filled: CommandLine) -> None:
    with kept(filled) as database:
        hold(database, SUBJECT)
    held = ("cdr", "list", "--tenant=acme", "--json", "--held")
    for role in ("operator", "auditor"):
        rows = filled(*held, WHY, f"--role={role}").json()
        assert isinstance(rows, list)
        assert [row["sequence"] for row in rows] == [3, 2, 1, 0]
    assert logged(filled)[-1][1]["held"] is True
    filled(*held).refused("needs a reason")
    for role in ("tenant_admin:acme", "supervisor:acme"):
        filled(*held, WHY, f"--role={role}").refused("sees nothing that has expired")
    out = filled.folder / "calls.csv"
    assert exported(filled, out, "--held")["rows"] == 4
    assert exported(filled, out, "--force")["rows"] == 3


def test_of_a_tenant_whose_contract_has_ended_nobody_sees_any_more(filled: CommandLine) -> None:
    with kept(filled) as database, database.writing() as connection:
        connection.execute(update(tenants).values(ends_at=NOON))
    out = filled.folder / "calls.csv"
    mine = "--role=tenant_admin:acme"
    for command in (("cdr", "list"), ("cdr", "show", call_of(filled)), ("cdr", "statistics")):
        filled(*command, mine).refused("the contract of acme has ended")
    filled(*EXPORT, str(out), WHY, mine).refused("the contract of acme has ended")
    assert logged(filled) == []
    assert exported(filled, out)["rows"] == 3


def call_of(callguard: CommandLine) -> str:
    with kept(callguard) as database, database.reading() as connection:
        return str(connection.execute(select(calls.c.id)).scalars().one())


def test_a_file_that_is_there_stays_unless_told_otherwise(filled: CommandLine) -> None:
    out = filled.folder / "calls.csv"
    out.write_text("mine")
    filled(*EXPORT, str(out), "--tenant=acme", WHY).refused("exists already; --force replaces it")
    assert out.read_text() == "mine"
    assert logged(filled) == []
    assert exported(filled, out, "--force")["rows"] == 3


def test_sealed_it_opens_with_the_key_alone(filled: CommandLine) -> None:
    out = filled.folder / "calls.jsonl.age"
    told = exported(filled, out, f"--recipient={X25519.recipient}")
    assert told["format"] == "jsonl"
    plain = age.open_file(out.read_bytes(), [X25519])
    assert plain.count(b"\n") == 3
    assert SUBJECT.encode() not in out.read_bytes()
    filled(*EXPORT, str(out), "--tenant=acme", WHY, "--force", "--recipient=age1x").refused(
        "the recipient is not Bech32"
    )


def test_masked_no_number_is_in_the_file(filled: CommandLine) -> None:
    out = filled.folder / "calls.csv"
    exported(filled, out, "--mask")
    assert SUBJECT not in out.read_text("utf-8")
    assert OWN not in out.read_text("utf-8")


def test_to_standard_output_the_last_line_goes_to_the_other_stream(filled: CommandLine) -> None:
    said = filled(*EXPORT, "-", "--tenant=acme", WHY, "--format=jsonl")
    assert said.code == 0
    assert said.out.count("\n") == 3
    assert said.err.startswith("3 rows, ")


def test_a_stream_that_takes_no_more_is_one_line(filled: CommandLine) -> None:
    command = [sys.executable, "-m", "callguard", *EXPORT, "-", "--tenant=acme", WHY]
    surroundings = {**os.environ, "CALLGUARD_CONFIG": str(filled.config)}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env=surroundings, check=False, timeout=30
        )
    assert done.returncode == 1
    assert done.stderr == b"callguard: standard output was not written: No space left on device\n"


def test_a_list_is_masked_unless_there_is_a_reason(filled: CommandLine) -> None:
    said = filled("cdr", "list", "--tenant=acme", "--json")
    rows = said.json()
    assert isinstance(rows, list)
    assert [row["sequence"] for row in rows] == [2, 1, 0]
    assert SUBJECT not in said.out
    assert logged(filled) == []
    said = filled("cdr", "list", "--tenant=acme", "--json", "--limit=1", WHY)
    assert SUBJECT in said.out
    ((action, details),) = logged(filled)
    assert (action, details["reason"]) == ("call_records.read", "bill 4711")
    assert "ANSWERED" in filled("cdr", "list").out
    filled("cdr", "list", "--reason=-").refused("needs a reason")


def test_a_call_is_shown_with_its_verdict_consent_and_legs(filled: CommandLine) -> None:
    with kept(filled) as database:
        call = put_call(database, agent="דנה\x1b[2J")
        put_consent(database, call, "refused")
        put_record(database, 7, call_id=call)
    said = filled("cdr", "show", call)
    assert said.code == 0
    for word in ("verdict: allow", "refused", "1700000000.7", "obligations: notice"):
        assert word in said.out
    assert "\x1b" not in said.out
    told = filled("cdr", "show", call, "--json", WHY).json()
    assert isinstance(told, dict)
    assert told["subject"] == SUBJECT
    filled("cdr", "show", "nothing").refused("there is no call nothing")
    filled("cdr", "show", call, "--role=supervisor:beta").refused("there is no call")
    assert [action for action, _ in logged(filled)] == ["call_records.read"]


def test_what_is_left_of_anonymous_records_is_counted_by_day(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    with kept(acme) as database:
        put_statistics(database, 19, 7)
        put_statistics(database, 20, 9)
    rows = acme("cdr", "statistics", "--tenant=acme", "--json").json()
    assert isinstance(rows, list)
    assert [row["calls"] for row in rows] == [7, 9]
    rows = acme("cdr", "statistics", "--from=2026-11-20", "--to=2026-11-21", "--json").json()
    assert isinstance(rows, list)
    assert [row["calls"] for row in rows] == [9]
    assert acme("cdr", "statistics", "--role=supervisor:other", "--json").code == 1
    assert "marketing" in acme("cdr", "statistics").out
    acme("cdr", "statistics", "--from=yesterday").refused("is no day such as")


def put_statistics(database: Database, day: int, calls: int) -> None:
    values = {
        "tenant_id": "acme",
        "day": NOON.replace(day=day).date(),
        "direction": "outbound",
        "purpose": "marketing",
        "campaign": "",
        "disposition": "ANSWERED",
        "calls": calls,
        "billed_s": 60,
    }
    with database.writing() as connection:
        connection.execute(insert(call_statistics).values(values))


def test_no_call_record_is_read_while_it_is_not_known_what_was_erased(
    filled: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "callguard.cdr.disclosure.not_remembering", lambda _: "the erasure ledger is missing"
    )
    out = filled.folder / "calls.csv"
    for command in (
        (*EXPORT, str(out), "--tenant=acme", WHY),
        ("cdr", "list"),
        ("cdr", "show", "x"),
    ):
        filled(*command).refused("no call record is read while the erasure ledger is missing")
    assert not out.exists()
