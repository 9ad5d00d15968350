"""Faults of keys as text: name -> (good text, faulty text, part of the message)."""

from __future__ import annotations

from collections.abc import Iterator

from callguard.recording import bech32
from tests.recording.faults_stanza import LOW_ORDER_POINTS
from tests.recording.sealing import HYBRID, X25519

KeyFault = tuple[str, str, str]

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _flip(text: str, at: int) -> str:
    letter = text[at].lower()
    other = _ALPHABET[_ALPHABET.index(letter) ^ 1]
    return text[:at] + (other.upper() if text.isupper() else other) + text[at + 1 :]


def _raw(prefix: str, values: list[int]) -> str:
    """Bech32 with a right checksum over any values."""
    lower = prefix.lower()
    residue = bech32._polymod([*bech32._expand(lower), *values, *(0,) * 6]) ^ 1
    values = [*values, *((residue >> 5 * (5 - place)) & 31 for place in range(6))]
    text = lower + "1" + "".join(_ALPHABET[value] for value in values)
    return text if prefix == lower else text.upper()


def _faults(good: str, prefix: str, data: bytes) -> Iterator[tuple[str, KeyFault]]:
    at = len(prefix) + 1
    yield "letter changed", (good, _flip(good, at + 9), "checksum")
    yield "checksum changed", (good, _flip(good, -1), "checksum")
    pair = next(place for place in range(at + 5, len(good)) if good[place] != good[place + 1])
    swapped = good[:pair] + good[pair + 1] + good[pair] + good[pair + 2 :]
    yield "letters exchanged", (good, swapped, "checksum")
    yield "letter missing", (good, good[:-1], "checksum")
    yield "letter more", (good, good + good[-1], "checksum")
    yield "mixed case in the prefix", (good, good[0].swapcase() + good[1:], "case are mixed")
    other = next(place for place in range(at, len(good)) if good[place].isalpha())
    mixed = good[:other] + good[other].swapcase() + good[other + 1 :]
    yield "mixed case in the data", (good, mixed, "case are mixed")
    yield "other case", (good, good.swapcase(), "unknown kind")
    foreign = good[:-8] + ("B" if good.isupper() else "b") + good[-7:]
    yield "letter outside the alphabet", (good, foreign, "outside the Bech32")
    yield "letter outside ASCII", (good, good[:-1] + "\u0661", "outside ASCII")
    yield "space before", (good, " " + good, "unprintable")
    yield "space after", (good, good + " ", "outside the Bech32")
    yield "line feed after", (good, good + "\n", "outside the Bech32")
    yield "no separator", (good, good.replace("1", "", 1), "separator|unknown|check|short")
    yield "no prefix", (good, good[at - 1 :], "prefix is empty")
    renamed = ("X" if prefix.isupper() else "x") + prefix[1:]
    yield "prefix changed", (good, bech32.encode(renamed, data), "unknown kind")
    yield "nothing", (good, "", "separator")
    yield "prefix alone", (good, good[:at], "too short")
    yield "no data", (good, bech32.encode(prefix, b""), "does not hold")
    yield "a byte short", (good, bech32.encode(prefix, data[:-1]), "does not hold")
    yield "a byte long", (good, bech32.encode(prefix, data + b"x"), "does not hold")
    values = bech32._to_fives(data)
    loose = [*values[:-1], values[-1] | 1]
    if len(data) * 8 % 5:
        yield "padding bits set", (good, _raw(prefix, loose), "padding bits")
    yield "surplus padding", (good, _raw(prefix, [*values, 0]), "surplus|hold")


def _all() -> Iterator[tuple[str, KeyFault]]:
    for kind, identity in (("X25519", X25519), ("hybrid", HYBRID)):
        public, recipient = str(identity.recipient), type(identity.recipient)
        secret = identity.encode()
        for name, fault in _faults(public, recipient.PREFIX, identity.recipient.public):
            yield f"{kind} recipient: {name}", fault
        for name, fault in _faults(secret, type(identity).PREFIX, identity.secret):
            yield f"{kind} identity: {name}", fault
    for name, point in LOW_ORDER_POINTS.items():
        bad = bech32.encode("age", point)
        yield f"X25519 recipient: low order, {name}", (str(X25519.recipient), bad, "low-order")
        bad = bech32.encode("age1pq", HYBRID.recipient.public[:1184] + point)
        yield f"hybrid recipient: low order, {name}", (str(HYBRID.recipient), bad, "low-order")
    unreduced = b"\xff" * 3 + HYBRID.recipient.public[3:]  # two coefficients of 4095, over q
    yield (
        "hybrid recipient: coefficient over q",
        (str(HYBRID.recipient), bech32.encode("age1pq", unreduced), "not an ML-KEM-768"),
    )


KEY_FAULTS: dict[str, KeyFault] = dict(_all())
