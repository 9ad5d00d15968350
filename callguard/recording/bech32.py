"""Bech32 (BIP 173) without its limit on length, as age uses it for keys. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import xor

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_LENGTH = 6
# What the generator does to the residue, for each value of the five bits shifted out of it.
_STEP = tuple(
    reduce(xor, (term for bit, term in enumerate(_GENERATOR) if top >> bit & 1), 0)
    for top in range(32)
)


class Bech32Error(ValueError):
    """The text is not strict Bech32. The message never repeats the text, which may be a secret."""


def encode(prefix: str, data: bytes) -> str:
    """Return `data` in Bech32 under `prefix`; an upper-case prefix gives upper-case text.

    Raises Bech32Error for an empty, mixed-case or unprintable prefix.
    """
    _check_prefix(prefix)
    lower = prefix.lower()
    values = _to_fives(data)
    residue = _polymod([*_expand(lower), *values, *(0,) * _CHECKSUM_LENGTH]) ^ 1
    checksum = [(residue >> 5 * (5 - place)) & 31 for place in range(_CHECKSUM_LENGTH)]
    text = lower + "1" + "".join(_ALPHABET[value] for value in (*values, *checksum))
    return text if prefix == lower else text.upper()


def decode(text: str) -> tuple[str, bytes]:
    """Return the prefix (in the case it was written in) and the data.

    Raises Bech32Error for mixed case, a foreign character, a wrong checksum or loose padding.
    """
    if not text.isascii():
        raise Bech32Error("a character outside ASCII")
    if text != text.lower() and text != text.upper():
        raise Bech32Error("upper and lower case are mixed")
    prefix, separator, tail = text.rpartition("1")
    if not separator:
        raise Bech32Error("the separator '1' is missing")
    _check_prefix(prefix)
    if len(tail) < _CHECKSUM_LENGTH:
        raise Bech32Error("too short to hold a checksum")
    try:
        values = [_VALUE[letter] for letter in tail.lower()]
    except KeyError:
        raise Bech32Error("a character outside the Bech32 alphabet") from None
    if _polymod([*_expand(prefix.lower()), *values]) != 1:
        raise Bech32Error("the checksum does not match")
    return prefix, _to_bytes(values[:-_CHECKSUM_LENGTH])


def _check_prefix(prefix: str) -> None:
    if not prefix:
        raise Bech32Error("the prefix is empty")
    if not all(33 <= ord(letter) <= 126 for letter in prefix):
        raise Bech32Error("an unprintable character in the prefix")
    if prefix != prefix.lower() and prefix != prefix.upper():
        raise Bech32Error("upper and lower case are mixed")


def _expand(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _polymod(values: Iterable[int]) -> int:
    residue = 1
    for value in values:
        residue = (residue & 0x1FFFFFF) << 5 ^ value ^ _STEP[residue >> 25]
    return residue


def _to_fives(data: bytes) -> list[int]:
    values: list[int] = []
    held = bits = 0
    for byte in data:
        held = (held & 0xFF) << 8 | byte
        bits += 8
        while bits >= 5:
            bits -= 5
            values.append(held >> bits & 31)
    if bits:
        values.append(held << (5 - bits) & 31)
    return values


def _to_bytes(values: list[int]) -> bytes:
    data = bytearray()
    held = bits = 0
    for value in values:
        held = (held & 0xFF) << 5 | value
        bits += 5
        if bits >= 8:
            bits -= 8
            data.append(held >> bits & 0xFF)
    if bits >= 5:
        raise Bech32Error("a surplus character of padding")
    if held & ((1 << bits) - 1):
        raise Bech32Error("the padding bits are not zero")
    return bytes(data)
