"""Speaking the prompts, with espeak-ng and sox themselves and with ones that fail."""

import wave
from pathlib import Path

import pytest

from callguard.consent import prompts
from callguard.consent.prompts import MANIFEST, RATE, PromptError, PromptLibrary, build
from callguard.consent.texts import PromptText, shipped_texts

NOTICE = PromptText("notice", "en", 1, "This call is recorded. Press 9 to object.", "en-gb")
DONE = PromptText("optout-done", "he", 3, "לא נתקשר אליכם שוב, שלום.", "he")


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
    made = build(tmp_path, [NOTICE, DONE])
    library, faults = PromptLibrary.load(tmp_path)
    assert faults == ()
    assert library.all() == made
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
    (made,) = build(tmp_path, [PromptText("notice", "he", 1, words, "he", sounds)])
    (plain,) = build(tmp_path / "plain", [PromptText("notice", "he", 1, words, "he")])
    assert made.text == words
    assert made.sha256 != plain.sha256
    assert PromptLibrary.load(tmp_path)[0].find("notice", "he") == made


def test_speaking_again_makes_the_same(tmp_path: Path) -> None:
    build(tmp_path, [NOTICE])
    first = files(tmp_path)
    build(tmp_path, [NOTICE])
    assert files(tmp_path) == first


def test_every_shipped_text_is_spoken(tmp_path: Path) -> None:
    made = build(tmp_path, shipped_texts())
    assert {(p.name, p.language) for p in made} == {(t.name, t.language) for t in shipped_texts()}


def test_parts_that_a_crash_left_are_no_harm(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    for name in ("en/notice-1.part", "en/notice-1.speech", "manifest.part"):
        (tmp_path / name).write_bytes(b"half")
    build(tmp_path, [NOTICE])
    assert PromptLibrary.load(tmp_path)[1] == ()
    assert set(files(tmp_path)) == {MANIFEST, "en/notice-1.wav"}


def test_a_building_that_is_cut_short_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, [NOTICE])
    before = PromptLibrary.load(tmp_path)[0].all()
    calls = 0
    run = prompts._run

    def fail(command: list[str]) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:  # the second prompt is being converted
            raise PromptError("cut")
        run(command)

    monkeypatch.setattr(prompts, "_run", fail)
    with pytest.raises(PromptError, match="cut"):
        build(tmp_path, [NOTICE, DONE])
    library, faults = PromptLibrary.load(tmp_path)
    assert (library.all(), faults) == (before, ())


@pytest.mark.parametrize("text", [",", "A. " * 400], ids=["too short", "too long"])
def test_what_is_no_plausible_prompt_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PromptError, match="no plausible length"):
        build(tmp_path, [PromptText("notice", "en", 1, text, "en-gb")])
    assert not (tmp_path / MANIFEST).exists()


def test_a_text_is_never_taken_for_an_option(tmp_path: Path) -> None:
    build(tmp_path, [PromptText("notice", "en", 1, "--version is what they said to me", "en-gb")])
    assert len(PromptLibrary.load(tmp_path)[0]) == 1


def test_without_espeak_it_is_said_what_is_missing(tmp_path: Path, tools: Path) -> None:
    with pytest.raises(PromptError, match=r"^espeak-ng is not installed$"):
        build(tmp_path / "out", [NOTICE])


def test_without_sox_it_is_said_what_is_missing(tmp_path: Path, tools: Path) -> None:
    tool(tools, "espeak-ng", "exit 0")
    with pytest.raises(PromptError, match=r"^sox is not installed$"):
        build(tmp_path / "out", [NOTICE])


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
        build(tmp_path / "out", [NOTICE])
    assert "\n" not in str(caught.value)


def test_a_tool_that_hangs_is_ended(
    tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "SYNTHESIS_S", 0.05)
    tool(tools, "espeak-ng", "exec /bin/sleep 60")
    with pytest.raises(PromptError, match=r"did not finish in 0\.05 s"):
        build(tmp_path / "out", [NOTICE])


@pytest.mark.parametrize("script", ["for f; do case $f in *.part) echo words >$f;; esac; done"])
def test_a_tool_that_writes_no_audio_is_found_out(tmp_path: Path, tools: Path, script: str) -> None:
    tool(tools, "espeak-ng", "for f; do case $f in *.speech) : >$f;; esac; done")
    tool(tools, "sox", script)
    with pytest.raises(PromptError, match=r"notice-1\.part: "):
        build(tmp_path / "out", [NOTICE])
    assert not (tmp_path / "out" / MANIFEST).exists()
