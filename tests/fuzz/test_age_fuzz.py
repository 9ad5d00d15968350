"""Ten million hostile bytes: the age reader gives a value or an AgeError, soon and always."""

import itertools
import random
import string
from collections.abc import Iterator

import pytest

from callguard.recording import age, payload

BYTES = 10_000_000
IDENTITIES: list[age.Identity] = [
    age.X25519Identity(bytes(range(1, 33))),
    age.HybridIdentity(bytes(range(2, 34))),
]
FILE_KEY = bytes(range(16))
NONCE = bytes(range(16, 32))
MARKS = (
    b"\n",
    b"\r\n",
    b" ",
    b"=",
    b"-> ",
    b"---",
    b"--- ",
    b"X25519",
    b"scrypt",
    b"\x00",
    b"\xff",
)


def _mutate(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0:
                changed[at:at] = rng.choice(MARKS)
            case 1:
                del changed[at : at + rng.choice((1, 3, 64, 200))]
            case 2:
                changed[at : at + 1] = rng.randbytes(1)
            case 3:
                del changed[at:]
            case 4:
                start = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[start : start + rng.randrange(100)]
            case _:
                changed[at:at] = rng.randbytes(rng.randrange(80))
    return bytes(changed)


def _headers(rng: random.Random) -> Iterator[bytes]:
    seeds = [
        age.build_header(FILE_KEY, [identity.recipient for identity in group])
        for group in (IDENTITIES[:1], IDENTITIES[:1] * 3, IDENTITIES[1:])
    ]
    seeds.append(b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\n\n--- " + b"A" * 43)
    while True:
        data = rng.choice(seeds)
        yield _mutate(rng, data) if rng.randrange(20) else rng.randbytes(rng.randrange(4000))


def _payloads(rng: random.Random) -> Iterator[bytes]:
    seeds = [
        b"".join(payload.seal_stream([bytes(size)], FILE_KEY, NONCE))
        for size in (0, 1, 500, 500, 500, age.CHUNK_SIZE, age.CHUNK_SIZE + 50)
    ]
    while True:
        data = rng.choice(seeds)
        yield _mutate(rng, data) if rng.randrange(20) else rng.randbytes(rng.randrange(4000))


def _pieces(rng: random.Random, data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        step = rng.choice((1, 15, 700, 65_552, 200_000))
        yield data[at : at + step]
        at += step


@pytest.mark.parametrize("seed", [1, 2])
def test_any_header_gives_a_value_or_an_age_error(seed: int) -> None:
    rng = random.Random(seed)
    left = BYTES // 4
    outcomes: dict[str, int] = {}
    for data in _headers(rng):
        try:
            header = age.read_header(data)
            assert 0 < header.size <= len(data)
            outcome = "opened" if age.unwrap(header, IDENTITIES) == FILE_KEY else "wrong key"
        except age.AgeError as error:
            outcome = type(error).__name__
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        left -= len(data)
        if left <= 0:
            break
    # All roads were taken, and no altered header ever gave another key.
    assert {"HeaderError", "HeaderMacError", "NoMatchingIdentity"} <= set(outcomes)
    assert "wrong key" not in outcomes


@pytest.mark.parametrize("seed", [3, 4])
def test_any_payload_gives_its_plaintext_or_an_age_error(seed: int) -> None:
    rng = random.Random(seed)
    left = BYTES // 4
    refused = 0
    for data in _payloads(rng):
        released = bytearray()
        try:
            for plaintext in payload.open_stream(_pieces(rng, data), FILE_KEY):
                released += plaintext
        except age.PayloadError:
            refused += 1
        assert not released.strip(b"\0")  # nothing but what was sealed is ever released
        left -= len(data)
        if left <= 0:
            break
    assert refused > 20


def test_a_header_that_never_ends_is_refused_at_the_limit() -> None:
    for line in (b"-> " + b"A" * 100, b"A" * 64, b"-> x\n" + b"A" * 64, b"-> x\n"):
        data = b"age-encryption.org/v1\n-> grease\n" + (line + b"\n") * (BYTES // 4 // len(line))
        with pytest.raises(age.HeaderError):
            age.read_header(data)


def _keys(rng: random.Random) -> Iterator[str]:
    seeds = [
        text
        for identity in IDENTITIES
        for text in (str(identity.recipient), identity.encode(), identity.encode().lower())
    ]
    letters = string.printable + "qpzry9x8gf2tvdw0s3jn54khce6mua7l" * 3 + "\u00e9\u0661\u212a"
    while True:
        # Most often a short one: the post-quantum recipient is 1,960 letters.
        text = list(rng.choice(seeds if not rng.randrange(8) else seeds[1:]))
        for _ in range(rng.choice((0, 1, 1, 2, 5))):
            at = rng.randrange(len(text) + 1)
            instead = rng.choices(letters, k=rng.choice((0, 1, 1, 2)))
            text[at : at + rng.choice((0, 1, 1, 2, 40))] = instead
        yield "".join(text)


def test_any_text_gives_a_key_that_reads_back_the_same_or_an_age_error() -> None:
    rng = random.Random(5)
    kept = refused = 0
    for text in itertools.islice(_keys(rng), 2000):
        try:
            assert str(age.parse_recipient(text)) == text
            kept += 1
        except age.KeyFormatError:
            refused += 1
        try:
            assert age.parse_identity(text).encode() == text
            kept += 1
        except age.KeyFormatError:
            refused += 1
    assert kept > 100
    assert refused > 1000


@pytest.mark.parametrize("text", ["1" * BYTES, "age1" + "q" * (BYTES // 10), "\u00e9" * BYTES])
def test_a_key_of_any_length_is_refused_soon(text: str) -> None:
    with pytest.raises(age.KeyFormatError):
        age.parse_recipient(text)


def test_a_whole_file_ends_the_same_in_any_pieces() -> None:
    rng = random.Random(6)
    sealed = [
        age.build_header(FILE_KEY, [identity.recipient])
        + b"".join(payload.seal_stream([bytes(size)], FILE_KEY, NONCE))
        for identity in IDENTITIES
        for size in (0, 300, age.CHUNK_SIZE + 50)
    ]
    opened = 0
    for _ in range(400):
        data = _mutate(rng, rng.choice(sealed)) if rng.randrange(10) else rng.choice(sealed)
        outcomes: set[bytes | str] = set()
        try:
            outcomes.add(age.open_file(data, IDENTITIES))
            opened += 1
        except age.AgeError as error:
            outcomes.add(f"{type(error).__name__} {error}")
        opener = age.FileOpener(IDENTITIES)
        try:
            pieces = [opener.feed(piece) for piece in _pieces(rng, data)]
            outcomes.add(b"".join(pieces) + opener.finish())
        except age.AgeError as error:
            outcomes.add(f"{type(error).__name__} {error}")
        assert len(outcomes) == 1
    assert 20 < opened < 100


def test_a_header_that_never_ends_is_refused_at_the_limit_in_pieces_too() -> None:
    opener = age.FileOpener(IDENTITIES)
    opener.feed(b"age-encryption.org/v1\n-> grease\n")
    lines = (b"A" * 64 + b"\n") * 20
    pieces = itertools.repeat(lines, 2 * age.MAX_HEADER_SIZE // len(lines))
    with pytest.raises(age.HeaderError):
        any(map(opener.feed, pieces))
