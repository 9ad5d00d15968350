"""``callguard key`` and ``callguard recording rewrap``."""

import io
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from callguard.recording import age
from callguard.recording.keys import MasterKey
from callguard.storage.database import Database
from tests.cli.conftest import CommandLine
from tests.clock import HandClock
from tests.recording.rekeying import keyed_rows

THEIRS = age.generate_identity("x25519")
PUBLIC = str(THEIRS.recipient)


def listed(callguard: CommandLine) -> Any:
    found: Any = callguard("key", "list", "--tenant", "acme", "--json").json()
    return found[0]


def recorded(
    callguard: CommandLine, count: int, *outside: str, state: str = "sealed"
) -> dict[str, bytes]:
    """Recordings of acme, by rows; their file keys."""
    master = MasterKey.load(callguard.data / "master.key")
    database = Database(f"sqlite:///{callguard.data / 'callguard.db'}")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keyed_rows, "MASTER", master)
            clock = HandClock()
            return keyed_rows.put(database, clock, count, outside or None, state=state)
    finally:
        database.close()


def headers(callguard: CommandLine) -> dict[str, bytes]:
    connection = sqlite3.connect(callguard.data / "callguard.db")
    found = dict(connection.execute("SELECT id, header FROM recordings").fetchall())
    connection.close()
    return found


def test_keys_are_listed_with_what_is_wrapped_for_them(acme: CommandLine) -> None:
    recorded(acme, 3)
    assert acme("key", "recipient", "add", "acme", PUBLIC, "--name", "archive").code == 0
    shown = acme("key", "list")
    assert "archive" in shown.out
    assert "outside" in shown.out
    assert PUBLIC not in shown.out.replace("\n", "")
    keys = listed(acme)
    assert [one["state"] for one in keys["versions"]] == ["active"]
    assert [(one["name"], one["recipient"]) for one in keys["outside"]] == [("archive", PUBLIC)]
    assert [(one["for"], one["count"]) for one in keys["recordings"]] == [("version 1", 3)]
    assert acme("key", "rotate", "acme", "--headers-only").code == 0
    [row] = listed(acme)["recordings"]
    assert row["for"] == "version 1 and outside recipients (the present ones)"
    assert row["keyed_for"] == keys["keyed_for"]
    assert "SECRET" not in acme("key", "list", "--json").out
    acme("key", "list", "--tenant", "nobody").refused("there is no tenant nobody")


def test_a_private_key_is_refused_and_never_echoed(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in (THEIRS.encode(), THEIRS.encode().lower(), f" {THEIRS.encode()}"):
        said = acme("key", "recipient", "add", "acme", secret, "--name", "x")
        said.refused("that is a private key")
        assert secret.strip() not in said.err
    secret = THEIRS.encode()
    for arguments in (
        ("key", "recipient", "remove", "acme", secret),
        ("key", "recipient", "add", "acme", PUBLIC, secret, "--name", "x"),
        ("key", "recipient", "add", secret, PUBLIC, "--name", "x"),
        ("tenant", "add", "other", "--recipient", secret),
        ("tenant", "set", "acme", f"recipients={secret}"),
        (secret,),
    ):
        said = acme(*arguments)
        said.refused("that is a private key")
        assert secret not in said.err
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{secret}\n"))
    acme("key", "recipient", "add", "acme", "-", "--name", "x").refused("that is a private key")
    assert listed(acme)["outside"] == []


def test_what_is_no_recipient_is_refused(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    for text in ("", "age1", "ssh-ed25519 AAAA", f"{PUBLIC}x", "ключ", "-"):
        acme("key", "recipient", "add", "acme", "--name", "x", "--", text).refused("recipient")


def test_a_recipient_comes_by_standard_input_too(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PUBLIC}\n"))
    assert acme("key", "recipient", "add", "acme", "-", "--name", "x").code == 0
    assert acme("key", "recipient", "add", "acme", PUBLIC, "--name", "y").code == 1
    assert len(listed(acme)["outside"]) == 1


def test_removing_a_recipient_warns_of_what_it_still_opens(acme: CommandLine) -> None:
    acme("key", "recipient", "add", "acme", PUBLIC, "--name", "x")
    said = acme("key", "recipient", "remove", "acme", "x")
    assert "still opens" in said.out
    assert "key rotate acme --headers-only" in said.out


def test_a_mix_with_post_quantum_keys_says_what_to_do(acme: CommandLine) -> None:
    hybrid = str(age.generate_identity("pq").recipient)
    said = acme("key", "recipient", "add", "acme", hybrid, "--name", "x")
    said.refused("set key_kind to theirs and then key rotate")
    assert acme("tenant", "set", "acme", "key_kind=pq").code == 0
    assert acme("key", "rotate", "acme").code == 0
    assert acme("key", "recipient", "add", "acme", hybrid, "--name", "x").code == 0


def test_a_rotation_says_what_it_did(acme: CommandLine) -> None:
    recorded(acme, 5)
    before = headers(acme)
    said = acme("key", "rotate", "acme")
    assert said.out == "acme: version 2 is active\nacme: 5 headers written anew\n"
    assert not set(headers(acme).values()) & set(before.values())
    answer: Any = acme("key", "rotate", "--all", "--json").json()
    [done] = answer["tenants"]
    assert (done["version"], done["rewritten"], done["retired"]) == (3, 5, [2])
    assert acme("recording", "rewrap", "acme").out == "acme: 0 headers written anew\n"
    assert acme("audit", "verify").code == 0


def test_former_keys_are_kept_for_an_hour_at_least(acme: CommandLine) -> None:
    recorded(acme, 1)
    said = acme("key", "rotate", "acme", "--drop-retired")
    assert "former private keys are kept: version 1 retired less than 1 h ago" in said.out


def test_handing_over_leaves_outside_recipients_alone(acme: CommandLine) -> None:
    keys = recorded(acme, 2)
    acme("key", "rotate", "acme", "--no-own-key").refused("no key at all")
    acme("key", "recipient", "add", "acme", PUBLIC, "--name", "x")
    assert acme("key", "rotate", "acme", "--no-own-key").code == 0
    for name, header in headers(acme).items():
        parsed = age.parse_header(header)
        assert len(parsed.stanzas) == 1
        assert age.unwrap(parsed, [THEIRS]) == keys[name]
    acme("key", "rotate", "acme").refused("--own-key makes it a key")
    said = acme("key", "rotate", "acme", "--headers-only")
    assert said.out == "acme: 0 headers written anew\n"
    said = acme("key", "rotate", "acme", "--own-key")
    assert "2 stay as they are: only outside recipients open them" in said.out
    assert listed(acme)["own_key"]


def test_which_tenant_must_be_said(acme: CommandLine) -> None:
    acme("key", "rotate").refused("say which tenant, or --all")
    acme("key", "rotate", "acme", "--all").refused("say which tenant, or --all")
    acme("key", "rotate", "--all", "--no-own-key").refused("for one tenant")
    acme("key", "rotate", "nobody").refused("there is no tenant nobody")


def test_one_tenant_that_fails_keeps_no_other_from_rotating(acme: CommandLine) -> None:
    assert acme("tenant", "add", "zeta", "--key", "x25519").code == 0
    connection = sqlite3.connect(acme.data / "callguard.db")
    assert acme("tenant", "add", "beta", "--key", "x25519").code == 0
    connection.execute("UPDATE tenant_keys SET wrapped_identity = x'00' WHERE tenant_id = 'acme'")
    connection.execute("""UPDATE tenants SET settings = '{"of": "later"}' WHERE id = 'beta'""")
    connection.commit()
    connection.close()
    said = acme("key", "rotate", "--all")
    assert "beta: " in said.err
    assert said.code == 1
    assert "acme: version 1 of acme: no master key wrapped these bytes" in said.err
    assert "zeta: version 2 is active" in said.out


def test_destroying_is_refused_without_a_yes_and_says_what_is_lost(acme: CommandLine) -> None:
    recorded(acme, 3)
    said = acme("key", "destroy", "acme", "--reason", "contract over")
    said.refused("3 recordings become unreadable for ever")
    said.refused("nothing more is recorded until the tenant has a recipient again; say --yes")
    acme("key", "destroy", "acme", "--reason", " ", "--yes").refused("needs a reason")
    assert listed(acme)["versions"][0]["state"] == "active"


def test_destroying_leaves_a_certificate_and_no_trace(acme: CommandLine, tmp_path: Path) -> None:
    recorded(acme, 3)
    connection = sqlite3.connect(acme.data / "callguard.db")
    [[wrapped]] = connection.execute("SELECT wrapped_identity FROM tenant_keys").fetchall()
    connection.close()
    file = tmp_path / "certificate.json"
    why = ("--reason", "contract over", "--yes")
    said = acme("key", "destroy", "acme", *why, "--certificate", str(file))
    assert (said.code, said.err) == (0, "")
    issued = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert issued["recordings"]["unreadable"] == 3
    assert issued["reason"] == "contract over"
    assert acme("key", "destroy", "acme", *why).json() == issued
    acme("key", "destroy", "acme", *why, "--certificate", str(file)).refused("exists already")
    assert all(wrapped[20:40] not in one.read_bytes() for one in acme.data.glob("callguard.db*"))
    assert "acme/1" in (acme.data / "erasures.ledger").read_text()
    keys = listed(acme)
    assert (keys["own_key"], keys["versions"][0]["state"]) == (False, "destroyed")
    assert acme("audit", "verify").code == 0


def test_a_certificate_that_cannot_be_written_keeps_the_keys(
    acme: CommandLine, tmp_path: Path
) -> None:
    why = ("--reason", "over", "--yes", "--certificate", str(tmp_path / "no" / "file"))
    acme("key", "destroy", "acme", *why).refused("No such file")
    assert listed(acme)["versions"][0]["state"] == "active"


def test_a_tenant_that_never_had_a_key_has_none_to_destroy_nor_is_given_one_unasked(
    callguard: CommandLine,
) -> None:
    both = ("--recipient", PUBLIC, "--recipient", f" {PUBLIC}")
    made = callguard("tenant", "add", "acme", "--key", "none", *both)
    assert made.code == 0
    assert [one["recipient"] for one in listed(callguard)["outside"]] == [PUBLIC]
    callguard("key", "rotate", "acme").refused("has no key of its own")
    said = callguard("key", "destroy", "acme", "--reason", "over", "--yes")
    said.refused("has never had a key of its own")
