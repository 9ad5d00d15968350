"""Speaking the prompts, with espeak-ng and sox themselves and with ones that fail."""

import os
import subprocess
import sys
import threading
import wave
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from callguard.consent import manifest, speech
from callguard.consent import tools as consent_tools
from callguard.consent.prompts import MANIFEST, RATE, SHARED, Digits, PromptError, PromptLibrary
from callguard.consent.speech import build
from callguard.consent.texts import PromptText, shipped_texts
from tests.consent.speech import write_manifest, write_prompt

NINE = PromptText(
    "notice", "en", 1, "This call is recorded. Press 9.", "en-gb", digits=Digits(opt_out="9")
)
DONE = PromptText("optout-done", "he", 3, "לא נתקשר אליכם שוב, שלום.", "he")
OTHERS = Digits("3", "4", "8")
EIGHT = replace(NINE, text="This call is recorded. Press 8.", digits=Digits(opt_out="8"))
SEVEN = replace(NINE, text="This call is recorded. Press 7.", digits=Digits(opt_out="7"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, to put tools into."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_is_spoken_can_be_loaded_and_heard(tmp_path: Path) -> None:
    built = build(tmp_path, [NINE, DONE])
    made = built.prompts
    assert built.spoken == 2
    library, faults = PromptLibrary.load(tmp_path)
    assert faults == ()
    assert library.all() == tuple(sorted(made, key=lambda p: p.name))
    for prompt in made:
        with wave.open(str(tmp_path / f"{prompt.file}.wav")) as audio:
            form = (audio.getframerate(), audio.getnchannels(), audio.getsampwidth())
            assert form == (RATE, 1, 2)
            samples = audio.readframes(prompt.samples)
        assert len(samples) == 2 * prompt.samples
        assert prompt.samples > RATE
        peak = max(
            abs(int.from_bytes(samples[i : i + 2], "little", signed=True))
            for i in range(0, len(samples), 2)
        )
        assert 16_000 < peak < 28_000  # loud, and 3 dB from clipping
    assert {Path(name).name for name in files(tmp_path)} == {
        MANIFEST,
        "notice-1.wav",
        "optout-done-3.wav",
    }


def test_what_has_phonemes_is_spoken_by_them_and_proved_by_its_words(tmp_path: Path) -> None:
    words, sounds = "השיחה מוקלטת.", "[[hasiX'a mukl'etet]]."
    (made,) = build(tmp_path, [PromptText("granted", "he", 1, words, "he", sounds)]).prompts
    (plain,) = build(tmp_path / "plain", [PromptText("granted", "he", 1, words, "he")]).prompts
    assert made.text == words
    assert made.sha256 != plain.sha256
    assert PromptLibrary.load(tmp_path)[0].find("granted", "he") == made


def test_speaking_again_changes_nothing_and_mends_what_is_broken(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    build(tmp_path, [NINE], told=lambda done, whole: told.append((done, whole)))
    assert told == [(1, 1)]
    first = files(tmp_path)
    assert build(tmp_path, [NINE]).spoken == 0
    (tmp_path / "en" / "notice-1.wav").write_bytes(b"half")
    assert build(tmp_path, [NINE]).spoken == 1
    (tmp_path / MANIFEST).write_bytes(b"[{")
    assert build(tmp_path, [NINE]).spoken == 1
    assert files(tmp_path) == first
    (tmp_path / MANIFEST).write_bytes(b"[3," + first[MANIFEST][1:])
    assert build(tmp_path, [NINE]).spoken == 0
    assert files(tmp_path) == first


def test_texts_of_every_language_are_spoken_and_told_apart(tmp_path: Path) -> None:
    """The longest, which names three keys, and the shortest, the word for a digit."""
    texts = [text for text in shipped_texts() if text.name == "ask"]
    for language in {text.language for text in texts}:
        words = [text for text in shipped_texts() if text.language == language]
        texts.append(min(words, key=lambda text: len(text.spoken)))
    assert len(texts) == 14
    other = [t for t in shipped_texts(OTHERS) if t.name == "ask"]
    made = build(tmp_path, texts).prompts
    own = build(tmp_path, other, "acme").prompts
    assert {(p.name, p.language) for p in made} == {(t.name, t.language) for t in texts}
    asks = {p.language: p for p in made if p.name == "ask"}
    for prompt in own:
        assert prompt.sha256 != asks[prompt.language].sha256, prompt.language
        assert 5_000 < prompt.length_ms < 15_000, prompt.language


def test_parts_that_a_crash_left_are_no_harm(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    for name in ("en/notice-1.part", "manifest.part"):
        (tmp_path / name).write_bytes(b"half")
    build(tmp_path, [NINE])
    assert PromptLibrary.load(tmp_path)[1] == ()
    assert set(files(tmp_path)) == {MANIFEST, "en/notice-1.wav"}


def test_a_building_that_is_cut_short_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, [NINE])
    before = PromptLibrary.load(tmp_path)[0].all()
    run = consent_tools.run

    def fail(command: Sequence[str], sound: bytes = b"") -> bytes:
        if DONE.text in command:
            raise PromptError("cut")
        return run(command, sound)

    monkeypatch.setattr(speech, "run", fail)
    with pytest.raises(PromptError, match="cut"):
        build(tmp_path, [NINE, DONE])
    library, faults = PromptLibrary.load(tmp_path)
    assert (library.all(), faults) == (before, ())


@pytest.mark.parametrize("text", [",", "A. " * 400], ids=["too short", "too long"])
def test_what_is_no_plausible_prompt_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PromptError, match="no plausible length"):
        build(tmp_path, [PromptText("notice", "en", 1, text, "en-gb")])
    assert not (tmp_path / MANIFEST).exists()


def test_a_text_is_never_taken_for_an_option(tmp_path: Path) -> None:
    build(tmp_path, [PromptText("granted", "en", 1, "--version is what they said to me", "en-gb")])
    assert len(PromptLibrary.load(tmp_path)[0]) == 1


def test_without_espeak_it_is_said_what_is_missing(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(PromptError, match=r"^espeak-ng is not installed$"):
        build(tmp_path / "out", [NINE])


def test_without_sox_it_is_said_what_is_missing(tmp_path: Path, tools: Path) -> None:
    tool(tools, "espeak-ng", "exit 0")
    with pytest.raises(PromptError, match=r"^sox is not installed$"):
        build(tmp_path / "out", [NINE])


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first >&2; echo 'no such voice' >&2; exit 1", "espeak-ng failed: no such voice"),
        ("exit 3", "espeak-ng failed: .*exit status 3"),
        ("kill -9 $$", "espeak-ng failed: .*SIGKILL"),
    ],
)
def test_a_tool_that_fails_is_one_line_with_its_own_words(
    tmp_path: Path, tools: Path, script: str, reason: str
) -> None:
    tool(tools, "espeak-ng", script)
    with pytest.raises(PromptError, match=reason) as caught:
        build(tmp_path / "out", [NINE])
    assert "\n" not in str(caught.value)


def test_a_tool_that_hangs_is_ended(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent_tools, "TOOL_S", 0.05)
    tool(tools, "espeak-ng", "exec /bin/sleep 60")
    with pytest.raises(PromptError, match=r"did not finish in 0\.05 s"):
        build(tmp_path / "out", [NINE])


@pytest.mark.parametrize("script", ["exit 0", "echo words"])
def test_a_tool_that_makes_no_sound_is_found_out(tmp_path: Path, tools: Path, script: str) -> None:
    tool(tools, "espeak-ng", "exit 0")
    tool(tools, "sox", script)
    with pytest.raises(PromptError, match=r"notice-1\.wav: 0\.0 s is no plausible length"):
        build(tmp_path / "out", [NINE])
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_tool_that_says_that_it_failed_is_believed_though_it_ends_well(
    tmp_path: Path, silent: Path
) -> None:
    tool(silent, "sox", f"/bin/cat {silent}/silence.raw; echo 'sox FAIL sox: No space left' >&2")
    with pytest.raises(PromptError, match="sox failed: sox FAIL sox: No space left"):
        build(tmp_path / "out", [NINE])


@pytest.fixture
def silent(tools: Path) -> Path:
    """An espeak-ng and a sox that give the same second of silence, quickly."""
    (tools / "silence.raw").write_bytes(bytes(4 * RATE))
    for name in ("espeak-ng", "sox"):
        tool(tools, name, f"exec /bin/cat {tools}/silence.raw")
    return tools


def own(folder: Path, digits: Digits) -> int | None:
    """Which version of its own acme plays as its notice, where these are its keys."""
    prompt = PromptLibrary.load(folder)[0].find("notice", "en", "acme", digits)
    return prompt.version if prompt is not None and prompt.tenant else None


def test_other_keys_are_another_version_of_the_tenants_own(tmp_path: Path, silent: Path) -> None:
    out = tmp_path / "out"
    build(out, [NINE])
    for text, version in ((EIGHT, 1), (SEVEN, 2), (EIGHT, 1)):
        assert [p.version for p in build(out, [text], "acme").prompts] == [version]
        assert own(out, text.digits) == version
    assert own(out, SHARED) is None
    assert {name for name in files(out) if "acme" in name} == {
        "tenants/acme/manifest.json",
        "tenants/acme/en/notice-1.wav",
        "tenants/acme/en/notice-2.wav",
    }


def test_new_words_are_another_version_and_the_older_one_stays(
    tmp_path: Path, silent: Path
) -> None:
    out = tmp_path / "out"
    build(out, [NINE])
    newer = replace(NINE, version=2, text="We record. Press 9.")
    assert build(out, [newer]).spoken == 1
    library, _ = PromptLibrary.load(out)
    assert [(p.version, p.text) for p in library.all()] == [(1, NINE.text), (2, newer.text)]
    found = library.find("notice", "en")
    assert found is not None
    assert found.version == 2


def test_what_the_tenant_recorded_itself_is_not_spoken_over(tmp_path: Path, silent: Path) -> None:
    out = tmp_path / "out"
    entry = write_prompt(out, digits=EIGHT.digits, tenant="acme")
    write_manifest(out / "tenants" / "acme", [{**entry, "source": "own"}])
    assert build(out, [EIGHT], "acme").spoken == 0
    assert build(out, [SEVEN], "acme").spoken == 1
    assert (own(out, EIGHT.digits), own(out, SEVEN.digits)) == (1, 2)


def test_a_tenants_manifest_that_is_torn_is_not_written_over(tmp_path: Path, silent: Path) -> None:
    out = tmp_path / "out"
    build(out, [EIGHT], "acme")
    torn = out / "tenants" / "acme" / MANIFEST
    torn.write_text("[{")
    with pytest.raises(PromptError, match=str(torn)):
        build(out, [SEVEN], "acme")
    assert torn.read_text() == "[{"


def test_two_that_build_at_once_speak_each_prompt_once(tmp_path: Path, silent: Path) -> None:
    out = tmp_path / "out"
    spoken: list[int] = []
    texts = [replace(NINE, name=f"digit-{digit}") for digit in range(10)]
    at_once = [
        threading.Thread(target=lambda: spoken.append(build(out, texts).spoken)) for _ in range(3)
    ]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert sorted(spoken) == [0, 0, 10]
    assert PromptLibrary.load(out)[1] == ()


def test_whoever_waits_too_long_for_another_is_told(
    tmp_path: Path, silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "LOCK_S", 0.0)
    with (
        manifest.locked(tmp_path / "out"),
        pytest.raises(PromptError, match="another command is making prompts"),
    ):
        build(tmp_path / "out", [NINE])


KILLED = """
import os, sys
from pathlib import Path
from callguard.consent import speech
from callguard.consent.texts import PromptText
speech.draft_manifest = lambda *_: os._exit(9)
speech.build(Path(sys.argv[1]), [PromptText("notice", "en", 1, "Two words.", "en-gb")])
"""


def test_a_kill_between_the_audio_and_the_manifest_leaves_what_was_there(
    tmp_path: Path, silent: Path
) -> None:
    out = tmp_path / "out"
    build(out, [DONE])
    before = PromptLibrary.load(out)[0].all()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False, env=os.environ)
    assert ended.returncode == 9
    assert (out / "en" / "notice-1.wav").exists()
    library, faults = PromptLibrary.load(out)
    assert (library.all(), faults) == (before, ())
    assert build(out, [NINE]).spoken == 1


def test_a_full_disk_leaves_the_manifest_as_it_was(
    tmp_path: Path, silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    build(out, [DONE])
    before = (out / MANIFEST).read_bytes()
    (out / "en").mkdir()
    for full in ("manifest.part", "en/notice-1.part"):
        (out / full).unlink(missing_ok=True)
        (out / full).symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            build(out, [NINE])
        assert (out / MANIFEST).read_bytes() == before
    assert not (out / "manifest.part").is_symlink()
    assert build(out, [NINE]).spoken == 1
