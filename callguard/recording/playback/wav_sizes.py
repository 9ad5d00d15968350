"""The sizes of a streaming WAV filled in, now that it has an end. Pure.

A recording is sealed behind a header with sizes 0xFFFFFFFF, since nobody knows how long it will be;
whoever reads it gets the same header, of the same length, with the sizes in it.
"""

import struct

UNKNOWN = b"\xff\xff\xff\xff"
MOST = 0xFFFF_FFFE
"""The largest size that a WAV can say."""


def with_sizes(start: bytes, total: int) -> bytes:
    """The header that ``start`` begins with, filled in for a file of ``total`` bytes; nothing where
    it is none of ours, says its sizes already, or the file is longer than a header can say."""
    if total > MOST or start[:4] != b"RIFF" or start[4:12] != UNKNOWN + b"WAVE":
        return b""
    if start[12:16] != b"fmt ":
        return b""
    (layout,) = struct.unpack_from("<I", start, 16)
    if layout not in (16, 18):
        return b""
    (frame_bytes,) = struct.unpack_from("<H", start, 32)
    at, fact = 20 + layout, None
    if start[at : at + 12] == b"fact" + struct.pack("<I", 4) + UNKNOWN:
        at, fact = at + 12, at + 8
    if start[at : at + 8] != b"data" + UNKNOWN or not frame_bytes:
        return b""
    end = at + 8
    audio = total - end
    header = bytearray(start[:end])
    struct.pack_into("<I", header, 4, total - 8)
    struct.pack_into("<I", header, at + 4, audio)
    if fact is not None:
        struct.pack_into("<I", header, fact, audio // frame_bytes)
    return bytes(header)
