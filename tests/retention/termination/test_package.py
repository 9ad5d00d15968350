"""The return package: everything of the tenant, provably, and nothing of others."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from callguard.recording import age
from callguard.recording.playback import ranges
from callguard.retention.termination import package as package_module
from callguard.retention.termination import tarred
from callguard.storage.schema import exports, recordings, tenant_recipients
from tests.retention.termination.life import AUDIO, LONDON, NEW_YORK, Life, lines


def read(data: bytes) -> dict[str, bytes]:
    """The members of a package, each as its manifest says."""
    members = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for one in tar:
            file = tar.extractfile(one)
            assert file is not None
            members[one.name] = file.read()
    manifest = json.loads(members["manifest.json"])
    assert [one["name"] for one in manifest["files"]] == [*members][:-1]
    for one in manifest["files"]:
        found = members[one["name"]]
        assert (one["bytes"], one["sha256"]) == (len(found), hashlib.sha256(found).hexdigest())
    return members


def packed(life: Life) -> Path:
    [row] = life.rows(select(exports))
    path: Path = life.places.exports / row.file.rpartition("/")[2]
    assert path.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256
    return path


async def test_the_package_holds_all_of_the_tenant_and_nobody_elses(life: Life) -> None:
    life.live().live("other").ends(choice="return", plain=True)
    await life.advance()
    members = read(packed(life).read_bytes())
    manifest = json.loads(members["manifest.json"])
    assert (manifest["tenant"], manifest["recordings"], manifest["damaged"]) == ("acme", 2, {})
    for table in ("call_records", "verdicts", "attempts", "consents", "contacts", "opt_outs"):
        found = lines(members[f"{table}/000001.jsonl"])
        assert {row["subject"] for row in found} == {NEW_YORK, LONDON}
        assert {row["tenant_id"] for row in found} == {"acme"}
    assert len(lines(members["recording_events/000001.jsonl"])) == 2
    [tenant] = lines(members["tenant/000001.jsonl"])
    assert tenant["name"] == "Łąka Żółta"
    sounds = [data for name, data in members.items() if name.endswith(".wav")]
    assert len(sounds) == 2
    assert all(sound.endswith(AUDIO) and sound[4:8] != b"\xff" * 4 for sound in sounds)
    assert b"other" not in b"".join(members.values())


async def test_a_package_for_a_recipient_opens_with_its_key_alone(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "ROWS", 1)
    monkeypatch.setattr(package_module, "MEMBER", 1)
    identity = age.generate_identity("x25519")
    life.live()
    with life.database.writing() as connection:  # only the customer's own key opens recordings
        recipient = str(identity.recipient)
        values = {"tenant_id": "acme", "name": "mine", "recipient": recipient}
        connection.execute(tenant_recipients.insert().values(**values, added_at=life.now))
        header = age.build_header(age.new_file_key(), [identity.recipient])
        connection.execute(update(recordings).values(header=header))
    life.ends(choice="return", recipient=recipient, plain=True)
    await life.advance()
    path = packed(life)
    assert path.name.endswith(".tar.age")
    data = path.read_bytes()
    assert NEW_YORK.encode() not in data
    members = read(age.open_file(data, [identity]))
    assert len(lines(members["call_records/000002.jsonl"])) == 1
    sealed = [name for name in members if name.endswith(".wav.age")]
    assert len(sealed) == 2
    assert members[sealed[0]].startswith(b"age-encryption.org/v1\n")


async def test_a_damaged_recording_keeps_no_other_from_its_owner(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_BATCH", age.SEALED_CHUNK_SIZE)  # it shows after the beginning
    life.live()
    damaged, missing = (row.id for row in life.rows(select(recordings)))
    path = life.store.path(damaged)
    path.chmod(0o600)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    life.store.delete([missing])
    life.ends(choice="return")
    await life.advance()
    manifest = json.loads(read(packed(life).read_bytes())["manifest.json"])
    assert manifest["damaged"].keys() == {damaged, missing}
    assert manifest["recordings"] == 1
    package: Any = life.now_is().steps["package"]
    assert package["damaged"] == manifest["damaged"]


async def test_a_package_leaves_room_for_the_calls(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live().ends(choice="return")
    monkeypatch.setattr(tarred, "ROOM", 2**62)
    rooms = life.rooms()
    await rooms.advance(life.now)
    assert "too little room" in rooms.faults["acme"]
    assert life.now_is().state == "ended"
    assert list(life.places.exports.glob("*.tar*")) == []


async def test_a_full_disk_leaves_nothing_and_is_tried_again(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.live().ends(choice="return")
    with monkeypatch.context() as patch:

        def full(self: tarred.Digest, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(tarred.Digest, "write", full)
        rooms = life.rooms()
        await rooms.advance(life.now)
        assert "No space left" in rooms.faults["acme"]
        assert life.now_is().state == "ended"
        assert [one.name for one in life.places.exports.iterdir()] == [".terminations.lock"]
    await life.advance()
    read(packed(life).read_bytes())
