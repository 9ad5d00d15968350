"""A tenant's own recording takes the place of a shared prompt, whole or not at all."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from callguard.consent.own_audio import Sound
from callguard.consent.own_prompt import Words, as_told, as_written, enter, parse_digits
from callguard.consent.prompts import MANIFEST, RATE, SHARED, Digits, Prompt, PromptError
from callguard.consent.prompts import PromptLibrary as Library
from callguard.tenants.tenant import TenantError
from tests.consent.speech import write_prompts, write_wav

OTHERS = Digits("3", "4", "8")
WORDS = Words("notice", "en", "acme", "We record. Press 8.", Digits(opt_out="8"))


@pytest.fixture
def sound(tmp_path: Path) -> Sound:
    write_wav(tmp_path / "sound.wav", 2 * RATE)
    return Sound((tmp_path / "sound.wav").read_bytes(), 2 * RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_prompts(tmp_path / "prompts")
    return tmp_path / "prompts"


def nothing(_prompt: Prompt) -> None:
    pass


def own(folder: Path) -> Prompt | None:
    prompt = Library.load(folder)[0].find("notice", "en", "acme", OTHERS)
    return prompt if prompt is not None and prompt.tenant else None


def test_each_recording_is_a_version_and_the_older_ones_stay(folder: Path, sound: Sound) -> None:
    first = enter(folder, WORDS, sound, nothing)
    second = enter(folder, WORDS, sound, nothing)
    assert (first.version, second.version) == (1, 2)
    assert own(folder) == second
    assert second.evidence.startswith("notice v2 en tenant:acme sha256:")
    assert (second.text, second.length_ms, second.source) == (WORDS.text, 2000, "own")
    library, faults = Library.load(folder)
    assert faults == ()
    assert {p.version for p in library.all() if p.tenant == "acme"} == {1, 2}
    assert library.find("notice", "en", "beta", SHARED) == library.find("notice", "en")


def test_it_is_noted_before_it_is_played(folder: Path, sound: Sound) -> None:
    played: list[Prompt | None] = []
    enter(folder, WORDS, sound, lambda _: played.append(own(folder)))
    assert played == [None]
    assert own(folder) is not None


def test_what_cannot_be_noted_is_not_played(folder: Path, sound: Sound) -> None:
    def fail(_prompt: Prompt) -> None:
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="the database is gone"):
        enter(folder, WORDS, sound, fail)
    assert own(folder) is None
    assert Library.load(folder)[1] == ()
    assert enter(folder, WORDS, sound, nothing).version == 1


KILLED = """
import os, sys
from pathlib import Path
from callguard.consent.own_audio import Sound
from callguard.consent.own_prompt import Words, enter
from callguard.consent.prompts import Digits
words = Words("notice", "en", "acme", "We record. Press 8.", Digits(opt_out="8"))
data = Path(sys.argv[2]).read_bytes()
enter(Path(sys.argv[1]), words, Sound(data, 16000), lambda _: os._exit(9))
"""


def test_a_kill_before_the_manifest_leaves_what_was_there(folder: Path, sound: Sound) -> None:
    audio = folder.parent / "sound.wav"
    command = [sys.executable, "-c", KILLED, str(folder), str(audio)]
    assert subprocess.run(command, check=False, env=os.environ).returncode == 9
    assert own(folder) is None
    assert Library.load(folder)[1] == ()
    assert enter(folder, WORDS, sound, nothing).version == 1
    assert own(folder) is not None


@pytest.mark.parametrize("part", ["en/notice-2.part", "manifest.part"])
def test_a_full_disk_leaves_what_was_there(folder: Path, sound: Sound, part: str) -> None:
    first = enter(folder, WORDS, sound, nothing)
    home = folder / "tenants" / "acme"
    before = (home / MANIFEST).read_bytes()
    (home / part).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        enter(folder, WORDS, sound, nothing)
    assert (home / MANIFEST).read_bytes() == before
    assert own(folder) == first
    assert enter(folder, WORDS, sound, nothing).version == 2


def test_a_manifest_that_is_torn_is_not_written_over(folder: Path, sound: Sound) -> None:
    enter(folder, WORDS, sound, nothing)
    torn = folder / "tenants" / "acme" / MANIFEST
    torn.write_text("[{")
    with pytest.raises(PromptError, match=str(torn)):
        enter(folder, WORDS, sound, nothing)
    assert torn.read_text() == "[{"


def test_two_at_once_are_two_versions(folder: Path, sound: Sound) -> None:
    made: list[Prompt] = []
    at_once = [
        threading.Thread(target=lambda: made.append(enter(folder, WORDS, sound, nothing)))
        for _ in range(4)
    ]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert sorted(prompt.version for prompt in made) == [1, 2, 3, 4]
    library, faults = Library.load(folder)
    assert faults == ()
    assert {p.version for p in library.all() if p.tenant == "acme"} == {1, 2, 3, 4}


@pytest.mark.parametrize("tenant", ["../acme", "", "Acme", "a/b", ".", "a\n"])
def test_a_tenant_whose_name_leads_elsewhere_has_no_prompts(
    folder: Path, sound: Sound, tenant: str
) -> None:
    words = Words("notice", "en", tenant, WORDS.text, WORDS.digits)
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises((TenantError, PromptError)):
        enter(folder, words, sound, nothing)
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "text", "digits"),
    [
        ("notice", "8", Digits(opt_out="8")),
        ("notice-refuse", "4,8", Digits(refuse="4", opt_out="8")),
        ("ask", "3, 4, 8", OTHERS),
        ("refused", "", Digits()),
    ],
)
def test_the_keys_are_told_in_their_order(name: str, text: str, digits: Digits) -> None:
    assert parse_digits(name, text) == digits
    assert str(digits) == text.replace(" ", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notice", ""),
        ("notice", "4,8"),
        ("notice", "10"),
        ("notice", "x"),
        ("notice", "٣"),
        ("notice", "#"),
        ("ask", "1,2"),
        ("ask", "1,1,9"),
        ("ask", "1,,9"),
        ("refused", "1"),
    ],
)
def test_keys_that_the_prompt_does_not_name_are_refused(name: str, text: str) -> None:
    with pytest.raises(PromptError, match="are not the digits that"):
        parse_digits(name, text)


def test_the_words_are_the_shipped_ones_or_the_tenants_own() -> None:
    shipped = as_written("ask", "he", "acme", OTHERS)
    assert all(digit in shipped.text for digit in "348")
    assert shipped.digits == OTHERS
    told = as_told("ask", "it", "acme", " Premere 3,\n4 o 8. ", None, OTHERS)
    assert (told.text, told.digits) == ("Premere 3, 4 o 8.", OTHERS)
    spelled = as_told("notice", "it", "acme", "Premere otto.", Digits(opt_out="8"), OTHERS)
    assert spelled.digits == Digits(opt_out="8")
    assert as_told("refused", "en", "acme", "Not recorded.", None, OTHERS).digits == Digits()


@pytest.mark.parametrize(
    ("name", "language", "text", "reason"),
    [
        ("nothing", "en", "Words.", "there is no prompt 'nothing': notice, "),
        ("../notice", "en", "Words.", "there is no prompt"),
        ("notice", "../en", "Press 8.", "is no language"),
        ("notice", "english", "Press 8.", "is no language"),
        ("notice", "", "Press 8.", "is no language"),
        ("notice", "en", "  ", "the words of a prompt are"),
        ("notice", "en", "Press 8\x00.", "the words of a prompt are"),
        ("notice", "en", "8" * 1001, "the words of a prompt are"),
        ("ask", "en", "Press 8.", r"do not name 3 \(accept\), 4 \(refuse\) as figures: .*--digits"),
    ],
)
def test_words_that_cannot_be_are_refused(name: str, language: str, text: str, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        as_told(name, language, "acme", text, None, OTHERS)


def test_there_are_no_shipped_words_in_every_language() -> None:
    with pytest.raises(PromptError, match="no shipped words for notice in it: give them"):
        as_written("notice", "it", "acme", OTHERS)
