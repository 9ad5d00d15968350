"""What may be wrong with a stored recording is told apart."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.recording import age
from callguard.recording.playback.verifying import Finding, verify
from tests.recording.playback.stored import MemoryStore, payload_in, stored, wav
from tests.recording.sealing import FILE_KEY, X25519

LONG = wav(bytes(range(250)) * 1_500)  # six chunks, the last one short
SHORT = wav(b"\x01\x02")
OUTSIDE = "only the tenant holds the key"


def find(store: MemoryStore, row: Any, key: bytes | str = FILE_KEY) -> Finding:
    return verify(row, payload_in(store, row), key)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("plain", [LONG, SHORT, wav(bytes(age.CHUNK_SIZE * 4 - 44))])
def test_what_is_whole_is_said_to_be(plain: bytes) -> None:
    store, row = stored(plain)
    read = list[int]()
    found = verify(row, payload_in(store, row), FILE_KEY, read.append)
    assert found.whole
    assert found.line == f"whole: each of {age.chunk_count(row.sealed_bytes)} chunks opened"
    assert sum(read) == found.bytes == row.sealed_bytes


def test_without_the_key_it_is_said_what_was_not_checked() -> None:
    store, row = stored(LONG)
    found = find(store, row, OUTSIDE)
    assert (found.whole, found.chunks) == (True, 0)
    assert found.line == (f"header, size and SHA-256 are right; only these were checked: {OUTSIDE}")
    store.objects["r"] = flipped(store.objects["r"], 70_000)
    assert find(store, row, OUTSIDE).faults == (
        "the payload was changed or exchanged: its SHA-256 is another",
    )


@pytest.mark.parametrize("key", [FILE_KEY, OUTSIDE])
@pytest.mark.parametrize("plain", [LONG, SHORT])
def test_missing_cut_and_extended_are_told_apart(plain: bytes, key: bytes | str) -> None:
    store, row = stored(plain)
    whole = store.objects.pop("r")
    assert find(store, row, key).faults == ("the payload is missing",)
    for there in (0, 15, 16, 40, len(whole) - 1):
        store.objects["r"] = whole[:there]
        assert find(store, row, key).faults == (
            f"the payload is cut: {there} of {len(whole)} bytes are there",
        )
    for beyond in (1, age.SEALED_CHUNK_SIZE * 9):
        store.objects["r"] = whole + bytes(beyond)
        assert find(store, row, key).faults == (
            f"the payload was extended by {beyond} bytes beyond {len(whole)}",
        )


def test_a_payload_cut_between_two_chunks_is_cut() -> None:
    store, row = stored(LONG)
    whole = store.objects["r"]
    store.objects["r"] = whole[: 16 + 2 * age.SEALED_CHUNK_SIZE]
    found = find(store, row)
    assert found.faults == (f"the payload is cut: 131120 of {len(whole)} bytes are there",)
    assert found.chunks == 2


@pytest.mark.parametrize("other", [LONG, LONG[:-100_000], LONG + LONG])
def test_another_payload_in_its_place_is_told_as_that(other: bytes) -> None:
    store, row = stored(LONG)
    strange, _ = stored(other, file_key=bytes(16))
    store.objects["r"] = strange.objects["r"]
    (fault,) = find(store, row).faults
    assert fault.startswith(f"another payload lies in its place, of {len(strange.objects['r'])}")
    assert not find(store, row, OUTSIDE).whole


def test_one_chunk_cannot_tell_whether_it_was_changed_or_exchanged() -> None:
    store, row = stored(SHORT)
    store.objects["r"] = flipped(store.objects["r"], 20)
    (fault,) = find(store, row).faults
    assert fault == "the payload was changed or exchanged: chunk 0 is not authentic"


def test_the_chunks_that_were_changed_are_named() -> None:
    store, row = stored(LONG)
    whole = store.objects["r"]
    store.objects["r"] = flipped(whole, 16 + 2 * age.SEALED_CHUNK_SIZE)
    assert find(store, row).faults == ("the payload was changed: chunk 2 is not authentic",)
    for chunk in (0, 1, 3, 5):
        at = 16 + chunk * age.SEALED_CHUNK_SIZE
        store.objects["r"] = flipped(store.objects["r"], at)
    assert find(store, row).faults == (
        "the payload was changed: chunks 0, 1, 2 and 2 more are not authentic",
    )


@settings(max_examples=40)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_no_changed_byte_goes_unseen(place: int, change: int) -> None:
    store, row = stored(LONG)
    data = bytearray(store.objects["r"])
    data[place % len(data)] ^= change
    store.objects["r"] = bytes(data)
    assert not find(store, row).whole
    assert not find(store, row, OUTSIDE).whole


def test_a_row_that_does_not_say_what_its_payload_is_is_found() -> None:
    store, row = stored(LONG)
    row.plain_bytes -= 1
    assert "bytes of plaintext" in find(store, row).line
    store, row = stored(LONG)
    row.payload_sha256 = "0" * 64
    assert "its row says another SHA-256" in find(store, row).line
    store, row = stored(LONG)
    row.sealed_bytes = 20
    assert "which no payload has" in find(store, row).line


def test_a_header_that_is_none_is_found() -> None:
    store, row = stored(LONG)
    sound = row.header
    for header in (None, b"", b"age-encryption.org/v2\n", sound[:-1], sound + b"x"):
        row.header = header
        assert "the header is" in find(store, row, OUTSIDE).line
    row.header = age.build_header(bytes(16), [X25519.recipient])
    assert "the header is damaged" in find(store, row).line
