"""Snapshots of public lists: written, put in use, asked, verified."""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.optout.registry import manifest as manifests
from callguard.optout.registry.contract import Coverage, RegistryError
from callguard.optout.registry.snapshot import Snapshot, current, make_current, write
from tests.optout.registry.making import DRAFT, build, numbers_of, snapshot

NUMBERS = (12010000000, 12019999999, 12125550100, 442079460123, 4412345, 35312345678)


@pytest.fixture
def opened(tmp_path: Path) -> Snapshot:
    return Snapshot.open(tmp_path / snapshot(tmp_path, NUMBERS).digest)


def test_it_reads_back_what_was_written(tmp_path: Path) -> None:
    written = snapshot(tmp_path, NUMBERS)
    opened = Snapshot.open(tmp_path / written.digest)
    assert opened.manifest == written
    assert opened.folder.name == written.digest
    assert written.count == 6
    assert written.counts == {"+1": 3, "+1201": 2, "+44": 2}
    assert written.sources == DRAFT.sources
    assert set(written.files) == {"1.bits", "44.bits", "353.bits"}
    assert written.base is None
    opened.verify()
    opened.close()


def test_an_auditor_can_check_it_with_the_page_alone(tmp_path: Path) -> None:
    folder = tmp_path / snapshot(tmp_path, NUMBERS).digest
    text = (folder / "manifest.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == folder.name
    said = json.loads(text)
    form = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert form.encode() == text
    assert "רשימה" in text.decode()
    held = []
    for name, digest in said["files"].items():
        data = (folder / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        held += numbers_of(data)
    assert sorted(held) == sorted(NUMBERS)
    assert len(held) == said["count"]


def test_each_number_is_looked_up_in_the_file_of_its_code(opened: Snapshot) -> None:
    probes = [*NUMBERS, 0, -1, 44, 12010000001, 442079460124, 35312345679, 999, 10**15, 2**63 - 1]
    assert [number for number in probes if opened.holds(number)] == list(NUMBERS)
    many = opened.holds_many(np.array(probes))
    assert many.tolist() == [number in NUMBERS for number in probes]
    opened.close()


def test_an_empty_list_holds_nothing(tmp_path: Path) -> None:
    opened = Snapshot.open(tmp_path / snapshot(tmp_path, ()).digest)
    assert not opened.holds(12010000000)
    assert opened.holds_many(np.array(NUMBERS)).tolist() == [False] * 6
    opened.verify()
    opened.close()
    with pytest.raises(RegistryError, match="is closed"):
        opened.holds_many(np.array(NUMBERS))


PREFIXES = st.from_regex(r"\+[1-9][0-9]{0,14}", fullmatch=True) | st.sampled_from(
    ["+1", "+1201", "+44", "+4420", "+12010009", "+123456789012345", "+7", "+972"]
)


@given(st.sets(PREFIXES, max_size=6), st.lists(st.integers(0, 10**15) | st.integers(), max_size=20))
def test_many_are_covered_as_each_is(prefixes: set[str], others: list[int]) -> None:
    begun = [
        int(prefix[1:] + tail) for prefix in prefixes for tail in ("", "0", "5550100", "99" * 5)
    ]
    probes = [n for n in [*begun, *others, *NUMBERS, 12010009999] if -(2**63) <= n < 2**63]
    with tempfile.TemporaryDirectory() as folder:
        draft = dataclasses.replace(DRAFT, coverage=Coverage(tuple(prefixes)))
        written = snapshot(Path(folder), (), draft)
        opened = Snapshot.open(Path(folder) / written.digest)
        wanted = [f"+{number}".startswith(tuple(prefixes)) for number in probes]
        assert [opened.covers(f"+{number}") for number in probes] == wanted
        assert opened.covers_many(np.array(probes, np.int64)).tolist() == wanted
        opened.close()


def test_what_is_no_number_is_not_covered(opened: Snapshot) -> None:
    for text in ("", "+", "1201", "GB:1", "+4", "sip:+1201", "١٢"):
        assert not opened.covers(text)
    assert opened.covers("+12015550100")
    opened.close()


def test_after_closing_it_says_so_and_never_no(opened: Snapshot) -> None:
    opened.close()
    opened.close()
    for number in (*NUMBERS, 5, 49301234567):
        with pytest.raises(RegistryError, match="is closed"):
            opened.holds(number)
    with pytest.raises(RegistryError, match="is closed"):
        opened.holds_many(np.array(NUMBERS))
    with pytest.raises(RegistryError, match="is closed"):
        opened.verify()


def test_one_that_is_read_stays_readable_while_another_takes_its_place(tmp_path: Path) -> None:
    first, second = snapshot(tmp_path, NUMBERS[:2]), snapshot(tmp_path, NUMBERS[1:])
    assert current(tmp_path) is None
    make_current(tmp_path, first.digest)
    old = Snapshot.open(tmp_path / (current(tmp_path) or ""))
    make_current(tmp_path, second.digest)
    new = Snapshot.open(tmp_path / (current(tmp_path) or ""))
    for path in old.folder.iterdir():
        path.unlink()
    old.folder.rmdir()
    assert [old.holds(number) for number in NUMBERS] == [True, True, *[False] * 4]
    assert [new.holds(number) for number in NUMBERS] == [False, *[True] * 5]
    old.verify()
    old.close()
    assert new.holds(NUMBERS[1])
    new.close()


def test_the_same_list_twice_is_one_snapshot(tmp_path: Path) -> None:
    first = snapshot(tmp_path, NUMBERS)
    file = tmp_path / first.digest / "1.bits"
    inode = file.stat().st_ino
    assert snapshot(tmp_path, reversed(NUMBERS)) == first
    assert file.stat().st_ino == inode
    assert not (tmp_path / "work" / "built").exists()


def test_writing_it_again_mends_a_damaged_one(tmp_path: Path) -> None:
    first = snapshot(tmp_path, NUMBERS)
    file = tmp_path / first.digest / "1.bits"
    data = bytearray(file.read_bytes())
    data[16] ^= 2
    file.write_bytes(data)
    damaged = Snapshot.open(tmp_path / first.digest)
    with pytest.raises(RegistryError, match=r"1\.bits: is damaged"):
        damaged.verify()
    damaged.close()
    assert snapshot(tmp_path, NUMBERS) == first
    mended = Snapshot.open(tmp_path / first.digest)
    mended.verify()
    mended.close()
    assert {path.name for path in (tmp_path / "work").iterdir()} <= {"spill", "runs"}


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 65, b"A" * 64 + b"\n", b"a" * 64, b"a" * 500,
                                  b"a" * 64 + b"\n\n", b"\xff" * 64 + b"\n"])  # fmt: skip
def test_a_current_that_names_no_digest_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "current").write_bytes(data)
    with pytest.raises(RegistryError, match="current: "):
        current(tmp_path)


@pytest.mark.parametrize("digest", ["", "..", "work", "a" * 64, "../" + "a" * 61, "א" * 64])
def test_only_a_snapshot_that_opens_is_put_in_use(tmp_path: Path, digest: str) -> None:
    first = snapshot(tmp_path, NUMBERS)
    make_current(tmp_path, first.digest)
    with pytest.raises(RegistryError):
        make_current(tmp_path, digest)
    assert current(tmp_path) == first.digest
    assert {path.name for path in tmp_path.iterdir()} == {"current", "work", first.digest}


def test_what_a_killed_swap_left_is_swept_up_later(tmp_path: Path) -> None:
    old, young = tmp_path / ".current.1.2", tmp_path / ".current.3.4"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    make_current(tmp_path, snapshot(tmp_path, NUMBERS).digest)
    assert not old.exists()
    assert young.exists()


def test_no_registry_has_nothing_in_use(tmp_path: Path) -> None:
    assert current(tmp_path / "uk-tps") is None


@pytest.mark.parametrize("change", [
    {"registry": "../us"}, {"registry": ""}, {"coverage": Coverage(("1201",))},
    {"imported_at": ""}, {"imported_at": "x" * 65}, {"sources": ({"bad": float("nan")},)},
    {"sources": ({"bad": "\ud800"},)}, {"sources": ({"bad": object()},)},
    {"sources": ({"long": "x" * (4 << 20)},)},
])  # fmt: skip
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, change: dict[str, Any]) -> None:
    built = build(tmp_path / "work", NUMBERS)
    with pytest.raises(RegistryError):
        write(tmp_path, dataclasses.replace(DRAFT, **change), built)
    assert {path.name for path in tmp_path.iterdir()} == {"work"}


def changed(key: str, value: object) -> Callable[[dict[str, Any]], bytes]:
    def change(said: dict[str, Any]) -> bytes:
        return manifests.canonical({**said, key: value})

    return change


def without(key: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda said: manifests.canonical({k: v for k, v in said.items() if k != key})


def text(said: dict[str, Any]) -> bytes:
    return manifests.canonical(said)


DIGEST = "0" * 64
FAULTS: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "nothing": (lambda _: b"", "is no JSON"),
    "no JSON": (lambda said: text(said)[:-1], "is no JSON"),
    "no UTF-8": (lambda _: b'{"a":"\xff"}', "is no JSON"),
    "half a character": (lambda _: b'{"a":"\\ud800"}', "is no JSON"),
    "not a number": (lambda _: b'{"a":NaN}', "is no JSON"),
    "deep": (lambda _: b"[" * 100_000 + b"]" * 100_000, "is no JSON"),
    "a very long integer": (lambda _: b'{"a":' + b"9" * 5000 + b"}", "is no JSON"),
    "very long": (lambda _: b'"' + b"x" * (4 << 20) + b'"', "longer than"),
    "spaces": (lambda said: json.dumps(said, sort_keys=True).encode(), "canonical"),
    "keys out of order": (
        lambda said: json.dumps(
            dict(sorted(said.items(), reverse=True)), ensure_ascii=False, separators=(",", ":")
        ).encode(),
        "canonical",
    ),
    "escapes": (
        lambda said: json.dumps(said, sort_keys=True, separators=(",", ":")).encode(),
        "canonical",
    ),
    "a key twice": (lambda said: text(said)[:-1] + b',"version":1}', "canonical"),
    "a line feed more": (lambda said: text(said) + b"\n", "canonical"),
    "a list": (lambda _: b"[]", "is no object"),
    "a word": (lambda _: b"null", "is no object"),
    "a key more": (changed("note", 1), "'note' is not known"),
    **{f"no {key}": (without(key), f"'{key}' is missing") for key in sorted(manifests._KEYS)},
    "another version": (changed("version", 2), "version"),
    "a version that is true": (changed("version", True), "version"),
    "a version with a point": (changed("version", 1.0), "version"),
    "a name with a slash": (changed("registry", "a/b"), "'registry'"),
    "a name and a line feed": (changed("registry", "us\n"), "'registry'"),
    "no name": (changed("registry", None), "'registry'"),
    "no such day": (changed("list_date", "2026-02-30"), "'list_date'"),
    "a date otherwise": (changed("list_date", "20260201"), "'list_date'"),
    "a date in other digits": (changed("list_date", "٢٠٢٦-٠١-٠١"), "'list_date'"),
    "a time that is a number": (changed("imported_at", 5), "'imported_at'"),
    "fewer than nothing": (changed("count", -1), "'count'"),
    "a count that is true": (changed("count", True), "'count'"),
    "a broken count": (changed("count", 6.0), "'count'"),
    "another count": (changed("count", 7), "says 7 numbers, the files hold 6"),
    "a prefix without plus": (changed("coverage", ["1", "+1201", "+44"]), "'coverage'"),
    "prefixes out of order": (changed("coverage", ["+44", "+1", "+1201"]), "'coverage'"),
    "a prefix twice": (changed("coverage", ["+1", "+1", "+1201", "+44"]), "'coverage'"),
    "coverage that is a word": (changed("coverage", "+1"), "'coverage'"),
    "a prefix not counted": (changed("counts", {"+1": 3}), "'counts'"),
    "a prefix counted beyond all": (changed("counts", {"+1": 7, "+1201": 2, "+44": 2}), "'counts'"),
    "a count that is text": (changed("counts", {"+1": "3", "+1201": 2, "+44": 2}), "'counts'"),
    "sources that are an object": (changed("sources", {}), "'sources'"),
    "a source that is text": (changed("sources", ["a"]), "'sources'"),
    "a file elsewhere": (changed("files", {"../1.bits": DIGEST}), "'files'"),
    "a file of no code": (changed("files", {"2.bits": DIGEST}), "'files'"),
    "a file with a zero": (changed("files", {"01.bits": DIGEST}), "'files'"),
    "a short digest": (changed("files", {"1.bits": "0" * 63}), "'files'"),
    "a large digest": (changed("files", {"1.bits": "A" * 64}), "'files'"),
    "files that are a list": (changed("files", ["1.bits"]), "'files'"),
    "a file that is not there": (changed("files", {"7.bits": DIGEST}), "7.bits: cannot be opened"),
    "fewer files": (changed("files", {"1.bits": DIGEST}), "says 6 numbers, the files hold 3"),
    "a base that is a word": (changed("base", "none"), "'base'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_manifest_with_one_fault_is_refused_even_under_its_own_digest(
    fault: str, tmp_path: Path
) -> None:
    change, told = FAULTS[fault]
    folder = tmp_path / snapshot(tmp_path, NUMBERS).digest
    data = change(json.loads((folder / "manifest.json").read_bytes()))
    (folder / "manifest.json").write_bytes(data)
    other = folder.rename(tmp_path / hashlib.sha256(data).hexdigest())
    with pytest.raises(RegistryError, match=told) as caught:
        Snapshot.open(other)
    assert str(caught.value).startswith(str(other))
    assert "\n" not in str(caught.value)


def test_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / snapshot(tmp_path, NUMBERS).digest
    with pytest.raises(RegistryError, match="digest differs"):
        Snapshot.open(folder.rename(tmp_path / DIGEST))
    with pytest.raises(RegistryError, match="No such file"):
        Snapshot.open(folder)


def test_a_file_under_the_name_of_another_code_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / snapshot(tmp_path, NUMBERS).digest
    (folder / "1.bits").replace(folder / "44.bits")
    (folder / "1.bits").write_bytes((folder / "353.bits").read_bytes())
    with pytest.raises(RegistryError, match="is of calling code"):
        Snapshot.open(folder)


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(sorted(manifests._KEYS)) | st.text(max_size=3), inner),
    max_leaves=15,
).map(lambda value: json.dumps(value, sort_keys=True, ensure_ascii=False,
                               separators=(",", ":")).encode(errors="replace")))  # fmt: skip
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    with pytest.raises(RegistryError):
        manifests.parse(data, Path("manifest.json"))
