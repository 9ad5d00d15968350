"""``callguard restore``: whole and forgetful, or refused in one line."""

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.config import Settings
from callguard.gate.lease import FILE as LEASE_FILE
from callguard.recording import age
from callguard.recording.keyring import open_keyring
from callguard.retention.backup import restoring
from callguard.retention.backup.marker import RESTORING, Marker, begin
from callguard.retention.backup.placing import place_of
from callguard.retention.backup.sealing import seal_manifest
from callguard.retention.erasures.ledger import RECORDING, Erasure, ErasureLedger
from callguard.storage.database import Database
from callguard.storage.schema import audit, purges, recordings
from tests.cli.conftest import CommandLine, Said
from tests.cli.recorded import record, store_of
from tests.cli.test_backup import backed_up
from tests.clock import HandClock

ACCEPT = ("--accept-ledger-of-backup", "--reason", "the machine burnt down")


def back(callguard: CommandLine, folder: Path, *more: str) -> Said:
    """Restores into a new folder."""
    return callguard("restore", str(folder), "--into", str(callguard.folder / "new"), *more)


def erase(callguard: CommandLine, name: str) -> None:
    assert callguard("recording", "erase", name, "--reason", "asked", "--yes").code == 0


def told_by(said: Said) -> dict[str, object]:
    """What it told in JSON; what it logged stands on the other stream."""
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert isinstance(told, dict)
    return told


def restored(callguard: CommandLine) -> Database:
    return Database(f"sqlite:///{callguard.folder / 'new' / 'callguard.db'}")


def resealed(callguard: CommandLine, folder: Path) -> None:
    """As one who has the master key would forge the digests."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        raw = (folder / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    manifest["database"] = manifest["files"]["callguard.db"]
    raw = json.dumps(manifest, sort_keys=True, ensure_ascii=True, indent=1).encode() + b"\n"
    (folder / "manifest.json").write_bytes(raw)
    wrapper = open_keyring(Settings.load(callguard.config)).identities
    (folder / "manifest.seal").write_bytes(seal_manifest(raw, wrapper))


def test_a_backup_with_its_objects_comes_back_into_a_new_folder(acme: CommandLine) -> None:
    kept, gone = record(acme), record(acme)
    erase(acme, gone)
    folder = backed_up(acme, "--objects")
    told = told_by(back(acme, folder, "--json"))
    assert (told["objects"], told["missing"], told["damaged"]) == (1, [], [])
    said = acme("recording", "verify", kept, "--config", str(acme.folder / "new/callguard.toml"))
    assert (said.code, said.err) == (0, "")
    assert not (acme.folder / "new" / RESTORING).exists()


def test_what_was_erased_after_the_backup_is_forgotten_again(acme: CommandLine) -> None:
    name, kept = record(acme), record(acme)
    erase(acme, record(acme))  # so that the ledger has begun
    folder = backed_up(acme, "--objects")
    erase(acme, name)
    told = told_by(back(acme, folder, "--json"))
    assert (told["forgotten_again"], told["objects"]) == (1, 1)
    database = restored(acme)
    with database.reading() as connection:
        headers = dict(connection.execute(select(recordings.c.id, recordings.c.header)).fetchall())
        last = connection.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one()
        (certificate,) = connection.execute(
            select(purges.c.certificate).where(purges.c.kind == "restore")
        ).scalars()
    database.close()
    assert headers[name] is None
    assert headers[kept] is not None
    assert last.action == "restore"
    assert certificate["forgotten_again"] == 1
    assert not list((acme.folder / "new/objects").glob(f"objects/*/{name}"))


def test_without_a_ledger_beside_the_backups_own_it_is_refused(acme: CommandLine) -> None:
    name = record(acme)
    erase(acme, record(acme))
    folder = backed_up(acme, "--objects")
    (acme.data / "erasures.ledger").unlink()
    back(acme, folder).refused("--accept-ledger-of-backup")
    back(acme, folder, *ACCEPT[:1]).refused("needs a reason")
    said = back(acme, folder, *ACCEPT)
    assert said.code == 0
    assert "ATTENTION" in said.out
    database = restored(acme)
    with database.reading() as connection:
        (certificate,) = connection.execute(
            select(purges.c.certificate).where(purges.c.kind == "restore")
        ).scalars()
        assert connection.execute(
            select(recordings.c.header).where(recordings.c.id == name)
        ).scalar_one()
    database.close()
    assert (certificate["ledger_of_backup"], certificate["reason"]) == (True, ACCEPT[2])


def test_a_ledger_that_was_kept_elsewhere_is_named(acme: CommandLine) -> None:
    name = record(acme)
    folder = backed_up(acme, "--objects")
    erase(acme, name)
    saved = acme.folder / "saved.ledger"
    (acme.data / "erasures.ledger").rename(saved)
    told = told_by(back(acme, folder, "--ledger", str(saved), "--json"))
    assert told["forgotten_again"] == 1


def test_one_that_was_cut_off_still_says_that_later_erasures_are_not_known(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase(acme, record(acme))
    folder = backed_up(acme)
    (acme.data / "erasures.ledger").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "verify_objects", lambda *_: (_ for _ in ()).throw(OSError(5, "")))
        assert back(acme, folder, *ACCEPT).code == 1
    assert (acme.folder / "new/erasures.ledger").exists()
    assert told_by(back(acme, folder, *ACCEPT, "--json"))["ledger_of_backup"] is True


def flip(path: Path, at: int = -100) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def _tamper_audit(callguard: CommandLine, folder: Path) -> None:
    connection = sqlite3.connect(folder / "callguard.db")
    connection.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 1")
    connection.commit()
    connection.close()
    resealed(callguard, folder)


def _cut_audit(callguard: CommandLine, folder: Path) -> None:
    connection = sqlite3.connect(folder / "callguard.db")
    connection.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    connection.commit()
    connection.close()
    resealed(callguard, folder)


def _older_ledger(callguard: CommandLine, _: Path) -> None:
    ledger = callguard.data / "erasures.ledger"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-1]))


def _forked_ledger(callguard: CommandLine, _: Path) -> None:
    (callguard.data / "erasures.ledger").unlink()
    forked = ErasureLedger(callguard.data / "erasures.ledger")
    forked.append([Erasure(RECORDING, f"x{n}", None, HandClock().now()) for n in range(5)], None)


def _changed_ledger(callguard: CommandLine, _: Path) -> None:
    ledger = callguard.data / "erasures.ledger"
    ledger.write_bytes(ledger.read_bytes().replace(b'"recording"', b'"recordinh"'))


def _object(callguard: CommandLine, folder: Path) -> None:
    shutil.rmtree(callguard.data / "objects" / "objects")
    (copied,) = (folder.parent / "objects").glob("*/*")
    flip(copied)


TAMPERED: dict[str, tuple[Callable[[CommandLine, Path], object], str]] = {
    "a byte of the database": (lambda _, f: flip(f / "callguard.db"), "callguard.db is not"),
    "a byte of the manifest": (lambda _, f: flip(f / "manifest.json"), "manifest of"),
    "the seal": (lambda _, f: flip(f / "manifest.seal", 40), "its seal does not open"),
    "the list of objects": (lambda _, f: flip(f / "objects.jsonl"), "objects.jsonl is not"),
    "the backup's ledger": (lambda _, f: flip(f / "erasures.ledger"), "erasures.ledger is not"),
    "a file more": (lambda _, f: (f / "x").write_text("x"), "does not belong"),
    "a file less": (lambda _, f: (f / "settings.toml").unlink(), "cannot be read"),
    "a row of the audit log": (_tamper_audit, "audit log of the backup is broken at entry 1"),
    "the end of the audit log": (_cut_audit, "does not end where its manifest says"),
    "a byte of an object": (_object, "1 objects are missing and 0 damaged"),
    "an older ledger": (_older_ledger, "older than the backup"),
    "a forked ledger": (_forked_ledger, "another one than that of the backup"),
    "a changed ledger": (_changed_ledger, "another one than that of the backup"),
}


def test_what_was_tampered_with_is_refused(acme: CommandLine) -> None:
    record(acme)
    erase(acme, record(acme))
    folder = backed_up(acme, "--objects")
    whole = shutil.copytree(acme.data, acme.folder / "whole")
    for number, (change, reason) in enumerate(TAMPERED.values()):
        shelf = shutil.copytree(folder.parent, acme.folder / f"shelf-{number}")
        change(acme, shelf / folder.name)
        back(acme, shelf / folder.name).refused(reason)
        assert not (acme.folder / "new/callguard.db").exists()
        shutil.rmtree(acme.folder / "new", ignore_errors=True)
        shutil.rmtree(acme.data)
        shutil.copytree(whole, acme.data)


def test_a_ledger_cut_within_a_line_is_older(acme: CommandLine) -> None:
    record(acme)
    erase(acme, record(acme))
    folder = backed_up(acme)
    ledger = acme.data / "erasures.ledger"
    ledger.write_bytes(ledger.read_bytes()[:-10])
    back(acme, folder).refused("older than the backup")


def test_a_missing_object_is_accepted_for_a_reason(acme: CommandLine) -> None:
    name = record(acme)
    folder = backed_up(acme)
    store_of(acme).delete(list(store_of(acme).names()))
    back(acme, folder, *ACCEPT).refused("1 objects are missing")
    back(acme, folder, *ACCEPT[:1]).refused("needs a reason")
    told = told_by(back(acme, folder, *ACCEPT, "--accept-incomplete", "--json"))
    assert told["missing"] == [name]


def test_only_sizes_are_looked_at_where_one_asks_for_it(acme: CommandLine) -> None:
    record(acme)
    folder = backed_up(acme)
    (name,) = store_of(acme).names()
    flip(store_of(acme).path(name))
    back(acme, folder, *ACCEPT).refused("0 objects are missing and 1 damaged")
    assert back(acme, folder, *ACCEPT, "--skip-object-digests").code == 0


def test_a_sealed_database_is_opened_by_its_key(acme: CommandLine) -> None:
    identity = age.generate_identity("x25519")
    folder = backed_up(acme, "--recipient", str(identity.recipient))
    key = acme.folder / "key.txt"
    key.write_text(f"# mine\n{identity.encode()}\n")
    key.chmod(0o600)
    back(acme, folder, *ACCEPT).refused("--identity")
    assert back(acme, folder, *ACCEPT, "--identity", str(key)).code == 0


def test_it_is_put_back_where_the_settings_say(acme: CommandLine) -> None:
    record(acme)
    folder = backed_up(acme)
    back_here = ("restore", str(folder), *ACCEPT)
    acme(*back_here).refused("is there already")
    for path in acme.data.glob("callguard.db*"):
        path.unlink()
    store_of(acme).put("made-later", [b"sealed"])
    (acme.data / "exports").mkdir(exist_ok=True)
    (acme.data / "exports/calls.csv").write_text("+442079460001")
    (acme.data / "exports/.lock").touch()
    assert "2 objects or exports belong to no row" in acme(*back_here).out
    assert acme("recording", "list").code == 0


def test_nothing_is_restored_over_another_folder(acme: CommandLine) -> None:
    folder = backed_up(acme)
    (acme.folder / "new").mkdir()
    (acme.folder / "new/mine").touch()
    back(acme, folder, *ACCEPT).refused("is not empty")


def test_on_an_empty_machine_the_master_key_is_named(acme: CommandLine) -> None:
    record(acme)
    folder = backed_up(acme, "--objects")
    key = acme.folder / "kept.key"
    shutil.copy2(acme.data / "master.key", key)
    shutil.rmtree(acme.data)
    acme.config.unlink()
    back(acme, folder, *ACCEPT).refused("--master-key")
    assert back(acme, folder, *ACCEPT, "--master-key", str(key)).code == 0
    there = ("--config", str(acme.folder / "new/callguard.toml"))
    assert "1 verified" in acme("recording", "verify", "--all", *there).out


def test_another_master_key_opens_no_seal(acme: CommandLine) -> None:
    from callguard.recording.keys import MasterKey

    folder = backed_up(acme)
    MasterKey.create(acme.folder / "other.key")
    back(acme, folder, *ACCEPT, "--master-key", str(acme.folder / "other.key")).refused("its seal")


def test_while_a_restore_is_not_done_all_else_is_refused(callguard: CommandLine) -> None:
    begin(callguard.data, Marker("r", "m", "2026-11-22T08:00:00+00:00"))
    for command in (("serve",), ("purge",), ("tenant", "list"), ("init",)):
        callguard(*command).refused("is being restored")


def test_it_says_what_it_cannot_know_and_is_reopened_for_a_reason(acme: CommandLine) -> None:
    folder = backed_up(acme)
    said = back(acme, folder, *ACCEPT)
    assert "opt-outs, withdrawn consents and holds since 20" in said.out
    there = ("--config", str(acme.folder / "new/callguard.toml"))
    acme("purge", *there).refused("holds that were placed since are missing")
    confirm = ("purge", "--confirm-clock", "--reason", "it is right", *there)
    acme(*confirm).refused("then callguard reopen")
    numbers, out = acme.folder / "list.csv", str(acme.folder / "out.csv")
    numbers.write_text("+442079460001\n")
    scrub = ("scrub", str(numbers), out, "--tenant", "acme", *there)
    acme(*scrub).refused("opt-outs, withdrawals and holds since then are missing")
    acme("reopen", "--reason", " ", *there).refused("needs a reason")
    assert acme("reopen", "--reason", "nothing since", *there).code == 0
    acme("reopen", "--reason", "nothing since", *there).refused("nothing waits")
    assert acme("purge", *there).code == 0
    assert acme(*scrub).code == 0


def test_nothing_is_restored_where_a_service_gives_signs_of_life(acme: CommandLine) -> None:
    folder = backed_up(acme)
    for path in acme.data.glob("callguard.db*"):
        path.unlink()
    spool = Settings.load(acme.config).spool.folder
    spool.mkdir(parents=True, exist_ok=True)
    (spool / LEASE_FILE).touch()
    acme("restore", str(folder), *ACCEPT).refused("stop it first")
    os.utime(spool / LEASE_FILE, (1, 1))
    assert acme("restore", str(folder), *ACCEPT).code == 0


def test_a_second_restore_at_once_is_refused(acme: CommandLine) -> None:
    folder = backed_up(acme)
    new = acme.folder / "new"
    new.mkdir()
    descriptor = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    back(acme, folder, *ACCEPT).refused("another restore")
    assert not list(new.iterdir())
    os.close(descriptor)
    assert back(acme, folder, *ACCEPT).code == 0


def test_a_ledger_that_a_power_cut_tore_is_whole_again(acme: CommandLine) -> None:
    erase(acme, record(acme))
    folder = backed_up(acme)
    ledger = ErasureLedger(acme.data / "erasures.ledger")
    at = HandClock().now()
    ledger.append([Erasure(RECORDING, f"r-{n}", None, at) for n in range(100)], ledger.end())
    raw = ledger.path.read_bytes()
    ledger.path.write_bytes(raw[:4096] + bytes(4096) + raw[8192:])
    assert told_by(back(acme, folder, "--json"))["forgotten_again"] == 100


def test_a_new_folder_purges_nothing_of_the_callguard_that_runs(acme: CommandLine) -> None:
    text = acme.config.read_text()
    acme.config.write_text(
        text
        + """
[ledger]
copies = ["/mnt/other/erasures.ledger"]
[objects]
reserve_bytes = 7
[objects.s3]
bucket = "theirs"
credentials_file = "/etc/callguard/bucket"
[[folders]]
name = "voicemail"
path = "/var/spool/asterisk/voicemail"
data_class = "voicemail"
tenant = "acme"
"""
    )
    folder = acme.folder / "shelf/20261122T143000Z"
    place = place_of(folder, acme.config, acme.folder / "new", None, copied=True)
    assert place.left_out == "ledger, folders, objects.s3"
    assert (place.settings.objects.s3, place.settings.folders) == (None, ())
    assert place.settings.objects.reserve_bytes == 7
    place = place_of(folder, acme.config, acme.folder / "new", None, copied=False)
    assert place.settings.objects.s3 is not None
