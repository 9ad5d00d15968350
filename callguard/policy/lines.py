"""Where in a pack's text something stands: tomllib does not say."""

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*\[(\[)?\s*([A-Za-z0-9_.\- ]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*(?:\.\s*([A-Za-z0-9_-]+)\s*)?=")


def line_of(text: str, rule: int | None, path: Sequence[str]) -> int:
    """The line, from 1, of a key of the pack (``rule`` None) or of its n-th ``[[rule]]``; where
    the key itself stands nowhere, of what it belongs to. Lines inside a text of several lines
    that look like keys may mislead it."""
    count, table, best, depth = -1, "", 1, -1
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = header[2].replace(" ", "")
            if header[1] and table == "rule":
                count += 1
        if count != (-1 if rule is None else rule):
            continue
        here = [part for part in table.split(".")[1:] if part] if count >= 0 else []
        if key := _KEY.match(line):
            here += [part for part in key.groups() if part]
        agreed = 0
        while agreed < min(len(here), len(path)) and here[agreed] == path[agreed]:
            agreed += 1
        if agreed == len(here) and agreed > depth:
            best, depth = number, agreed
    return best
