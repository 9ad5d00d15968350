"""Prompts: what is played is what the manifest says, or it is not played at all."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from callguard.consent.prompts import MANIFEST, RATE, SHARED, Digits, Prompt, PromptLibrary
from tests.consent.speech import (
    Entries,
    write_manifest,
    write_prompt,
    write_prompts,
    write_wav,
)

OTHERS = Digits("3", "4", "8")


def test_a_whole_folder_is_loaded_without_fault(tmp_path: Path) -> None:
    write_prompts(tmp_path)
    library, faults = PromptLibrary.load(tmp_path)
    assert faults == ()
    assert [(p.name, p.language) for p in library.all()] == [("notice", "en"), ("notice", "he")]
    assert len(library) == 2


def test_a_prompt_tells_its_file_its_length_and_its_evidence(tmp_path: Path) -> None:
    (entry, _) = write_prompts(tmp_path)
    prompt = PromptLibrary.load(tmp_path)[0].find("notice", "en")
    assert prompt is not None
    assert prompt.file == "en/notice-1"
    assert prompt.length_ms == 1000
    assert prompt.evidence == f"notice v1 en sha256:{entry['sha256']}"


@pytest.mark.parametrize(
    ("language", "found"),
    [("he", "he"), ("he-IL", "he"), ("HE", None), ("nl", None), ("", None), ("h", None)],
)
def test_no_language_is_put_in_the_place_of_another(
    tmp_path: Path, language: str, found: str | None
) -> None:
    write_prompts(tmp_path)
    library, _ = PromptLibrary.load(tmp_path)
    prompt = library.find("notice", language)
    assert (prompt.language if prompt else None) == found
    assert library.find("optout-done", "he") is None


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"3", b"{}", b'"x"', b"\xff", b"null", b"[" * 9999]
)
def test_without_a_manifest_nothing_is_played(tmp_path: Path, content: bytes | None) -> None:
    write_prompts(tmp_path)
    manifest = tmp_path / MANIFEST
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    library, faults = PromptLibrary.load(tmp_path)
    assert len(library) == 0
    assert len(faults) == 1
    assert faults[0].startswith(f"{manifest}: ")


def test_a_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    library, faults = PromptLibrary.load(tmp_path / "absent")
    assert len(library) == 0
    assert "No such file" in faults[0]


def _without(entry: dict[str, object], key: str) -> None:
    del entry[key]


ENTRY_FAULTS: dict[str, Callable[[dict[str, object]], None]] = {
    "digest of another": lambda e: e.update(sha256="0" * 64),
    "a shorter length": lambda e: e.update(samples=100),
    "a longer length": lambda e: e.update(samples=2 * RATE),
    "length as text": lambda e: e.update(samples=str(RATE)),
    "length as truth": lambda e: e.update(samples=True),
    "version as text": lambda e: e.update(version="1"),
    "another version": lambda e: e.update(version=2),
    "no text": lambda e: _without(e, "text"),
    "one key more": lambda e: e.update(colour="red"),
    "another language": lambda e: e.update(language="fr"),
    "a language that leads away": lambda e: e.update(language="../en"),
    "a name that leads away": lambda e: e.update(name="../en/notice"),
    "a version of before the first": lambda e: e.update(version=0),
    "no samples": lambda e: e.update(samples=0),
    "somebody's own": lambda e: e.update(tenant="acme"),
    "another source": lambda e: e.update(source="a friend"),
    "no source": lambda e: _without(e, "source"),
    "digits as text": lambda e: e.update(digits="9"),
    "a digit that no key has": lambda e: e.update(
        digits={"accept": "", "refuse": "", "opt_out": "٩"}
    ),
    "no digit to opt out": lambda e: e.update(digits={"accept": "", "refuse": "", "opt_out": ""}),
    "two digits": lambda e: e.update(digits={"accept": "", "refuse": "", "opt_out": "99"}),
    "a digit too few": lambda e: e.update(digits={"accept": "", "refuse": ""}),
    "a digit as a number": lambda e: e.update(digits={"accept": "", "refuse": "", "opt_out": 9}),
}


@pytest.mark.parametrize("change", ENTRY_FAULTS.values(), ids=ENTRY_FAULTS.keys())
def test_a_tampered_entry_takes_only_its_own_prompt_away(
    tmp_path: Path, change: Callable[[dict[str, object]], None]
) -> None:
    entries: Entries = write_prompts(tmp_path)
    change(entries[0])
    write_manifest(tmp_path, entries)
    library, faults = PromptLibrary.load(tmp_path)
    assert [p.language for p in library.all()] == ["he"]
    assert len(faults) == 1
    assert "\n" not in faults[0]


@pytest.mark.parametrize("entry", [None, 3, "notice", [], {}])
def test_an_entry_that_is_none_takes_no_other_away(tmp_path: Path, entry: object) -> None:
    entries = write_prompts(tmp_path)
    write_manifest(tmp_path, [entry, *entries])
    library, faults = PromptLibrary.load(tmp_path)
    assert len(library) == 2
    assert len(faults) == 1


def _rename(path: Path) -> None:
    path.rename(path.with_suffix(".bak"))


AUDIO_FAULTS: dict[str, Callable[[Path], object]] = {
    "missing": _rename,
    "empty": lambda p: p.write_bytes(b""),
    "cut short": lambda p: p.write_bytes(p.read_bytes()[:-2]),
    "a bit flipped": lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\x01"),
    "no audio": lambda p: p.write_bytes(b"words"),
}


@pytest.mark.parametrize("change", AUDIO_FAULTS.values(), ids=AUDIO_FAULTS.keys())
def test_audio_that_is_not_the_one_that_was_made_is_not_played(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    write_prompts(tmp_path)
    path = tmp_path / "en" / "notice-1.wav"
    change(path)
    library, faults = PromptLibrary.load(tmp_path)
    assert [p.language for p in library.all()] == ["he"]
    assert len(faults) == 1
    assert faults[0].startswith(f"{path}: ")


def test_audio_at_another_rate_is_not_played(tmp_path: Path) -> None:
    entries = write_prompts(tmp_path)
    entries[0]["sha256"] = write_wav(tmp_path / "en" / "notice-1.wav", rate=16_000)
    write_manifest(tmp_path, entries)
    library, faults = PromptLibrary.load(tmp_path)
    assert library.find("notice", "en") is None
    assert "16000" in faults[0]


def test_audio_that_is_none_is_not_played_though_its_digest_is_right(tmp_path: Path) -> None:
    entries = write_prompts(tmp_path)
    path = tmp_path / "en" / "notice-1.wav"
    for content in (b"", b"RIFF\x00\x00\x00\x00WAVE", b"words"):
        path.write_bytes(content)
        entries[0]["sha256"] = hashlib.sha256(content).hexdigest()
        write_manifest(tmp_path, entries)
        library, faults = PromptLibrary.load(tmp_path)
        assert library.find("notice", "en") is None
        assert faults[0].startswith(f"{path}: ")


def test_a_library_without_prompts_finds_none() -> None:
    assert PromptLibrary().find("notice", "en") is None
    prompt = Prompt("notice", "en", 1, "x", "0", 1)
    assert PromptLibrary([prompt]).find("notice", "en") is prompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Shared notices of two versions in English, and acme's own, for other keys and in he-IL."""
    shared = [write_prompt(tmp_path, version=version) for version in (1, 2)]
    write_manifest(tmp_path, [*shared, write_prompt(tmp_path, "refused", digits=Digits())])
    own = [
        write_prompt(tmp_path, digits=Digits(opt_out="8"), tenant="acme"),
        write_prompt(tmp_path, version=2, tenant="acme"),
        write_prompt(tmp_path, language="he-IL", tenant="acme"),
    ]
    write_manifest(tmp_path / "tenants" / "acme", own)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("notice", "en"), "notice v2 en sha256"),
        (("notice", "en", "beta"), "notice v2 en sha256"),
        (("notice", "en", "acme"), "notice v2 en tenant:acme sha256"),
        (("notice", "en", "acme", SHARED), "notice v2 en tenant:acme sha256"),
        (("notice", "en", "acme", OTHERS), "notice v1 en tenant:acme sha256"),
        (("notice", "en", "beta", OTHERS), None),
        (("notice", "en", "acme", Digits("9", "8", "7")), None),
        (("notice", "he-IL", "acme"), "notice v1 he-IL tenant:acme sha256"),
        (("notice", "he", "acme"), None),
        (("notice", "he-IL"), None),
        (("refused", "en", "acme", OTHERS), "refused v1 en sha256"),
        (("notice", "en", "../acme"), "notice v2 en sha256"),
    ],
)
def test_the_newest_is_found_that_names_no_other_keys(
    folder: Path, asked: tuple[str, str, str, Digits], found: str | None
) -> None:
    prompt = PromptLibrary.load(folder)[0].find(*asked)
    assert (prompt.evidence.rpartition(":")[0] if prompt else None) == found


def test_a_tenants_own_that_is_broken_is_not_replaced_by_the_shared_one(folder: Path) -> None:
    (folder / "tenants" / "acme" / "en" / "notice-2.wav").unlink()
    library, faults = PromptLibrary.load(folder)
    assert library.find("notice", "en", "acme") is None
    assert library.find("notice", "en", "acme", OTHERS) is not None
    assert library.find("notice", "en") is not None
    assert len(faults) == 1


def test_an_older_version_that_is_broken_is_no_fault(folder: Path) -> None:
    (folder / "en" / "notice-1.wav").unlink()
    library, faults = PromptLibrary.load(folder)
    assert faults == ()
    assert [p.version for p in library.all() if p.file.startswith("en/notice")] == [2]


def test_a_manifest_of_the_first_form_is_read(tmp_path: Path) -> None:
    entry = write_prompt(tmp_path)
    first = {key: entry[key] for key in ("name", "language", "version", "text", "sha256")}
    write_manifest(tmp_path, [{**first, "samples": RATE}])
    library, faults = PromptLibrary.load(tmp_path)
    assert faults == ()
    assert library.find("notice", "en", "acme", SHARED) is not None
    assert library.find("notice", "en", "acme", OTHERS) is None


def test_a_file_that_is_another_now_is_not_played_until_it_is_the_one_again(folder: Path) -> None:
    library, _ = PromptLibrary.load(folder)
    path = folder / "en" / "notice-2.wav"
    whole = path.read_bytes()
    for other in (whole[:-2] + b"\x01\x01", b"", b"x" * 10_000_000):
        path.write_bytes(other)
        assert library.find("notice", "en") is None
    path.unlink()
    assert library.find("notice", "en") is None
    faults = [library.faults]
    path.write_bytes(whole)
    assert library.find("notice", "en") is not None
    faults.append(library.faults)
    assert faults == [(f"{path}: No such file or directory",), ()]


def test_what_is_entered_meanwhile_is_seen(folder: Path) -> None:
    before, _ = PromptLibrary.load(folder)
    assert not before.is_stale()
    write_manifest(folder / "tenants" / "beta", [write_prompt(folder, "refused", tenant="beta")])
    assert before.is_stale()
    after, faults = PromptLibrary.load(folder, before)
    assert (faults, after.is_stale()) == ((), False)
    found = after.find("refused", "en", "beta", SHARED)
    assert found is not None
    assert found.tenant == "beta"
    assert before.find("refused", "en", "beta") == after.find("refused", "en")


@pytest.mark.parametrize("content", [None, b"", b"[{", b"{}"])
@pytest.mark.parametrize("whose", [".", "tenants/acme"])
def test_a_manifest_that_is_torn_leaves_what_it_said(
    folder: Path, whose: str, content: bytes | None
) -> None:
    before, _ = PromptLibrary.load(folder)
    manifest = folder / whose / MANIFEST
    manifest.unlink()
    if content is not None:
        manifest.write_bytes(content)
    assert before.is_stale()
    after, faults = PromptLibrary.load(folder, before)
    assert after.all() == before.all()
    (fault,) = faults
    assert fault.startswith(f"{manifest}: ")
    assert "still holds" in fault
    assert not after.is_stale()


def test_a_file_that_looks_as_before_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = PromptLibrary.load(folder)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"read {path}"))
    after, _ = PromptLibrary.load(folder, before)
    assert after.all() == before.all()


def test_what_lies_beside_the_tenants_is_none_of_them(folder: Path) -> None:
    for name in ("..acme", "Acme", "a_b", ".part"):
        write_manifest(folder / "tenants" / name, [])
    (folder / "tenants" / "beta").mkdir()
    library, faults = PromptLibrary.load(folder)
    assert (set(library.folders), faults) == ({"", "acme", "beta"}, ())


def test_a_folder_that_was_taken_away_is_missed_by_nobody(folder: Path) -> None:
    before, _ = PromptLibrary.load(folder)
    shutil.rmtree(folder / "tenants" / "acme")
    after, faults = PromptLibrary.load(folder, before)
    assert faults == ()
    assert {prompt.tenant for prompt in after.all()} == {""}
