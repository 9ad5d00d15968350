"""Digits as RFC 4733 telephone events, in a capture file that SIPp plays.

SIPp's own `play_dtmf` sends a payload type of its choice (97), whatever the two sides agreed on,
so that Asterisk ignores the digits of a called party.
"""

from __future__ import annotations

import struct
from pathlib import Path

PAYLOAD_TYPE = 101
_EVENTS = "0123456789*#ABCD"
_STEP = 160  # samples in 20 ms
_HELD = 8  # packets while the key is down
_SOURCE = 0x0CA11


def write_capture(path: Path, digits: str, *, order: int = 0) -> Path:
    """Write `digits`, 160 ms each and 100 ms apart.

    Of several captures in one call, a later one needs a higher `order`: Asterisk takes an event
    with an earlier timestamp for a copy. Raises ValueError for what is no digit.
    """
    records = []
    sequence, timestamp, at = order * 1000 + 1, (order + 1) * 400_000, 0.0
    for digit in digits:
        event = _EVENTS.index(digit)
        for number in range(_HELD):
            # One end packet, not the usual three: beside SIPp's tone, which has another source
            # id, Asterisk takes each repetition for another press.
            ended = number == _HELD - 1
            duration = (number + 1) * _STEP
            marker = 0x80 if number == 0 else 0
            packet = struct.pack(
                ">BBHII", 0x80, marker | PAYLOAD_TYPE, sequence & 0xFFFF, timestamp, _SOURCE
            )
            packet += struct.pack(">BBH", event, (0x80 if ended else 0) | 10, duration)
            records.append(_record(at, packet))
            sequence += 1
            at += 0.02
        timestamp += _HELD * _STEP + 800
        at += 0.1
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(header + b"".join(records))
    return path


def _record(at: float, payload: bytes) -> bytes:
    """One captured Ethernet frame; SIPp puts its own addresses and ports in."""
    loopback = bytes([127, 0, 0, 1])
    udp = struct.pack(">HHHH", 4000, 4000, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + loopback * 2
    frame = bytes(12) + b"\x08\x00" + ip + udp
    seconds, micros = divmod(round(at * 1e6), 1_000_000)
    return struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame
