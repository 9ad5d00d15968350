"""Identifiers of calls, recordings and rows: UUIDv7 (RFC 9562, section 5.7).

They sort by time of making and carry nothing of the number, the tenant or the content.
"""

import os
from datetime import datetime
from uuid import UUID


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
    value &= ~(0xF << 76 | 0x3 << 62)
    value |= 0x7 << 76 | 0x2 << 62
    return UUID(int=value)


def is_call_id(text: str) -> bool:
    """Whether ``text`` is the canonical form of a UUIDv7."""
    try:
        parsed = UUID(text)
    except ValueError:
        return False
    return str(parsed) == text and parsed.version == 7
