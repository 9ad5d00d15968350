"""The words of the prompts: a text file is right, or refused in one line."""

import re

import pytest

from callguard.consent.prompt import SHARED, Digits, named_in
from callguard.consent.texts import PROMPTS, PromptText, TextError, parse_texts, shipped_texts

REASONS = {"blocked-hours", "blocked-limit", "blocked-consent"}
"""Why a call is held back, said in place of the plain "blocked" by the rules that name them."""

GOOD = """
language = "he"
voice = "he"
[prompt.notice]
version = 2
text = "השיחה מוקלטת. הקישו {opt_out}."
phonemes = "[[hasiX'a mukl'etet]]. [[hak'iSu {opt_out}]]."
[prompt.notice-refuse]
version = 1
text = "{refuse} {opt_out}"
[prompt.ask]
version = 1
text = "{accept} {refuse} {opt_out}"
[prompt.digit-9]
version = 1
text = "תשע"
phonemes = "[[t'eSa]]"
""" + "".join(
    f"""
[prompt.{name}]
version = 1
text = "לא נתקשר שוב."
"""
    for name in PROMPTS
    if name not in ("notice", "notice-refuse", "ask", "digit-9")
)

LANGUAGES = {"en", "he", "nl", "ru", "fr", "de", "es"}
RECORDED = {
    "en": "recorded",
    "he": "מוקלטת",
    "nl": "opgenomen",
    "ru": "записывается",
    "fr": "enregistré",
    "de": "aufgezeichnet",
    "es": "grabando",
}
"""The word by which each language says that the call is recorded."""


def test_a_file_gives_its_prompts() -> None:
    found = {text.name: text for text in parse_texts("he.toml", GOOD)}
    assert set(found) == {*PROMPTS, *REASONS}
    notice = found["notice"]
    assert (notice.language, notice.voice, notice.version) == ("he", "he", 2)
    assert notice.text == "השיחה מוקלטת. הקישו 9."
    assert notice.spoken == "[[hasiX'a mukl'etet]]. [[hak'iSu t'eSa]]."
    assert (notice.digits, found["ask"].digits) == (Digits(opt_out="9"), SHARED)
    assert found["blocked"].digits == Digits()
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
        (GOOD.replace("הקישו {opt_out}", "הקישו 9"), "notice must name {opt_out}"),
        (GOOD.replace("hak'iSu {opt_out}", "hak'iSu t'eSa"), "notice must name {opt_out}"),
        (GOOD.replace("{accept} {refuse}", "{refuse}"), "ask must name {accept}, {refuse}, {opt_o"),
        (GOOD.replace("לא נתקשר", "{accept}"), "must name no digit"),
        (GOOD.replace("{accept}", "{accepted}"), "ask must name"),
        (GOOD.replace('phonemes = "[[t\'eSa]]"', ""), "digit-9 has no phonemes"),
        (GOOD.replace("prompt.line-offer", "prompt.line"), "line-offer missing"),
    ],
)
def test_a_fault_is_one_line_with_the_file(source: str, reason: str) -> None:
    with pytest.raises(TextError, match=reason) as caught:
        parse_texts("he.toml", source)
    assert str(caught.value).startswith("prompt texts he.toml: ")
    assert "\n" not in str(caught.value)


def test_every_shipped_language_has_every_prompt_once() -> None:
    found = [(text.language, text.name) for text in shipped_texts()]
    assert set(PROMPTS) >= REASONS
    assert sorted(found) == sorted((lang, name) for lang in LANGUAGES for name in PROMPTS)


@pytest.mark.parametrize("digits", [SHARED, Digits("3", "0", "8")], ids=str)
def test_what_asks_and_what_tells_names_the_tenants_keys_and_no_other(digits: Digits) -> None:
    texts = {(t.language, t.name): t for t in shipped_texts(digits)}
    for (language, name), text in texts.items():
        named = {getattr(digits, field) for field in named_in(name)}
        if named:
            assert set(re.findall("[0-9]", text.text)) == named, (language, name)
            for digit in named:
                assert _sound_of(texts[language, f"digit-{digit}"]) in text.spoken or (
                    digit in text.spoken
                ), (language, name)
        assert "{" not in text.text + text.spoken, (language, name)


def _sound_of(digit: PromptText) -> str:
    return digit.spoken.strip("[]")


def test_the_notice_says_that_the_call_is_recorded() -> None:
    """And so does what follows a yes."""
    for text in shipped_texts():
        if text.name in ("notice", "notice-refuse", "granted"):
            assert RECORDED[text.language] in text.text, (text.language, text.name)


def test_where_figures_are_said_wrongly_the_synthesiser_gets_words() -> None:
    (ask,) = (t for t in shipped_texts() if (t.language, t.name) == ("ru", "ask"))
    assert "нажмите 1." in ask.text
    assert "нажмите один." in ask.spoken
    assert not re.search("[0-9]", "".join(t.spoken for t in shipped_texts() if t.language == "ru"))


PHONEMES = re.compile(
    r"\[\[(?:(?:'?(?:[abdefghijklmnopstuvzXS]|Q\"))+ ?)+\]\](?:, |[.?] |[.,]|$)", re.ASCII
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
            if text.language == "he":
                said = {"1": "'aX'at", "2": "St'aim"}
                assert all(said[key] in text.phonemes for key in keys), text.language
