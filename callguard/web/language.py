"""Which language a page speaks, and its catalog.

English is the source. The other catalogs are ``.po`` files, compiled in memory when they are
first needed, so that nothing binary is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER: Final = Path(__file__).parent / "locale"
_MOST_RANGES: Final = 20


@dataclass(frozen=True, slots=True)
class Language:
    """``code`` is the BCP 47 tag, ``name`` what its speakers call it."""

    code: str
    name: str
    direction: Literal["ltr", "rtl"] = "ltr"


ENGLISH: Final = Language("en", "English")
LANGUAGES: Final[Mapping[str, Language]] = {
    language.code: language
    for language in (
        ENGLISH,
        Language("he", "עברית", "rtl"),
        Language("nl", "Nederlands"),
        Language("ru", "Русский"),
        Language("fr", "Français"),
    )
}


def choose(asked: str, accepted: str) -> Language:
    """The language ``asked`` for by code, else the best of an Accept-Language header, else
    English (RFC 9110, section 12.5.4, with the lookup of RFC 4647)."""
    found = LANGUAGES.get(asked)
    if found is not None:
        return found
    best, best_weight = ENGLISH, 0.0
    for item in accepted.split(",")[:_MOST_RANGES]:
        tag, _, parameter = item.partition(";")
        primary = tag.strip().lower().split("-")[0]
        # Java, and so some old clients, write the former code of Hebrew.
        language = LANGUAGES.get("he" if primary == "iw" else primary)
        weight = _weight(parameter)
        if language is not None and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if not parameter.strip():
        return 1.0
    try:
        weight = float(value) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


@cache
def translations(code: str) -> NullTranslations:
    """The catalog of a language of ``LANGUAGES``; English says what the source says."""
    if code == ENGLISH.code:
        return NullTranslations()
    compiled = BytesIO()
    with (FOLDER / code / "LC_MESSAGES" / "callguard.po").open("rb") as source:
        write_mo(compiled, read_po(source, locale=code))
    compiled.seek(0)
    return GNUTranslations(compiled)
