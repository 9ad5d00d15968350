"""Faults of the native stanzas, each under a right MAC: name -> Fault."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from callguard.recording import age
from callguard.recording.age_header import encode_base64
from callguard.recording.age_keys import _HYBRID_INFO
from tests.recording.faults import (
    GREASE,
    PQ,
    SQUARE,
    Fault,
    X,
    close,
    flipped,
    not_canonical,
    text,
    wrap_x25519,
)
from tests.recording.sealing import FILE_KEY, HYBRID

Named = Iterator[tuple[str, Fault]]

LOW_ORDER_POINTS = {
    "zero": bytes(32),
    "one": b"\x01" + bytes(31),
    "order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order 8, the other": bytes.fromhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
    ),
    "p minus 1": b"\xec" + b"\xff" * 30 + b"\x7f",
    "p": b"\xed" + b"\xff" * 30 + b"\x7f",
    "p plus 1": b"\xee" + b"\xff" * 30 + b"\x7f",
    "zero, top bit set": bytes(31) + b"\x80",
}
MALFORMED, FOREIGN = age.HeaderError, age.NoMatchingIdentity
_SCRYPT = age.Stanza("scrypt", ("ajMFur+EJLGaohv/dLRGnw", "18"), bytes(32))
_SIZES = {"X25519": 32, "mlkem768x25519": 1120}


def _instead(good: age.Stanza, bad: age.Stanza, error: type[age.AgeError], reason: str) -> Fault:
    return Fault(close(text(good)), close(text(bad)), error, reason)


def mixture_faults() -> Named:
    """Stanzas that may not stand together, and files for somebody else."""
    for name, stanzas, good in (
        ("scrypt after X25519", (X, _SCRYPT), X),
        ("scrypt before X25519", (_SCRYPT, X), X),
        ("scrypt after mlkem768x25519", (PQ, _SCRYPT), PQ),
        ("scrypt before mlkem768x25519", (_SCRYPT, PQ), PQ),
    ):
        yield name, Fault(close(text(good)), close(text(*stanzas)), MALFORMED, "scrypt")
    for good in (X, PQ):
        unknown = GREASE if good is X else SQUARE
        name = f"no stanza but {unknown.type}"
        fault = Fault(close(text(unknown, good)), close(text(unknown)), FOREIGN, "no identity")
        yield name, fault
        other = age.generate_identity("pq" if good is PQ else "x25519").recipient.wrap(FILE_KEY)
        name = f"{good.type} for another"
        yield name, _instead(good, other, FOREIGN, "no identity")
    yield "scrypt alone", _instead(X, _SCRYPT, FOREIGN, "passphrase")


def shape_faults(good: age.Stanza) -> Named:
    """What is checked before any decryption."""
    kind, (share,), body = good.type, good.arguments, good.body
    size = _SIZES[kind]

    def made(name: str, bad: age.Stanza, reason: str) -> tuple[str, Fault]:
        return f"{kind} {name}", _instead(good, bad, MALFORMED, reason)

    def shared(name: str, text: str, reason: str) -> tuple[str, Fault]:
        return made(name, age.Stanza(kind, (text,), body), reason)

    raw = bytes(range(1, 33)) * (size // 32)
    yield made("without share", age.Stanza(kind, (), body), "exactly one argument")
    yield made("with two shares", age.Stanza(kind, (share, share), body), "exactly one argument")
    yield made("with an argument more", age.Stanza(kind, (share, "1"), body), "exactly one")
    yield shared("share too short", encode_base64(raw[:-1]), f"not {size} bytes")
    yield shared("share too long", encode_base64(raw + b"x"), f"not {size} bytes")
    yield shared("share of twice the size", encode_base64(raw * 2), f"not {size} bytes")
    yield shared("share of one byte", "AA", f"not {size} bytes")
    padded = encode_base64(raw) + "=" * (-size % 3)
    yield shared("share padded", padded, "share .* padding")
    yield shared("share not base64", "*" + share[1:], "share .* outside base64")
    yield shared("share in the URL alphabet", "_" + share[1:], "share .* outside base64")
    yield shared("share of impossible length", share + "A" * (-len(share) % 4 + 1), "impossible")
    if size % 3:
        bad = not_canonical(encode_base64(raw).encode()).decode()
        yield shared("share not canonical", bad, "share .* not canonical")
    for name, point in LOW_ORDER_POINTS.items():
        low = encode_base64(raw[: size - 32] + point)
        yield shared(f"share of low order: {name}", low, "low-order")
    for name, altered in (
        ("empty", b""),
        ("a tag alone", bytes(16)),
        ("short", body[:-1]),
        ("long", body + b"x"),
        ("twice", body * 2),
    ):
        yield made(f"body {name}", age.Stanza(kind, (share,), altered), "body .* not 32 bytes")
    second = age.Stanza(kind, (share,), body[:-1])
    for place, pair in (("after", (good, second)), ("before", (second, good))):
        fault = Fault(close(text(good)), close(text(*pair)), MALFORMED, "body .* not 32 bytes")
        yield f"{kind} malformed {place} a good one", fault


def wrapping_faults(good: age.Stanza) -> Named:
    """A stanza of the right shape that does not open: as if it were for somebody else."""
    kind, (share,), body = good.type, good.arguments, good.body

    def foreign(name: str, bad: age.Stanza) -> tuple[str, Fault]:
        return f"{kind} {name}", _instead(good, bad, FOREIGN, "no identity")

    yield foreign("body altered", age.Stanza(kind, (share,), flipped(body)))
    yield foreign("tag altered", age.Stanza(kind, (share,), flipped(body, -1)))
    yield foreign("body of zeros", age.Stanza(kind, (share,), bytes(32)))
    yield foreign("in another case", age.Stanza(kind.swapcase(), (share,), body))
    yield foreign("of a longer name", age.Stanza(kind + "2", (share,), body))


def x25519_faults() -> Named:
    """Wrong ways to wrap for X25519."""

    def wrong(name: str, bad: age.Stanza, error: type[age.AgeError], reason: str) -> Named:
        yield f"X25519 {name}", _instead(X, bad, error, reason)

    exchanged = age.Stanza("X25519", wrap_x25519(FILE_KEY, ephemeral=9).arguments, X.body)
    yield from wrong("share of another", exchanged, FOREIGN, "no ident")
    yield from wrong("cipher nonce", wrap_x25519(FILE_KEY, nonce=b"\1" * 12), FOREIGN, "no ident")
    yield from wrong("wrapping key", wrap_x25519(FILE_KEY, info=bytes(32)), FOREIGN, "no ident")
    for size in (0, 15, 17, 24, 32):
        bad = wrap_x25519(bytes(size))
        yield from wrong(f"file key of {size} bytes", bad, MALFORMED, "body .* not 32 bytes")
    labelled = age.Stanza("mlkem768x25519", X.arguments, X.body)
    yield from wrong("named mlkem768x25519", labelled, MALFORMED, "not 1120 bytes")


def hybrid_faults() -> Named:
    """Wrong ways to wrap for the post-quantum recipient."""
    raw = HYBRID.recipient._key

    def wrong(
        name: str, sealed: bytes, error: type[age.AgeError] = FOREIGN, reason: str = "no identity"
    ) -> tuple[str, Fault]:
        bad = age.Stanza("mlkem768x25519", (encode_base64(sealed[:1120]),), sealed[1120:])
        return f"mlkem768x25519 {name}", _instead(PQ, bad, error, reason)

    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    sealed = suite.encrypt(FILE_KEY, raw, _HYBRID_INFO)
    yield wrong("ML-KEM part altered", flipped(sealed))
    yield wrong("X25519 part altered", flipped(sealed, 1088))
    yield wrong("parts exchanged", sealed[1088:1120] + sealed[:1088] + sealed[1120:])
    yield wrong("info of X25519", suite.encrypt(FILE_KEY, raw, b"age-encryption.org/v1/X25519"))
    yield wrong("no info", suite.encrypt(FILE_KEY, raw, b""))
    other = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    yield wrong("under AES", other.encrypt(FILE_KEY, raw, _HYBRID_INFO))
    other = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.CHACHA20_POLY1305)
    yield wrong("under SHA-512", other.encrypt(FILE_KEY, raw, _HYBRID_INFO))
    for size in (0, 15, 17, 32):
        bad = suite.encrypt(bytes(size), raw, _HYBRID_INFO)
        yield wrong(f"file key of {size} bytes", bad, MALFORMED, "body .* not 32 bytes")
    labelled = age.Stanza("X25519", PQ.arguments, PQ.body)
    yield "mlkem768x25519 named X25519", _instead(PQ, labelled, MALFORMED, "not 32 bytes")


STANZA_FAULTS: dict[str, Fault] = {
    name: fault
    for family in (
        mixture_faults(),
        shape_faults(X),
        shape_faults(PQ),
        wrapping_faults(X),
        wrapping_faults(PQ),
        x25519_faults(),
        hybrid_faults(),
    )
    for name, fault in family
}
