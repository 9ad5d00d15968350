"""What text messages ask for, by language, and however people and telephones write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.words import (
    MOST,
    REPLIES,
    Command,
    WordsError,
    normal,
    parse_words,
    read_command,
    shipped_words,
)

FCC = ["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"]
"""47 CFR 64.1200(a)(10)."""

PHRASES = [
    (code, meaning, phrase)
    for code, language in shipped_words().items()
    for meaning, phrases in (
        ("stop", language.stop | language.alone),
        ("start", language.start),
        ("help", language.help),
    )
    for phrase in sorted(phrases)
]


@pytest.mark.parametrize("word", FCC)
@pytest.mark.parametrize(
    "shape", ["{}", "{}.", "{}!", " {} ", '"{}"', "\u201c{}\u201d", "please {}"]
)
def test_each_word_of_the_fcc_stops_however_it_is_written(word: str, shape: str) -> None:
    for written in (word, word.upper(), word.title()):
        found = read_command(shape.format(written), ["en"])
        assert found == Command("stop", "en", word)


@pytest.mark.parametrize(("code", "meaning", "phrase"), PHRASES)
def test_every_word_means_in_its_language_what_the_table_says(
    code: str, meaning: str, phrase: str
) -> None:
    for written in (phrase, phrase.upper(), f"  {phrase}!! ", f"\u200f{phrase}\u200e"):
        found = read_command(written, [code])
        assert found is not None
        assert (found.meaning, found.language) == (meaning, code)


@pytest.mark.parametrize("code", ["en", "he", "nl", "ru", "fr", "de", "es"])
def test_all_languages_are_there_with_all_replies(code: str) -> None:
    language = shipped_words()[code]
    for which in REPLIES:
        assert "Acme" in language.reply(which, "Acme")


@pytest.mark.parametrize(
    "text",
    [
        "הסר",
        "\u202bהסר\u202c",
        "\u200fהסר!",
        "\u2067הסר\u2069.",
        "הָסֵר",
        "הַסֵּר",
        "הסר\u05f4",
        "בבקשה הסירו אותי",
        "נא להסיר",
        "הסר אותי מהרשימה בבקשה",
        "תפסיקו להתקשר אליי",
    ],
)
def test_hebrew_is_read_with_marks_of_direction_and_vowels(text: str) -> None:
    found = read_command(text)
    assert found is not None
    assert (found.meaning, found.language) == ("stop", "he")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("ARRÊT", "fr"),
        ("arret", "fr"),
        ("Arre\u0302t", "fr"),
        ("ne m\u2019appelez plus", "fr"),
        ("Ne m'appelez plus jamais svp", "fr"),
        ("СТОП", "ru"),
        ("отпишите меня, пожалуйста", "ru"),
        ("Bitte nicht mehr anrufen!", "de"),
        ("Stopp", "de"),
        ("¡Baja!", "es"),
        ("Afmelden aub", "nl"),
        ("\uff33\uff34\uff2f\uff30", "en"),
        ("S.T.O.P.", "en"),
        ("S T O P", "en"),
        ("ST\u200bOP", "en"),
        ("STOP \U0001f6d1", "en"),
        ("Opt-Out", "en"),
        ("Don\u2019t call me again", "en"),
        ("STOP\nSent from my telephone", "en"),
        ("STOP. I have told you four times now and I will not tell you again", "en"),
        ("See you there. Stop.", "en"),
        ("stop" + "!" * 100_000, "en"),
        ("stop " * 12, "en"),
        ("Un-subscribe", "en"),
        ("Stop calling me. I have told you four times now", "en"),
        ("Please do not contact me", "en"),
        ("הפסק!", "he"),
        ("Больше не звоните мне", "ru"),
        ("Ne m\u2019appelez pas", "fr"),
        ("Rufen Sie mich bitte nicht mehr an. Ich habe es schon dreimal gesagt", "de"),
        ("Dejen de llamarme", "es"),
        ("Bel mij niet meer aub", "nl"),
    ],
)
def test_a_wish_to_stop_is_heard(text: str, language: str) -> None:
    found = read_command(text)
    assert found is not None
    assert (found.meaning, found.language) == ("stop", language)


@pytest.mark.parametrize(
    "text", ["stop by tomorrow", "Stop calling me", "unsubscribe me from this", "stop it at once"]
)
def test_a_short_message_that_begins_with_stop_stops_whatever_else_it_may_mean(text: str) -> None:
    found = read_command(text)
    assert found is not None
    assert found.meaning == "stop"


@pytest.mark.parametrize(
    "text",
    [
        "we can stop by tomorrow",
        "I will stop by the office tomorrow after lunch with the papers",
        "stop by the office tomorrow after lunch with the papers that you asked for",
        "cancel my appointment on Monday",
        "end of the month suits me",
        "quit smoking in 2019",
        "bus stop 5",
        "what does STOP mean",
        "No",
        "nein danke",
        "לא",
        "Стопка книг",
        "bajar",
        "finalmente",
        "stopwatch",
        "",
        " ",
        "\U0001f44d",
        "\u202b\u202c",
    ],
)
def test_other_messages_ask_for_nothing(text: str) -> None:
    assert read_command(text) is None


@pytest.mark.parametrize(
    "text", ["start by calling me", "I want to start", "start stop", "please do not start", "yes"]
)
def test_opting_in_is_the_word_and_nothing_else(text: str) -> None:
    assert read_command(text, ["en"]) is None


def test_what_is_too_long_to_be_read_to_its_end_does_not_opt_in() -> None:
    assert read_command("START" + " " * MOST + "is what I shall never say", ["en"]) is None


def test_who_says_both_has_not_opted_in() -> None:
    found = read_command("STOP START", ["en"])
    assert found is not None
    assert found.meaning == "stop"


def test_a_word_of_several_languages_is_of_the_tenants() -> None:
    for code in ("nl", "fr", "de", "es", "en"):
        found = read_command("Stop", [code, "en"])
        assert found is not None
        assert found.language == code
    found = read_command("Stop", ["he"])
    assert found is not None
    assert found.language == "en"


def test_opting_in_is_read_in_the_tenants_languages_and_english_only() -> None:
    assert read_command("старт", ["ru"]) == Command("start", "ru", "старт")
    assert read_command("старт", ["en", "he"]) is None
    assert read_command("unstop", ["ru"]) == Command("start", "en", "unstop")


def test_a_language_that_is_not_known_does_no_harm() -> None:
    assert read_command("stop", ["xx"]) == Command("stop", "en", "stop")


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    found = read_command(text, ["he"])
    assert found is None or found.word


@given(st.text(max_size=200))
def test_what_is_normal_stays_as_it_is(text: str) -> None:
    once = normal(text)
    assert len(once) <= MOST * 18
    assert normal(once) == once


@given(
    st.sampled_from(sorted(shipped_words()["he"].stop | shipped_words()["en"].stop)),
    st.lists(
        st.sampled_from("\u200e\u200f\u202a\u202b\u202c\u2066\u2069\u05b8\u0301\ufe0f .!"),
        max_size=6,
    ),
    st.lists(st.sampled_from("\u200e\u200f\u202c\u2069\u05b8\u0301\ufe0f .!?\"'"), max_size=6),
)
def test_marks_around_a_word_change_nothing(word: str, before: list[str], after: list[str]) -> None:
    found = read_command("".join(before) + word + "".join(after))
    assert found is not None
    assert found.meaning == "stop"


LANGUAGE = """
[xx]
stop = ["halt"]
alone = ["aus"]
start = ["los"]
help = ["wer"]
polite = ["bitte"]
[xx.reply]
stopped = "{name} a"
started = "{name} b"
help = "{name} c"
stays = "{name} d"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[xx]", "[xx", "words: "),
        ('stop = ["halt"]', "stop = []", "stop is not a list"),
        ('stop = ["halt"]', 'stop = ["!"]', "stop holds what is no word"),
        ('stop = ["halt"]', "stop = [1]", "stop holds what is no word"),
        ('stop = ["halt"]', 'stop = ["los"]', "means two things"),
        ('help = ["wer"]', 'helps = ["wer"]', "helps is not known"),
        ('stays = "{name} d"', "", "reply needs"),
        ('stays = "{name} d"', 'stays = "d"', "does not say {name}"),
        ("[xx]", "xx = 1\n[yy]", "no table"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(old: str, new: str, said: str) -> None:
    assert parse_words(LANGUAGE)["xx"].reply("help", "Acme") == "Acme c"
    text = "xx = 1\n" if "no table" in said else LANGUAGE.replace(old, new)
    with pytest.raises(WordsError, match=r"^words: ") as caught:
        parse_words(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
