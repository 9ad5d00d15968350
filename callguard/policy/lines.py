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

KINDS = ("rule", "retention")
"""The tables of which a pack has many."""


def line_of(text: str, entry: int | None, path: Sequence[str], kind: str = "rule") -> int:
    """The line, from 1, of a key of the pack (``entry`` None) or of its n-th ``[[rule]]``, or of
    another kind of table; where the key itself stands nowhere, of what it belongs to."""
    pack, entries = _tables(text)
    of_kind = entries[kind]
    if entry is not None and entry >= len(of_kind):  # those that are no [[rule]] of their own
        entry, path = None, (kind, *path)
    known = pack if entry is None else of_kind[entry]
    for end in range(len(path), -1, -1):
        if (line := known.get(tuple(path[:end]))) is not None:
            return line
    return 1


_Lines = dict[Path, int]


@lru_cache(maxsize=4)
def _tables(text: str) -> tuple[_Lines, dict[str, list[_Lines]]]:
    """The first line of each key of the pack itself, and of each of its tables of each kind."""
    pack: _Lines = {(): 1}
    entries: dict[str, list[_Lines]] = {kind: [] for kind in KINDS}
    table: Path = ()
    quote = ""
    for number, line in enumerate(text.split("\n"), 1):
        inside, quote = quote, _still_open(quote, line)
        if inside:
            continue
        if header := _HEADER.match(line):
            table = _path(header[2])
            if header[1] and len(table) == 1 and table[0] in entries:
                entries[table[0]].append({(): number})
                continue
            here = table
        elif key := _KEY.match(line):
            here = (*table, *_path(key[1]))
        else:
            continue
        of_kind = entries.get(here[0])
        known, here = (of_kind[-1], here[1:]) if of_kind else (pack, here)
        for end in range(1, min(len(here), _DEEPEST) + 1):
            known.setdefault(here[:end], number)
    return pack, entries


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
