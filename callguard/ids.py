"""Identifiers of calls, recordings and rows: UUIDv7 (RFC 9562, section 5.7).

They sort by time of making, those that one process makes in one millisecond by their order too
(section 6.2, method 1), and carry nothing of the number, the tenant or the content.
"""

import os
import threading
from datetime import UTC, datetime
from uuid import UUID

_FIRST = 0x3FF
"""The first id of a millisecond leaves room for some three thousand after it."""

_LAST = 0xFFF


class _Order:
    """Where the ids of one millisecond stand: the twelve bits after it count up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = -1
        self._place = 0

    def place(self, milliseconds: int, first: int) -> int:
        with self._lock:
            again = milliseconds == self._milliseconds
            self._place = min(self._place + 1, _LAST) if again else first
            self._milliseconds = milliseconds
            return self._place


_order = _Order()


def uuid7(now: datetime, entropy: bytes | None = None) -> UUID:
    """A UUIDv7 for the wall time ``now`` (milliseconds are kept).

    ``entropy`` is ten bytes, random unless a test gives them.
    """
    random = os.urandom(10) if entropy is None else entropy
    if len(random) != 10:
        raise ValueError(f"entropy is {len(random)} bytes, not 10")
    milliseconds = int(now.timestamp() * 1000)
    if not 0 <= milliseconds < 1 << 48:
        raise ValueError("the time does not fit a UUIDv7")
    value = milliseconds << 80 | int.from_bytes(random, "big")
    if entropy is None:
        place = _order.place(milliseconds, value >> 64 & _FIRST)
        value = value & ~(0xFFF << 64) | place << 64
    value &= ~(0xF << 76 | 0x3 << 62)
    value |= 0x7 << 76 | 0x2 << 62
    return UUID(int=value)


def made_at(text: str) -> datetime:
    """When a UUIDv7 was made, to the millisecond. Raises ValueError for what is none."""
    found = UUID(text)
    if found.version != 7:
        raise ValueError(f"{text!r} is no UUIDv7")
    return datetime.fromtimestamp((found.int >> 80) / 1000, UTC)


def is_call_id(text: str) -> bool:
    """Whether ``text`` is the canonical form of a UUIDv7."""
    try:
        parsed = UUID(text)
    except ValueError:
        return False
    return str(parsed) == text and parsed.version == 7
