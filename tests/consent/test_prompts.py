"""Prompts: what is played is what the manifest says, or it is not played at all."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from callguard.consent.prompts import MANIFEST, RATE, Prompt, PromptLibrary
from tests.consent.speech import Entries, write_manifest, write_prompts, write_wav


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


@pytest.mark.parametrize("content", [None, b"", b"{", b"3", b"{}", b'"x"', b"\xff", b"null"])
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
