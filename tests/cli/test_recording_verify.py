"""``callguard recording verify``: each damage told apart, the damaged named, exit 1."""

import json
from pathlib import Path

import pytest

from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from tests.cli.conftest import CommandLine
from tests.cli.recorded import change, log_of, record, store_of
from tests.recording.sealing import X25519


def payload_of(callguard: CommandLine, name: str) -> Path:
    (path,) = (callguard.data / "objects" / "objects").rglob(name)
    path.chmod(0o600)
    return path


def test_whole_recordings_are_said_to_be_so(acme: CommandLine) -> None:
    names = {record(acme) for _ in range(3)}
    one = min(names)
    said = acme("recording", "verify", one)
    assert (said.code, said.out) == (0, f"{one}: whole: each of 2 chunks opened\n")
    told = {"checked": 3, "opened": 3, "unopened": 0, "damaged": []}
    assert acme("recording", "verify", "--all", "--json").json() == told
    assert acme("recording", "verify", "--tenant", "acme", "--json").json() == told
    sampled = acme("recording", "verify", "--all", "--sample", "2", "--json").json()
    assert sampled == {**told, "checked": 2, "opened": 2}
    action, details = log_of(acme)[-1]
    assert (action, json.loads(details)) == (
        "recording.verified",
        {"role": "operator", "checked": 2, "damaged": 0},
    )


def test_each_damage_is_told_and_every_damaged_recording_named(acme: CommandLine) -> None:
    names = [record(acme) for _ in range(6)]
    missing, cut, extended, first, second, whole = names
    store_of(acme).delete([missing])
    path = payload_of(acme, cut)
    path.write_bytes(path.read_bytes()[:-1])
    path = payload_of(acme, extended)
    path.write_bytes(path.read_bytes() + b"x")
    one, other = payload_of(acme, first), payload_of(acme, second)
    there = one.read_bytes(), other.read_bytes()
    one.write_bytes(there[1])
    other.write_bytes(there[0])
    said = acme("recording", "verify", "--all", "--json")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert "5 of 6 damaged" in said.err
    assert all(name in said.err for name in names[:5])
    faults = {one["recording"]: one["fault"] for one in json.loads(said.out)["damaged"]}
    assert whole not in faults
    for name, words in (
        (missing, "is missing"),
        (cut, "is cut"),
        (extended, "was extended by 1 bytes"),
        (first, "another payload lies in its place"),
        (second, "another payload lies in its place"),
    ):
        assert words in faults[name]
        alone = acme("recording", "verify", name)
        alone.refused(words)
    assert sum(action == "recording.damaged" for action, _ in log_of(acme)) == 10


def test_what_is_erased_while_it_is_verified_is_not_damaged(acme: CommandLine) -> None:
    names = [record(acme) for _ in range(2)]
    read = FolderStore.read

    def erased(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        change(acme, state="erasing", header=None)
        self.delete(names)
        return read(self, name, offset, size)

    acme.patch.setattr(FolderStore, "read", erased)
    told = {"checked": 0, "opened": 0, "unopened": 0, "damaged": []}
    assert acme("recording", "verify", "--all", "--json").json() == told
    change(acme, state="sealed")
    acme("recording", "verify", names[0]).refused("has been erased")
    assert "recording.damaged" not in {action for action, _ in log_of(acme)}


def test_of_what_only_the_tenant_opens_it_is_said_what_was_checked(callguard: CommandLine) -> None:
    recipient = str(X25519.recipient)
    callguard("tenant", "add", "out", "--key", "none", "--recipient", recipient)
    name = record(callguard, "out")
    said = callguard("recording", "verify", "--all")
    assert said.code == 0
    assert "of 1 only header, size and SHA-256 were checked" in said.out
    data = bytearray(payload_of(callguard, name).read_bytes())
    data[-1] ^= 1
    payload_of(callguard, name).write_bytes(bytes(data))
    callguard("recording", "verify", name).refused("its SHA-256 is another")


def test_what_is_to_be_verified_is_named_once(acme: CommandLine) -> None:
    for more in ((), ("x", "--all"), ("--tenant", "acme", "--all"), ("--all", "--sample", "-1")):
        said = acme("recording", "verify", *more)
        assert (said.code, said.out) == (2, "")
    acme("recording", "verify", "--tenant", "nobody").refused("there is no tenant nobody")
    acme("recording", "verify", "x").refused("there is no recording x")
    assert "0 verified, 0 damaged" in acme("recording", "verify", "--all").out


def test_a_store_that_answers_no_more_ends_it(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        record(acme)
    asked = []

    def read(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        asked.append(name)
        raise ObjectStoreError("the store does not answer")

    monkeypatch.setattr(FolderStore, "read", read)
    acme("recording", "verify", "--all").refused("the store does not answer")
    assert len(asked) == 3
