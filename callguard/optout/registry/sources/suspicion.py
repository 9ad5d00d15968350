"""What is wrong with a text: bad lines fit to be shown, and the format that it looks like."""

import re

import numpy as np

from callguard.optout.registry.contract import Format
from callguard.optout.registry.sources.e164 import E164
from callguard.optout.registry.sources.layout import Layout
from callguard.optout.registry.sources.lines import LineError
from callguard.optout.registry.sources.tables import Csv
from callguard.optout.registry.sources.uk_tps import UkTps
from callguard.optout.registry.sources.us_dnc import UsDnc

WIDTH = 40
"""Most characters of a bad line that are shown."""

MIXED = 10
"""So many lines of another format make a file a mixed one, and so does a hundredth of its lines
where these are two at least. Fewer are bad lines like others."""

_MIXED_SHARE = 100
_LIKE = 0.9
_SHAPES: dict[Format, tuple[tuple[Format, re.Pattern[str]], ...]] = {
    "us-dnc": (
        ("e164", re.compile(r"1?\*{8}[0-9]{2}|\+?\*{6,13}[0-9]{2}")),
        ("uk-tps", re.compile(r"\*{3,5} +\*{2,5}[0-9]{2}")),
    ),
    "uk-tps": (
        ("us-dnc", re.compile(r"\*{3},\*{5}[0-9]{2}")),
        ("e164", re.compile(r"\+\*{5,13}[0-9]{2}|\*{10,13}[0-9]{2}")),
    ),
    "e164": (
        ("us-dnc", re.compile(r"\*{3},\*{5}[0-9]{2}")),
        ("uk-tps", re.compile(r"\*{3,5} +\*{2,5}[0-9]{2}")),
    ),
}


def masked(text: str) -> str:
    """A line that may be shown: no digits but the last two, no controls, cut."""
    left = 2
    shown = []
    for char in reversed(text):
        if char.isnumeric():
            shown.append(char if left > 0 else "*")
            left -= 1
        else:
            shown.append(
                char if char.isprintable() else char.encode("unicode_escape").decode()[::-1]
            )
    return "".join(shown)[::-1][:WIDTH]


class Mixture:
    """Counts the bad lines that would be right in another format. It goes by what is shown of
    them, so that a source taken up again counts the same."""

    def __init__(self, format: Format, shown: list[str]) -> None:  # noqa: A002 - the word of the setting
        self._shapes = _SHAPES.get(format, ())
        self._count = 0
        self._last: tuple[int, Format] | None = None
        for text in shown:
            self._is_other(text)

    def add(self, line: int, text: str) -> Format | None:
        """The other format, where this line makes the text a mixed one."""
        other = self._is_other(text)
        if other:
            self._last = (line, other)
        return other if other and self._count >= MIXED else None

    def at_end(self, lines: int) -> tuple[int, Format] | None:
        """The last such line and its format, where they are too many for so short a text."""
        mixed = self._count >= 2 and self._count * _MIXED_SHARE >= lines
        return self._last if mixed else None

    def _is_other(self, text: str) -> Format | None:
        for name, shape in self._shapes:
            if shape.fullmatch(text):
                self._count += 1
                return name
        return None


def looks_like(head: bytes, besides: Format) -> Format | None:
    """The format that the first lines would be right in, if there is one."""
    layouts: tuple[Layout, ...] = (UsDnc(), UkTps(), E164(), Csv())
    for layout in layouts:
        if layout.format == besides:
            continue
        try:
            body = np.frombuffer(head[layout.begin(head) :], np.uint8)
            parsed = layout.parse(body) if len(body) else None
        except LineError:
            continue
        if parsed and len(parsed.numbers) >= _LIKE * parsed.lines:
            return layout.format
    return None
