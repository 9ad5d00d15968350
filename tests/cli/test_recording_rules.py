"""Who may read a recording on the command line, and what the audit log then says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callguard.storage.schema import audit
from tests.cli.conftest import CommandLine, Said
from tests.cli.recorded import change, kept, log_of, record, store_of
from tests.recording.playback.vault import AUDIO, SUBJECT, hold, logged, restrict


def export(callguard: CommandLine, name: str, *more: str) -> Said:
    out = str(callguard.folder / "out")
    return callguard("recording", "export", name, out, "--reason", "claim 7", *more)


def out(callguard: CommandLine) -> Path:
    return callguard.folder / "out"


def last(callguard: CommandLine) -> tuple[str, dict[str, object]]:
    action, details = log_of(callguard)[-1]
    return action, json.loads(details)


def test_an_auditor_sees_and_does_not_hear(acme: CommandLine) -> None:
    name = record(acme)
    for more in ((), ("--wav",)):
        export(acme, name, "--role", "auditor", *more).refused("role auditor may not")
        assert last(acme)[0] == "recording.refused"
        assert last(acme)[1]["why"] == "role"
    assert acme("recording", "show", name, "--role", "auditor").code == 0
    assert acme("recording", "verify", name, "--role", "auditor").code == 0
    assert not out(acme).exists()


def test_whoever_is_of_one_tenant_knows_of_no_other(acme: CommandLine) -> None:
    acme("tenant", "add", "two", "--key", "x25519")
    name = record(acme)
    for role in ("supervisor:two", "tenant_admin:two"):
        export(acme, name, "--role", role).refused(f"there is no recording {name}")
        acme("recording", "show", name, "--role", role).refused("there is no recording")
        acme("recording", "verify", name, "--role", role).refused("there is no recording")
        acme("recording", "verify", "--tenant", "acme", "--role", role).refused("own tenant")
        acme("recording", "list", "--tenant", "acme", "--role", role).refused("own tenant")
        assert acme("recording", "list", "--role", role, "--json").json() == []
    assert export(acme, name, "--role", "tenant_admin:acme").code == 0
    assert last(acme)[1]["of"] == "acme"
    out(acme).unlink()
    export(acme, name, "--role", "supervisor:acme").refused("may not take recordings away")
    export(acme, name, "--role", "supervisor").refused("is of one tenant: name it")
    export(acme, name, "--role", "king").refused("'king' is no role")


def test_a_refusal_is_in_the_log_and_so_is_who_asked(acme: CommandLine) -> None:
    absent = "017f22e2-79b0-7cc3-98c4-dc0c0c073980"
    export(acme, absent).refused(f"there is no recording {absent}")
    export(acme, "../../etc/passwd").refused("there is no recording")
    with kept(acme) as database:
        ((actor, action, details),) = logged(database)
    assert actor.startswith("cli:")
    assert action == "recording.refused"
    assert json.loads(details) == {
        "form": "age",
        "role": "operator",
        "reason": "claim 7",
        "why": "absent",
    }


def test_a_restricted_subjects_recording_is_read_on_a_ground_only(acme: CommandLine) -> None:
    name = record(acme)
    with kept(acme) as database:
        restrict(database, datetime.now(UTC))
    export(acme, name).refused("has had processing restricted")
    assert not out(acme).exists()
    export(acme, name, "--ground", "curiosity").refused("'curiosity' is no ground")
    assert export(acme, name, "--wav", "--ground", "legal-claim").code == 0
    action, details = last(acme)
    assert (action, details["ground"], details["restricted"]) == (
        "recording.export",
        "legal-claim",
        "yes",
    )
    assert "restricted: yes" in acme("recording", "show", name).out
    assert acme("recording", "verify", name).code == 0


@pytest.mark.parametrize("known", [None, '{"restricted_since": "one day"}', "no JSON"])
def test_where_nobody_can_tell_whose_voice_it_is_a_ground_is_needed(
    acme: CommandLine, known: str | None
) -> None:
    name = record(acme, subject=SUBJECT if known else None)
    with kept(acme) as database, database.writing() as connection:
        if known:
            connection.exec_driver_sql(
                "INSERT INTO contacts (tenant_id, subject, known, updated_at) VALUES (?, ?, ?, 0)",
                ("acme", SUBJECT, known),
            )
    export(acme, name).refused("it cannot be told whose voice it is")
    assert export(acme, name, "--ground", "consent").code == 0
    assert last(acme)[1]["restricted"] == "not known"


@pytest.mark.parametrize("what", ["tenant_id", "subject", "call_id", "nothing", "several"])
def test_what_a_hold_keeps_is_read_by_the_operator_and_the_log_names_the_hold(
    acme: CommandLine, what: str
) -> None:
    name = record(acme)
    change(acme, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    export(acme, name).refused("there is no recording")
    assert acme("recording", "list", "--json").json() == []
    one = {
        "tenant_id": "acme",
        "subject": "+442079460123",
        "call_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    }
    named = one if what == "several" else {what: one[what]} if what in one else {}
    with kept(acme) as database:
        hold(database, datetime.now(UTC), **{**one, "subject": "+442079460999"})
        kept_by = hold(database, datetime.now(UTC), **named)
    rows = acme("recording", "list", "--json").json()
    assert isinstance(rows, list)
    assert [row["recording"] for row in rows] == [name]
    assert acme("recording", "list", "--held", "--json").json() == rows
    asked = ("recording", "list", "--held", "--role", "supervisor:acme")
    acme(*asked).refused("a reader of role supervisor does not see what has expired")
    assert acme("recording", "list", "--json", "--role", "supervisor:acme").json() == []
    export(acme, name, "--role", "tenant_admin:acme").refused("there is no recording")
    assert export(acme, name, "--wav").code == 0
    assert last(acme)[1]["holds"] == [kept_by]
    assert out(acme).read_bytes()[44:] == AUDIO
    assert acme("recording", "verify", "--all", "--role", "auditor", "--json").code == 0


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("recording", "still in progress"),
        ("lost", "is lost"),
        ("delivered", "kept by the tenant"),
        ("erasing", "has been erased"),
    ],
)
def test_what_is_not_sealed_is_shown_and_not_read(acme: CommandLine, state: str, line: str) -> None:
    name = record(acme)
    change(acme, state=state, header=None)
    export(acme, name).refused(line)
    acme("recording", "verify", name).refused(line)
    assert f"state: {state}" in acme("recording", "show", name).out


def test_nothing_is_read_that_could_not_be_logged(acme: CommandLine) -> None:
    name = record(acme)
    with kept(acme) as database, database.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    export(acme, name).refused("disk is full")
    export(acme, name, "--wav").refused("disk is full")
    acme("recording", "verify", name).refused("disk is full")
    assert not out(acme).exists()


def test_what_is_damaged_leaves_no_file_and_a_line_in_the_log(acme: CommandLine) -> None:
    name = record(acme)
    (path,) = (acme.data / "objects" / "objects").rglob(name)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    for more in ((), ("--wav",)):
        export(acme, name, *more).refused("is not")
        action, details = last(acme)
        assert action == "recording.damaged"
        assert name in str(details["fault"])
        assert not out(acme).exists()


def test_a_key_that_was_destroyed_is_said_to_be(acme: CommandLine) -> None:
    name = record(acme)
    with kept(acme) as database, database.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant_keys SET wrapped_identity = NULL")
    export(acme, name, "--wav").refused("key was destroyed")
    assert "key: destroyed" in acme("recording", "show", name).out
    said = acme("recording", "verify", name)
    assert "only these were checked: the tenant's key was destroyed" in said.out


def test_the_chain_of_the_log_stays_whole(acme: CommandLine) -> None:
    name = record(acme)
    export(acme, name)
    export(acme, name, "--role", "auditor")
    acme("recording", "verify", "--all")
    assert acme("audit", "verify").code == 0
    with kept(acme) as database, database.reading() as connection:
        assert connection.execute(audit.select()).all()
    assert list(store_of(acme).names()) == [name]
