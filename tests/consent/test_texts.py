"""The words of the prompts: a text file is right, or refused in one line."""

import re

import pytest

from callguard.consent.texts import PROMPTS, TextError, parse_texts, shipped_texts

REASONS = {"blocked-hours", "blocked-limit", "blocked-consent"}
"""Why a call is held back, said in place of the plain "blocked" by the rules that name them."""

GOOD = """
language = "he"
voice = "he"
[prompt.notice]
version = 2
text = "השיחה מוקלטת. הקישו 9."
phonemes = "[[hasiX'a mukl'etet]]. [[hak'iSu t'eSa]]."
""" + "".join(
    f"""
[prompt.{name}]
version = 1
text = "לא נתקשר שוב."
"""
    for name in PROMPTS
    if name != "notice"
)


def test_a_file_gives_its_prompts() -> None:
    found = {text.name: text for text in parse_texts("he.toml", GOOD)}
    assert set(found) == {*PROMPTS, *REASONS}
    notice = found["notice"]
    assert (notice.language, notice.voice, notice.version) == ("he", "he", 2)
    assert notice.text == "השיחה מוקלטת. הקישו 9."
    assert notice.spoken == "[[hasiX'a mukl'etet]]. [[hak'iSu t'eSa]]."
    assert found["blocked"].spoken == found["blocked"].text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "language"),
        ("language = ", "Invalid value"),
        ('language = "he"\nvoice = "he"', "prompt"),
        ('language = "he"\nvoice = "he"\nprompt = 3', "prompt texts he.toml"),
        ('language = "he"\nvoice = "he"\nprompt = ["notice"]', "prompt texts he.toml"),
        ('language = "he"\nvoice = "he"\n[prompt]\nnotice = "words"', "prompt texts he.toml"),
        (GOOD.replace('voice = "he"', ""), "voice"),
        (GOOD.replace("version = 2", ""), "version"),
        (GOOD.replace("version = 2", 'version = "two"'), "two"),
        (GOOD.replace("version = 2", "version = [2]"), "prompt texts he.toml"),
        (GOOD.replace("prompt.blocked", "prompt.barred"), "blocked, .*missing"),
        (GOOD.replace("prompt.line-offer", "prompt.line"), "line-offer missing"),
    ],
)
def test_a_fault_is_one_line_with_the_file(source: str, reason: str) -> None:
    with pytest.raises(TextError, match=reason) as caught:
        parse_texts("he.toml", source)
    assert str(caught.value).startswith("prompt texts he.toml: ")
    assert "\n" not in str(caught.value)


def test_every_shipped_language_has_every_prompt_once_and_says_the_digit() -> None:
    found = [(text.language, text.name) for text in shipped_texts()]
    languages = {language for language, _ in found}
    assert "en" in languages
    names = {*PROMPTS, *REASONS}
    assert sorted(found) == sorted((lang, name) for lang in languages for name in names)
    assert all("9" in text.text for text in shipped_texts() if text.name == "notice")


PHONEMES = re.compile(
    r"\[\[(?:(?:'?(?:[abdefghijklmnopstuvzXS]|Q\"))+ ?)+\]\](?:, |\. |[.,]|$)", re.ASCII
)
"""What stands in double brackets, in the phonemes of espeak-ng's voice "he"."""


def test_unpointed_hebrew_is_given_to_the_synthesiser_as_phonemes_that_it_has() -> None:
    """It drops what it does not know without a word."""
    hebrew = [text for text in shipped_texts() if text.language == "he"]
    assert len(hebrew) == len(PROMPTS)
    for text in hebrew:
        assert re.search("[א-ת]", text.text), text.name
        assert PHONEMES.sub("", text.phonemes) == "", text.name
        assert text.phonemes, text.name


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("line-offer", {"1", "2"}),
        ("line-confirm", {"1", "2"}),
        ("line-in-ask", {"1", "2"}),
        ("callback-ask", {"1", "2"}),
    ],
)
def test_every_question_names_the_keys_that_answer_it(name: str, keys: set[str]) -> None:
    for text in shipped_texts():
        if text.name == name:
            assert set(re.findall("[0-9]", text.text)) == keys, text.language
            if text.phonemes:
                said = {"1": "'aX'at", "2": "St'aim"}
                assert all(said[key] in text.phonemes for key in keys), text.language
