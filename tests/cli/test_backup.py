"""``callguard backup``: everything but the master key, whole or not at all."""

import json
import stat
from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.recording import age
from callguard.storage.schema import audit
from tests.cli.conftest import CommandLine
from tests.cli.recorded import kept, record, store_of
from tests.recording.playback.vault import AUDIO


def backed_up(callguard: CommandLine, *more: str) -> Path:
    """A backup; its folder."""
    told = callguard("backup", str(callguard.folder / "shelf"), "--json", *more).json()
    assert isinstance(told, dict)
    return Path(told["backup"])


def test_a_backup_holds_everything_but_the_master_key(acme: CommandLine) -> None:
    name = record(acme)
    folder = backed_up(acme, "--objects")
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == {
        "manifest.json",
        "manifest.seal",
        "callguard.db",
        "objects.jsonl",
        "settings.toml",
    }
    listed = json.loads((folder / "objects.jsonl").read_text())
    assert listed["id"] == name
    (copied,) = (folder.parent / "objects").glob("*/*")
    assert copied.read_bytes() == store_of(acme).path(listed["name"]).read_bytes()
    key = (acme.data / "master.key").read_bytes().strip()
    everything = b"".join(p.read_bytes() for p in folder.parent.rglob("*") if p.is_file())
    assert key not in everything
    assert AUDIO not in everything


def test_nobody_else_may_read_it(acme: CommandLine) -> None:
    record(acme)
    folder = backed_up(acme, "--objects")
    for path in (folder.parent, *folder.parent.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_it_is_in_the_audit_log(acme: CommandLine) -> None:
    folder = backed_up(acme)
    with kept(acme) as database, database.reading() as connection:
        row = connection.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).one()
    assert (row.action, row.target) == ("backup", f"backup:{folder.name}")


def test_an_object_that_is_there_is_not_copied_again(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(acme)
    first = backed_up(acme, "--objects")
    first.rename(first.with_name("20200101T000000Z"))
    record(acme)
    told = acme("backup", str(acme.folder / "shelf"), "--objects", "--json").json()
    assert isinstance(told, dict)
    assert (told["objects"], told["copied"]) == (2, 1)


def test_one_that_is_damaged_on_the_shelf_is_copied_again(acme: CommandLine) -> None:
    record(acme)
    first = backed_up(acme, "--objects")
    first.rename(first.with_name("20200101T000000Z"))
    (copied,) = (first.parent / "objects").glob("*/*")
    whole = copied.read_bytes()
    copied.write_bytes(bytes(len(whole)))
    backed_up(acme, "--objects")
    assert copied.read_bytes() == whole


def test_an_object_that_no_backup_names_any_more_goes(acme: CommandLine) -> None:
    name = record(acme)
    first = backed_up(acme, "--objects")
    assert acme("recording", "erase", name, "--reason", "asked", "--yes").code == 0
    for path in sorted(first.rglob("*"), reverse=True):
        path.unlink()
    first.rmdir()
    backed_up(acme, "--objects")
    assert not list((first.parent / "objects").glob("*/*"))


def test_a_database_is_sealed_for_whom_one_names(acme: CommandLine) -> None:
    identity = age.generate_identity("x25519")
    folder = backed_up(acme, "--recipient", str(identity.recipient))
    assert not (folder / "callguard.db").exists()
    opened = age.open_file((folder / "callguard.db.age").read_bytes(), [identity])
    assert opened.startswith(b"SQLite format 3")
    assert not list((acme.data / ".backup-draft").iterdir())


def test_a_copy_in_the_clear_that_a_killed_one_left_goes_with_the_next_command(
    acme: CommandLine,
) -> None:
    left = acme.data / ".backup-draft" / "plain.db"
    left.parent.mkdir()
    left.write_bytes(b"numbers")
    assert acme("tenant", "list").code == 0
    assert not left.exists()


def test_nothing_is_left_of_one_on_a_full_disk(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    record(acme)
    monkeypatch.setattr("callguard.retention.backup.files.os.fdatasync", full)
    shelf = acme.folder / "shelf"
    acme("backup", str(shelf), "--objects").refused(f"the disk of {shelf} is full")
    assert [path.name for path in shelf.iterdir()] == [".lock"]


def test_a_second_one_at_once_is_refused(acme: CommandLine) -> None:
    import fcntl

    folder = backed_up(acme)
    with (folder.parent / ".lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.rename(folder.with_name("20200101T000000Z"))
        acme("backup", str(folder.parent)).refused("another backup")


def test_an_object_that_is_missing_is_named(acme: CommandLine) -> None:
    name = record(acme)
    store_of(acme).delete([json.loads((backed_up(acme) / "objects.jsonl").read_text())["name"]])
    for one in (acme.folder / "shelf").glob("2*"):
        one.rename(one.with_name("20200101T000000Z"))
    said = acme("backup", str(acme.folder / "shelf"), "--objects")
    assert said.code == 0
    assert f"1 missing and 0 damaged: {name}" in said.out
