"""Faults of nonce, chunks and ends behind a good header: name -> Fault."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callguard.recording import age
from tests.recording.faults import CHUNKS, GOOD, GOOD_TEXT, Fault, close, flipped
from tests.recording.sealing import FILE_KEY, NONCE, seal_chunks, seal_raw

FULL = b"\x55" * age.CHUNK_SIZE
_FIRST, _LAST = CHUNKS


def payload_key(
    file_key: bytes = FILE_KEY, salt: bytes | None = NONCE, info: bytes = b"payload"
) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(file_key)


_KEY = payload_key()


def sealed(
    index: int,
    plain: bytes,
    mark: int,
    *,
    order: str = "big",
    key: bytes = _KEY,
    data: bytes | None = None,
) -> bytes:
    """A chunk that the sealer would refuse to make."""
    counter = index.to_bytes(11, "little" if order == "little" else "big")
    return seal_raw(key, counter + bytes([mark]), plain, data)


def _of(*chunks: bytes, nonce: bytes = NONCE) -> bytes:
    return close(GOOD_TEXT, nonce + b"".join(chunks))


def _faults() -> Iterator[tuple[str, Fault]]:
    def fault(
        data: bytes,
        reason: str,
        *,
        good: bytes = GOOD,
        error: type[age.AgeError] = age.PayloadError,
    ) -> Fault:
        return Fault(good, data, error, reason)

    first, last = _FIRST, _LAST
    # Nonce.
    yield "no nonce", fault(_of(nonce=b""), "nonce", error=age.NonceError)
    yield "nonce of 15 bytes alone", fault(_of(nonce=NONCE[:15]), "nonce", error=age.NonceError)
    yield "another nonce", fault(_of(first, last, nonce=bytes(16)), "chunk 0 is not auth")
    yield "one bit of the nonce", fault(_of(first, last, nonce=flipped(NONCE)), "chunk 0 is not")
    yield "nonce a byte short", fault(_of(first, last, nonce=NONCE[1:]), "chunk 0 is not auth")
    yield "nonce a byte long", fault(_of(first, last, nonce=NONCE + b"\0"), "chunk 0 is not")
    # Bytes altered.
    yield "first byte altered", fault(_of(flipped(first), last), "chunk 0 is not authentic")
    yield "middle byte altered", fault(_of(flipped(first, 30_000), last), "chunk 0 is not auth")
    yield "first tag altered", fault(_of(flipped(first, -1), last), "chunk 0 is not authentic")
    yield "last chunk altered", fault(_of(first, flipped(last)), "chunk 1 is not authentic")
    yield "last tag altered", fault(_of(first, flipped(last, -1)), "chunk 1 is not authentic")
    yield "a byte inserted", fault(_of(first[:9], b"x", first[9:], last), "chunk 0 is not auth")
    yield "a byte missing", fault(_of(first[:9], first[10:], last), "chunk 0 is not authentic")
    hole = first[:4096] + bytes(4096) + first[8192:]
    yield "a hole in the first chunk", fault(_of(hole, last), "chunk 0 is not authentic")
    # Ends.
    short = _of(*seal_chunks(b"short"))
    empty = _of(*seal_chunks(b""))
    full = _of(*seal_chunks(FULL))
    two_full = seal_chunks(FULL * 2)
    yield "no chunk", fault(_of(), "cut short in chunk 0", good=empty)
    yield "tag of nothing cut", fault(empty[:-1], "cut short in chunk 0", good=empty)
    yield "one byte of a tag", fault(_of(b"\x11"), "cut short in chunk 0", good=empty)
    yield "cut after a whole chunk", fault(_of(first), "cut short in chunk 1")
    yield "cut within the last chunk", fault(_of(first, last[:-1]), "chunk 1 is not authentic")
    yield "cut within the last tag", fault(_of(first, last[:15]), "cut short in chunk 1")
    yield "cut within the first chunk", fault(_of(first[:-1]), "chunk 0 is not authentic")
    yield "cut of a full last chunk", fault(full[:-1], "chunk 0 is not auth", good=full)
    good = _of(*two_full)
    yield "second full chunk missing", fault(_of(two_full[0]), "cut short", good=good)
    yield "byte after a short chunk", fault(short + b"x", "chunk 0 is not auth", good=short)
    yield "line feed after the file", fault(GOOD + b"\n", "chunk 1 is not authentic")
    yield "byte after an empty payload", fault(empty + b"x", "chunk 0 is not auth", good=empty)
    yield "byte after a full last chunk", fault(full + b"x", "after the last", good=full)
    yield "byte after two full chunks", fault(good + b"x", "after the last", good=good)
    more = full + sealed(1, b"more", 1)
    yield "chunk after the last", fault(more, "after the last", good=full)
    again = full + sealed(1, FULL, 1)
    yield "full chunk after the last", fault(again, "after the last", good=full)
    yield "empty chunk after the last", fault(full + sealed(1, b"", 1), "after", good=full)
    yield "zeros after the last", fault(full + bytes(70_000), "after the last", good=full)
    yield "two files in one", fault(GOOD + GOOD, "chunk 1 is not authentic")
    yield "last chunk twice", fault(_of(first, last, last), "chunk 1 is not authentic")
    # The last-chunk mark.
    yield "empty last chunk", fault(_of(first, sealed(1, b"", 1)), "last chunk is empty")
    two_and_none = _of(*seal_chunks(FULL * 3)[:2], sealed(2, b"", 1))
    yield "empty third chunk", fault(two_and_none, "last chunk is empty", good=good)
    yield "no last mark", fault(_of(first, sealed(1, b"tail", 0)), "cut short after chunk 1")
    yield "no last mark, empty", fault(_of(sealed(0, b"", 0)), "cut short after", good=empty)
    yield "last mark of 2", fault(_of(first, sealed(1, b"tail", 2)), "chunk 1 is not authentic")
    early = _of(sealed(0, FULL, 1), sealed(1, b"tail", 1))
    yield "last mark too early", fault(early, "after the last")
    # Order.
    three = seal_chunks(FULL + bytes(age.CHUNK_SIZE) + b"tail")
    good = _of(*three)
    swapped = _of(three[1], three[0], three[2])
    yield "full chunks exchanged", fault(swapped, "chunk 0 is not authentic", good=good)
    yield "chunks exchanged", fault(_of(last, first), "chunk 0 is not authentic")
    yield "first chunk missing", fault(_of(last), "chunk 0 is not authentic")
    dropped = _of(three[0], three[2])
    yield "middle chunk missing", fault(dropped, "chunk 1 is not authentic", good=good)
    yield "first chunk twice", fault(_of(first, first, last), "chunk 1 is not authentic")
    from_one = _of(sealed(1, FULL, 0), sealed(2, b"tail", 1))
    yield "counted from one", fault(from_one, "chunk 0 is not authentic")
    little = _of(first, sealed(1, b"tail", 1, order="little"))
    yield "counter in little endian", fault(little, "chunk 1 is not authentic")
    yield "counter stands still", fault(_of(first, sealed(0, b"tail", 1)), "chunk 1 is not")
    short_first = _of(sealed(0, b"short", 0), sealed(1, b"tail", 1))
    yield "short chunk before the last", fault(short_first, "chunk 0 is not authentic")
    long_first = _of(sealed(0, FULL + b"x", 0), sealed(1, b"tail", 1))
    yield "long chunk before the last", fault(long_first, "chunk 0 is not authentic")
    yield "long last chunk", fault(_of(sealed(0, FULL + b"x", 1)), "chunk 0 is not authentic")
    # Keys.
    for name, key in (
        ("another file key", payload_key(bytes(16))),
        ("no salt", payload_key(salt=None)),
        ("info of the header", payload_key(info=b"header")),
        ("the file key twice over", FILE_KEY * 2),
    ):
        data = _of(sealed(0, b"x", 1, key=key))
        yield f"payload under {name}", fault(data, "chunk 0 is not authentic", good=short)
    data = _of(sealed(0, b"short", 1, data=b"x"))
    yield "chunk with associated data", fault(data, "chunk 0 is not authentic", good=short)
    foreign = seal_chunks(FULL * 2, nonce=bytes(16))
    spliced = _of(three[0], foreign[0], three[2])
    yield "chunk of another file", fault(spliced, "chunk 1 is not authentic", good=good)


PAYLOAD_FAULTS: dict[str, Fault] = dict(_faults())
