"""What a text message asks for: no more calls, calls again, or who is writing. Pure.

Stopping is read generously, because a call not placed costs less than a wish not heard: a
sentence that is nothing but a command to stop, or a message of at most ``SHORT`` words that
begins with one ("stop by tomorrow" opts out, "we can stop by tomorrow" does not). Words that
often begin other messages, such as "cancel", stop only where they stand alone. Opting in is read
strictly: the message is the word and nothing else.

Words to stop are known in every language whatever the tenant's are; those to opt in only in the
tenant's and in English. The words, and which of them are verified, are in ``words.toml``.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Final, Literal

Meaning = Literal["stop", "start", "help"]
REPLIES: Final = ("stopped", "started", "help", "stays")

SHORT: Final = 6
"""Most words of a message whose beginning alone is looked at."""

MOST: Final = 2_000
"""Characters that are looked at; ten joined text messages have about as many."""

ENGLISH: Final = "en"

_ENDS: Final = re.compile(r"[.!?;,:\n\r\u2028\u2029\u3002\u061b\u061f\u2014\u2013]+")
_JOINS: Final = re.compile(r"(?<=\w)['\u2019\u02bc\u05f3\u05f4\"`\u00b4](?=\w)")
_GAPS: Final = re.compile(r"[\W_]+")


class WordsError(ValueError):
    """A file of words that cannot be used; one line that says which language and why."""


@dataclass(frozen=True, slots=True)
class Language:
    """The words of one language, each as ``normal`` has it, and the answers as they are sent."""

    code: str
    stop: frozenset[str]
    alone: frozenset[str]
    start: frozenset[str]
    help: frozenset[str]
    polite: frozenset[str]
    replies: Mapping[str, str]

    def reply(self, which: str, name: str) -> str:
        """The answer ``which`` in the name of a tenant."""
        return self.replies[which].replace("{name}", name)


@dataclass(frozen=True, slots=True)
class Command:
    """What was asked for, in which language, by which of its words."""

    meaning: Meaning
    language: str
    word: str


def normal(text: str) -> str:
    """The text without what people and telephones change: case, accents and vowel points, marks
    of direction, punctuation, pictures, width, more than one space; letters spelled out one by
    one are a word."""
    folded = unicodedata.normalize("NFKC", text[:MOST]).casefold()
    kept = "".join(map(_kept, unicodedata.normalize("NFKD", folded)))
    words = _GAPS.sub(" ", _JOINS.sub("", kept)).split()
    if len(words) > 1 and all(len(word) == 1 for word in words):
        return "".join(words)
    return " ".join(words)


def _kept(sign: str) -> str:
    sort = unicodedata.category(sign)
    if sort in ("Mn", "Me", "Cf"):
        return ""
    return " " if sort == "Cc" else sign


def parse_words(source: str) -> dict[str, Language]:
    """Reads the file of words. Raises WordsError."""
    try:
        data = tomllib.loads(source)
        return {code: _language(code, entry) for code, entry in data.items()}
    except tomllib.TOMLDecodeError as error:
        raise WordsError(f"words: {error}") from error


@cache
def shipped_words() -> Mapping[str, Language]:
    """The words that come with callguard, by language."""
    file = resources.files("callguard.optout").joinpath("words.toml")
    return parse_words(file.read_text(encoding="utf-8"))


def read_command(
    text: str, preferred: Sequence[str] = (), words: Mapping[str, Language] | None = None
) -> Command | None:
    """What a message asks for; None where it asks for nothing of the kind. ``preferred`` are the
    languages in which a word that several have is taken to be."""
    known = words if words is not None else shipped_words()
    own = [code for code in (*preferred, ENGLISH) if code in known]
    every = list(dict.fromkeys([*own, *known]))
    sentences = [said for part in _ENDS.split(_visible(text)) if (said := normal(part))]
    whole = normal(text)
    for code in every:
        if (found := _stops(known[code], whole, sentences)) is not None:
            return Command("stop", code, found)
    for code in own if len(text) <= MOST else ():  # what is cut off may say otherwise
        if (bare := _bare(known[code], whole)) in known[code].start:
            return Command("start", code, bare)
    for code in every:
        if (bare := _bare(known[code], whole)) in known[code].help:
            return Command("help", code, bare)
    return None


def _visible(text: str) -> str:
    """The text in which an end of a sentence is seen, whatever its width."""
    return unicodedata.normalize("NFKC", text[:MOST])


def _stops(language: Language, whole: str, sentences: Sequence[str]) -> str | None:
    bare = [_bare(language, sentence) for sentence in sentences]
    commands = language.stop | language.alone
    for said in (_bare(language, whole), *bare[:1]):
        if said in commands:
            return said
    for said in bare:
        if said in language.stop:
            return said
    words = [word for word, _ in groupby(_bare(language, whole).split())]  # "stop stop stop"
    if len(words) <= SHORT:
        for length in range(len(words), 0, -1):
            if (beginning := " ".join(words[:length])) in language.stop:
                return beginning
    return None


def _bare(language: Language, said: str) -> str:
    """What was said without the politeness at both ends."""
    words = said.split()
    while True:
        shorter = _cut(words, language.polite)
        if not shorter or shorter == words:
            return " ".join(words)
        words = shorter


def _cut(words: list[str], polite: Iterable[str]) -> list[str]:
    for phrase in polite:
        parts = phrase.split()
        if words[: len(parts)] == parts:
            return words[len(parts) :]
        if words[-len(parts) :] == parts:
            return words[: -len(parts)]
    return words


def _language(code: str, entry: object) -> Language:
    if not isinstance(entry, dict):
        raise WordsError(f"words: {code}: it is no table")
    sorts = ("stop", "alone", "start", "help", "polite")
    if unknown := set(entry) - {*sorts, "reply"}:
        raise WordsError(f"words: {code}: {sorted(unknown)[0]} is not known")
    found = {sort: _phrases(code, sort, entry.get(sort)) for sort in sorts}
    replies = entry.get("reply")
    if not isinstance(replies, dict) or set(replies) != set(REPLIES):
        raise WordsError(f"words: {code}: reply needs {', '.join(REPLIES)}")
    if not all(isinstance(text, str) and "{name}" in text for text in replies.values()):
        raise WordsError(f"words: {code}: a reply does not say {{name}}")
    if both := (found["stop"] | found["alone"]) & (found["start"] | found["help"]):
        raise WordsError(f"words: {code}: {sorted(both)[0]!r} means two things")
    return Language(code, **found, replies=dict(replies))


def _phrases(code: str, sort: str, given: object) -> frozenset[str]:
    if not isinstance(given, list) or not given:
        raise WordsError(f"words: {code}: {sort} is not a list of words")
    found = frozenset(normal(phrase) if isinstance(phrase, str) else "" for phrase in given)
    if "" in found:
        raise WordsError(f"words: {code}: {sort} holds what is no word")
    return found
