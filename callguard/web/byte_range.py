"""Which bytes of an answer somebody asks for (RFC 9110, section 14). Pure.

One range of bytes is answered. Whatever else is asked for, several ranges, another unit, something
that cannot be read, is answered with the whole, as the RFC allows.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_ONE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    """The first byte, and the one after the last."""

    start: int
    stop: int


class UnsatisfiableError(ValueError):
    """A range that has no byte of what there is."""


def asked_span(
    ranges: Sequence[str], if_ranges: Sequence[str], *, etag: str, size: int
) -> Span | None:
    """The bytes that the headers ``Range`` and ``If-Range`` ask for; None for all of them.

    ``etag`` is strong, with its quotes. A condition that is not this very tag is not met: there are
    no dates here. Raises UnsatisfiableError.
    """
    if len(ranges) != 1 or any(condition.strip() != etag for condition in if_ranges):
        return None
    found = _ONE.fullmatch(ranges[0].strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise UnsatisfiableError("no byte of that range is there")
    return Span(start, stop)
