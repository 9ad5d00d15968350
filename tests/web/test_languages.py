"""Five languages, all of them whole."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import callguard.web
from callguard.web.language import ENGLISH, FOLDER, LANGUAGES, choose
from tests.web.conftest import Room
from tests.web.state import BUSY, EMPTY, TROUBLED

WEB = Path(callguard.web.__file__).parent
TRANSLATED = [code for code in LANGUAGES if code != ENGLISH.code]
PLACEHOLDER = re.compile(r"%\(\w+\)s")


def source_texts() -> set[str | tuple[str, ...]]:
    found = extract_from_dir(
        WEB,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
        options_map={"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}},
        keywords={"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)},
    )
    return {message for _, _, message, _, _ in found}


def catalog(code: str) -> Catalog:
    with (FOLDER / code / "LC_MESSAGES" / "callguard.po").open("rb") as file:
        return read_po(file, locale=code)


def test_the_source_has_texts_to_translate() -> None:
    texts = source_texts()
    assert "Ready to take calls" in texts
    assert ("%(shown)s alarm", "%(shown)s alarms") in texts
    assert "Blocked" in texts


def forms(text: str | Sequence[str] | None) -> list[str]:
    """The singular and plural forms of a text, as one list."""
    return [text or ""] if text is None or isinstance(text, str) else list(text)


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_text_is_translated_and_no_translation_is_left_over(code: str) -> None:
    entries = catalog(code)
    assert {message.id for message in entries if message.id} == source_texts()
    for message in entries:
        assert all(forms(message.string)), message.id
        assert not message.fuzzy
        if message.pluralizable:
            assert len(forms(message.string)) == entries.num_plurals


@pytest.mark.parametrize("code", TRANSLATED)
def test_translations_keep_the_places_of_their_figures(code: str) -> None:
    for message in catalog(code):
        if message.id:
            places = set(PLACEHOLDER.findall(forms(message.id)[0]))
            for text in forms(message.string):
                assert set(PLACEHOLDER.findall(text)) == places


@pytest.mark.parametrize("code", list(LANGUAGES))
async def test_every_state_renders_in_every_language(room: Room, code: str) -> None:
    for state in (EMPTY, BUSY, TROUBLED):
        room.source.now = state
        page = await room.text(f"/?lang={code}")
        direction = LANGUAGES[code].direction
        assert f'<html lang="{code}" dir="{direction}">' in page
        assert f'data-events="/events?lang={code}"' in page


@pytest.mark.parametrize(
    ("code", "words"),
    [("he", "2 התרעות"), ("nl", "2 alarmen"), ("ru", "2 тревоги"), ("fr", "2 alarmes")],
)
async def test_words_and_plurals_are_those_of_the_language(
    room: Room, code: str, words: str
) -> None:
    room.source.now = TROUBLED
    assert words in await room.text("/", **{"Accept-Language": code})


async def test_numbers_of_phones_stay_left_to_right_in_hebrew(room: Room) -> None:
    room.source.now = BUSY
    assert '<bdi dir="ltr">+4420••••0123</bdi>' in await room.text("/?lang=he")


async def test_figures_are_grouped_as_the_language_does(room: Room) -> None:
    room.source.now = BUSY
    assert "5.120" in await room.text("/?lang=nl")


@pytest.mark.parametrize(
    ("asked", "accepted", "code"),
    [
        ("fr", "he", "fr"),
        ("", "he-IL,he;q=0.9,en;q=0.8", "he"),
        ("", "iw", "he"),
        ("", "de, nl;q=0.4, ru;q=0.5", "ru"),
        ("", "nl;q=0, fr;q=0.1", "fr"),
        ("", "*", "en"),
        ("xx", "", "en"),
        ("", "fr;q=oops, nl;level=1, ru;q=2, he;q=nan", "en"),
        ("", ",;,;q=1,,", "en"),
        ("../../etc", "nl", "nl"),
    ],
)
def test_the_language_asked_for_comes_before_the_ones_accepted(
    asked: str, accepted: str, code: str
) -> None:
    assert choose(asked, accepted).code == code
