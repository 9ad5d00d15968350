"""Age files with exactly one fault each, built by code: name -> (file, error, part of its message).

Every builder starts from a file that opens, so that what is refused is the fault and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from callguard.recording import age
from callguard.recording.age_header import encode_base64, encode_header
from tests.recording.sealing import FILE_KEY, HYBRID, NONCE, X25519, seal_chunks

Fault = tuple[bytes, type[age.AgeError], str]

PLAIN = b"a recording " * 6000  # 72,000 bytes: two chunks
CHUNKS = seal_chunks(PLAIN)
PAYLOAD = NONCE + b"".join(CHUNKS)
ONE_CHUNK = NONCE + b"".join(seal_chunks(b"short"))
LOW_ORDER_POINTS = {
    "zero": bytes(32),
    "one": b"\x01" + bytes(31),
    "order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "p minus 1": b"\xec" + b"\xff" * 30 + b"\x7f",
}


def header(*stanzas: age.Stanza) -> bytes:
    """A header with a right MAC over whatever stanzas."""
    return encode_header(FILE_KEY, stanzas)


X = X25519.recipient.wrap(FILE_KEY)
PQ = HYBRID.recipient.wrap(FILE_KEY)
GREASE = age.Stanza("grease", ("a", "b"), bytes(60))
GOOD = header(X)
LINES = GOOD.split(b"\n")  # version, stanza, body, MAC, nothing
VERSION, ARGUMENTS, BODY, MAC = LINES[:4]


def _lines(*lines: bytes) -> bytes:
    return b"".join(line + b"\n" for line in lines) + PAYLOAD


def _not_canonical(text: bytes) -> bytes:
    """The same bytes with a bit set that a canonical encoding leaves at zero."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-1] + alphabet[alphabet.index(text[-1:]) + 1 :][:1]


def _body(*lines: bytes) -> bytes:
    return _lines(VERSION, b"-> grease", *lines, ARGUMENTS, BODY, MAC)


FULL_LINE = b"A" * 64


def _text_faults() -> Iterator[tuple[str, Fault]]:
    error = age.HeaderError
    yield "empty file", (b"", error, "empty")
    yield "not an age file", (_lines(b"RIFF", *LINES[1:4]), error, "not an age file")
    yield "leading blank line", (b"\n" + GOOD + PAYLOAD, error, "not an age file")
    yield "leading space", (b" " + GOOD + PAYLOAD, error, "not an age file")
    yield "version v2", (_lines(b"age-encryption.org/v2", *LINES[1:4]), error, "not v1")
    yield "version v1 and more", (_lines(VERSION + b"0", *LINES[1:4]), error, "not v1")
    yield "space after the version", (_lines(VERSION + b" ", *LINES[1:4]), error, "not v1")
    yield "cut in the version line", (VERSION[:10], error, "cut short")
    yield "cut after the version line", (VERSION + b"\n", error, "cut short")
    yield "cut in the stanza line", (GOOD[:40], error, "cut short")
    yield "cut in the body", (b"\n".join(LINES[:2]) + b"\nAAAA", error, "cut short")
    yield "cut in the MAC", (GOOD[:-20], error, "cut short")
    yield "no line end after the MAC", (GOOD[:-1], error, "cut short")
    yield "carriage returns", (GOOD.replace(b"\n", b"\r\n") + PAYLOAD, error, "carriage return")
    yield (
        "one carriage return",
        (
            _lines(VERSION, ARGUMENTS, BODY + b"\r", MAC),
            error,
            "carriage return",
        ),
    )
    yield (
        "carriage return after the MAC",
        (
            _lines(VERSION, ARGUMENTS, BODY, MAC + b"\r"),
            error,
            "carriage return",
        ),
    )
    yield "no stanza", (header() + PAYLOAD, error, "no recipient stanza")
    yield (
        "blank line between stanzas",
        (
            _lines(VERSION, ARGUMENTS, BODY, b"", MAC),
            error,
            "neither",
        ),
    )
    yield "unknown line", (_lines(VERSION, b"=> X25519", BODY, MAC), error, "neither")
    yield "two short body lines", (_body(b"AAAA", b"AAAA"), error, "neither")
    yield (
        "arrow without space",
        (
            _lines(VERSION, ARGUMENTS.replace(b"-> ", b"->"), BODY, MAC),
            error,
            "no arguments",
        ),
    )
    yield "arrow alone", (_lines(VERSION, b"->", BODY, MAC), error, "no arguments")
    yield "empty type", (_lines(VERSION, b"-> ", BODY, MAC), error, "empty argument")
    yield (
        "two spaces",
        (
            _lines(VERSION, ARGUMENTS.replace(b"X25519 ", b"X25519  "), BODY, MAC),
            error,
            "empty argument",
        ),
    )
    yield (
        "space after the arguments",
        (
            _lines(VERSION, ARGUMENTS + b" ", BODY, MAC),
            error,
            "empty argument",
        ),
    )
    yield "tab in an argument", (_lines(VERSION, b"-> a\tb", BODY, MAC), error, "unprintable")
    yield (
        "letter outside ASCII",
        (
            _lines(VERSION, "-> caf\u00e9".encode(), BODY, MAC),
            error,
            "unprintable",
        ),
    )
    yield "delete character", (_lines(VERSION, b"-> a\x7f", BODY, MAC), error, "unprintable")
    yield "body missing", (_lines(VERSION, ARGUMENTS, MAC), error, "short line")
    yield "no empty line after a full one", (_body(FULL_LINE), error, "short line")
    yield "body line of 65 columns", (_body(FULL_LINE + b"A", b""), error, "longer than 64")
    yield "body line of 68 columns", (_body(FULL_LINE + b"AAAA", b""), error, "longer than 64")
    yield "padding in the body", (_body(b"AA=="), error, "padding")
    yield "space in the body", (_body(b"AA A"), error, "outside base64")
    yield "space after the body", (_lines(VERSION, ARGUMENTS, BODY + b" ", MAC), error, "outside")
    yield "URL alphabet in the body", (_body(b"AA-_"), error, "outside base64")
    yield "impossible length", (_body(b"AAAAA"), error, "impossible")
    yield (
        "body not canonical",
        (
            _lines(VERSION, ARGUMENTS, _not_canonical(BODY), MAC),
            error,
            "body line is not canonical",
        ),
    )
    yield (
        "longer than the limit",
        (
            VERSION + b"\n-> " + b"A" * age.MAX_HEADER_SIZE + b"\n" + PAYLOAD,
            error,
            "longer than 1048576",
        ),
    )


def _mac_faults() -> Iterator[tuple[str, Fault]]:
    error = age.HeaderError

    def closed_by(line: bytes) -> bytes:
        return _lines(VERSION, ARGUMENTS, BODY, line)

    yield "MAC missing", (closed_by(b"---"), error, "MAC is missing")
    yield "MAC empty", (closed_by(b"--- "), error, "not 32 bytes")
    yield "MAC without space", (closed_by(MAC.replace(b" ", b"")), error, "does not begin")
    yield "MAC after two spaces", (closed_by(MAC.replace(b" ", b"  ")), error, "outside base64")
    yield "MAC before a space", (closed_by(MAC + b" "), error, "outside base64")
    yield "MAC too short", (closed_by(MAC[:-3]), error, "not 32 bytes")
    yield "MAC too long", (closed_by(MAC + b"AAAA"), error, "impossible|not 32|canonical")
    yield "MAC padded", (closed_by(MAC + b"="), error, "padding")
    yield "MAC not canonical", (closed_by(_not_canonical(MAC)), error, "not canonical")
    wrong = b"--- " + encode_base64(bytes(32)).encode()
    yield "MAC of nothing", (closed_by(wrong), age.HeaderMacError, "altered")
    yield (
        "a stanza added",
        (
            _lines(VERSION, b"-> grease", b"", ARGUMENTS, BODY, MAC),
            age.HeaderMacError,
            "altered",
        ),
    )
    both = header(X, GREASE).split(b"\n")
    yield (
        "a stanza removed",
        (
            _lines(*both[:3], both[-2]),
            age.HeaderMacError,
            "altered",
        ),
    )


def _stanza_faults() -> Iterator[tuple[str, Fault]]:
    error = age.HeaderError
    scrypt = age.Stanza("scrypt", ("ajMFur+EJLGaohv/dLRGnw", "18"), bytes(32))
    yield "scrypt beside X25519", (header(X, scrypt) + PAYLOAD, error, "scrypt")
    yield "scrypt twice", (header(scrypt, scrypt) + PAYLOAD, error, "scrypt")
    yield "scrypt beside grease", (header(scrypt, GREASE) + PAYLOAD, error, "scrypt")
    for good in (X, PQ):
        kind, (share,), body = good.type, good.arguments, good.body
        size = {X: 32, PQ: 1120}[good]

        def with_share(data: bytes, kind: str = kind, body: bytes = body) -> bytes:
            return header(age.Stanza(kind, (encode_base64(data),), body)) + PAYLOAD

        yield (
            f"{kind} without share",
            (
                header(age.Stanza(kind, (), body)) + PAYLOAD,
                error,
                "exactly one argument",
            ),
        )
        yield (
            f"{kind} with two shares",
            (
                header(age.Stanza(kind, (share, share), body)) + PAYLOAD,
                error,
                "exactly one argument",
            ),
        )
        raw = bytes(range(1, 33)) * (size // 32)
        yield f"{kind} share too short", (with_share(raw[:-1]), error, f"not {size} bytes")
        yield f"{kind} share too long", (with_share(raw + b"x"), error, f"not {size} bytes")
        yield (
            f"{kind} share not canonical",
            (
                header(age.Stanza(kind, (_not_canonical(share.encode()).decode(),), body))
                + PAYLOAD,
                error,
                "share .* not canonical",
            ),
        )
        yield (
            f"{kind} share not base64",
            (
                header(age.Stanza(kind, ("*" + share[1:],), body)) + PAYLOAD,
                error,
                "share .* outside base64",
            ),
        )
        for change, altered in (("short", body[:-1]), ("long", body + b"x"), ("empty", b"")):
            yield (
                f"{kind} body {change}",
                (
                    header(age.Stanza(kind, (share,), altered)) + PAYLOAD,
                    error,
                    "body .* not 32 bytes",
                ),
            )
        for name, point in LOW_ORDER_POINTS.items():
            yield (
                f"{kind} share of low order: {name}",
                (
                    with_share(raw[: size - 32] + point),
                    error,
                    "low-order",
                ),
            )
        flipped = bytes([body[0] ^ 1]) + body[1:]
        yield (
            f"{kind} body altered",
            (
                header(age.Stanza(kind, (share,), flipped)) + PAYLOAD,
                age.NoMatchingIdentity,
                "no identity",
            ),
        )
        yield (
            f"{kind} in another case",
            (
                header(age.Stanza(kind.swapcase(), (share,), body)) + PAYLOAD,
                age.NoMatchingIdentity,
                "no identity",
            ),
        )


def _payload_faults() -> Iterator[tuple[str, Fault]]:
    error = age.PayloadError
    first, last = CHUNKS

    def sealed(index: int, plain: bytes, *, last: bool) -> bytes:
        # Goes around the sealer, which would refuse to make these.
        sealer = age.PayloadSealer(FILE_KEY, NONCE)
        nonce = index.to_bytes(11, "big") + bytes([last])
        return sealer._cipher.encrypt(nonce, plain, None)

    def with_payload(*parts: bytes) -> bytes:
        return b"".join((GOOD, *parts))

    flipped = bytes([first[0] ^ 1]) + first[1:]
    full = bytes(age.CHUNK_SIZE)
    yield "no nonce", (with_payload(), error, "nonce")
    yield "nonce cut", (with_payload(NONCE[:-1]), error, "nonce")
    yield "no chunk", (with_payload(NONCE), error, "cut short in chunk 0")
    yield "tag cut", (with_payload(NONCE, sealed(0, b"", last=True)[:-1]), error, "cut short")
    yield "another nonce", (with_payload(bytes(16), first, last), error, "chunk 0 is not auth")
    yield "first chunk altered", (with_payload(NONCE, flipped, last), error, "chunk 0 is not auth")
    yield "last chunk altered", (with_payload(NONCE, first, last[:-1] + b"x"), error, "chunk 1")
    yield "cut after a whole chunk", (with_payload(NONCE, first), error, "cut short in chunk 1")
    yield "cut within the last chunk", (with_payload(NONCE, first, last[:-1]), error, "chunk 1")
    yield "first chunk missing", (with_payload(NONCE, last), error, "chunk 0 is not authentic")
    yield "chunks exchanged", (with_payload(NONCE, last, first), error, "chunk 0 is not auth")
    yield "first chunk twice", (with_payload(NONCE, first, first, last), error, "chunk 1 is not")
    yield "last chunk twice", (with_payload(NONCE, first, last, last), error, "chunk 1 is not")
    yield "one byte appended", (with_payload(ONE_CHUNK, b"x"), error, "chunk 0 is not authentic")
    yield (
        "byte after a full last chunk",
        (
            with_payload(NONCE, sealed(0, full, last=True), b"x"),
            error,
            "after the last",
        ),
    )
    yield (
        "chunk after the last",
        (
            with_payload(NONCE, sealed(0, full, last=True), sealed(1, b"more", last=True)),
            error,
            "after the last",
        ),
    )
    yield (
        "empty last chunk",
        (
            with_payload(NONCE, first, sealed(1, b"", last=True)),
            error,
            "last chunk is empty",
        ),
    )
    yield (
        "no chunk marked last",
        (
            with_payload(NONCE, first, sealed(1, b"tail", last=False)),
            error,
            "cut short after chunk 1",
        ),
    )
    yield (
        "short chunk before the last",
        (
            with_payload(NONCE, sealed(0, b"short", last=False), sealed(1, b"tail", last=True)),
            error,
            "chunk 0 is not authentic",
        ),
    )
    yield (
        "chunks counted from one",
        (
            with_payload(NONCE, sealed(1, full, last=False), sealed(2, b"tail", last=True)),
            error,
            "chunk 0 is not authentic",
        ),
    )


FAULTS: dict[str, Fault] = {
    name: fault
    for family in (_text_faults, _mac_faults, _stanza_faults, _payload_faults)
    for name, fault in family()
}
