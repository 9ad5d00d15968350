"""How far a recording is sealed while it runs, in numbers alone. Pure.

A full chunk is sealed as not the last only once a byte after it exists. A part is a nonce and the
whole chunks that were sealed so far; its size says how many.
"""

from __future__ import annotations

import math

from callguard.recording import age

HELD_BY_ASTERISK = 32 * 1024
"""Bytes that MixMonitor keeps back until they make a burst, or it stops."""


def chunks_due(header: int, sealed: int, spooled: int) -> int:
    """How many more chunks may be sealed now. ``header``: bytes of the WAV header; ``sealed``:
    whole chunks in the part; ``spooled``: bytes of raw audio written so far, the released ones
    counted."""
    if spooled <= 0:
        return 0
    return max(0, (header + spooled - 1) // age.CHUNK_SIZE - sealed)


def audio_in(header: int, chunks: int) -> int:
    """Bytes of raw audio, from the first sample, that so many whole chunks hold: what may be
    released once they are durable."""
    return max(0, chunks * age.CHUNK_SIZE - header)


def whole_chunks(part: int) -> int:
    """Whole sealed chunks in a part of so many bytes; a torn one at its end does not count."""
    return max(0, part - age.NONCE_SIZE) // age.SEALED_CHUNK_SIZE


def part_size(chunks: int) -> int:
    """Bytes of a part of so many whole chunks, none of them the last; a part of none is empty, so
    that it is begun under a fresh nonce."""
    return age.NONCE_SIZE + chunks * age.SEALED_CHUNK_SIZE if chunks else 0


def last_index(plain: int) -> int:
    """The index of the last chunk of so many bytes of plaintext."""
    return age.chunk_count(age.sealed_size(plain)) - 1


def burst_s(bytes_per_second: int) -> float:
    """The longest time between two bursts of a MixMonitor at work, in seconds, and a little."""
    return HELD_BY_ASTERISK / bytes_per_second + 0.5


def missing_at_most(
    header: int, plain: int, spooled: int, unseen_s: float, bytes_per_second: int
) -> int:
    """Bytes of audio that can be gone with a spool entry, where ``plain`` bytes of plaintext, the
    header included, are sealed: what was seen in the entry, ``spooled``, what Asterisk held back,
    and what it went on to write in the seconds since the entry was last seen there."""
    seen = spooled - max(0, plain - header)
    return max(0, seen) + HELD_BY_ASTERISK + math.ceil(max(0.0, unseen_s) * bytes_per_second)


def missing_of_all(header: int, plain: int, lasted_s: float, bytes_per_second: int) -> int:
    """As ``missing_at_most``, where nobody saw the entry: all that the recording can have held in
    the seconds it lasted, and never less than one that was being sealed until the end can lack."""
    audio = math.ceil(max(0.0, lasted_s) * bytes_per_second) - max(0, plain - header)
    return max(audio, age.CHUNK_SIZE + HELD_BY_ASTERISK)
