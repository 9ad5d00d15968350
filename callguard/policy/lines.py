"""Where in a pack's text something stands: tomllib does not say."""

import re
from collections.abc import Sequence
from functools import lru_cache

_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_NAME = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*\[(\[)?[ \t]*({_NAME})[ \t]*\]")
_KEY = re.compile(rf"[ \t]*({_NAME})[ \t]*=")
_PARTS = re.compile(_PART)
_QUOTES = re.compile(r"""#.*|\"{3}|'{3}|"(?:\\.|[^"\\])*"|'[^']*'""")

_DEEPEST = 8

Path = tuple[str, ...]


def line_of(text: str, rule: int | None, path: Sequence[str]) -> int:
    """The line, from 1, of a key of the pack (``rule`` None) or of its n-th ``[[rule]]``; where
    the key itself stands nowhere, of what it belongs to."""
    tables = _tables(text)
    if rule is not None and rule + 1 >= len(tables):  # rules that are no [[rule]] of their own
        rule, path = None, ("rule", *path)
    known = tables[0 if rule is None else rule + 1]
    for end in range(len(path), -1, -1):
        if (line := known.get(tuple(path[:end]))) is not None:
            return line
    return 1


@lru_cache(maxsize=4)
def _tables(text: str) -> tuple[dict[Path, int], ...]:
    """The first line of each key of the pack itself, then of each of its rules."""
    tables: list[dict[Path, int]] = [{(): 1}]
    table: Path = ()
    quote = ""
    for number, line in enumerate(text.split("\n"), 1):
        inside, quote = quote, _still_open(quote, line)
        if inside:
            continue
        if header := _HEADER.match(line):
            table = _path(header[2])
            if header[1] and table == ("rule",):
                tables.append({(): number})
                continue
            here = table
        elif key := _KEY.match(line):
            here = (*table, *_path(key[1]))
        else:
            continue
        of_rule = len(tables) > 1 and here[0] == "rule"
        known, here = (tables[-1], here[1:]) if of_rule else (tables[0], here)
        for end in range(1, min(len(here), _DEEPEST) + 1):
            known.setdefault(here[:end], number)
    return tuple(tables)


def _path(name: str) -> Path:
    return tuple(part.strip("\"'") for part in _PARTS.findall(name))


def _still_open(quote: str, line: str) -> str:
    """The quotes of a text of several lines that is open after this line."""
    at = 0
    while True:
        if quote:
            end = line.find(quote, at)
            if end < 0:
                return quote
            quote, at = "", end + 3
        found = _QUOTES.search(line, at)
        if found is None:
            return ""
        quote, at = (found[0] if found[0] in ('"""', "'''") else ""), found.end()
