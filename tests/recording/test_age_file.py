"""Whole age files: opened in one go or in pieces, by the identity that fits."""

import pytest

from callguard.recording import age
from tests.recording.faults import GOOD, PAYLOAD, PLAIN, PQ, VERSION, X, close, flipped, text
from tests.recording.sealing import FILE_KEY, HYBRID, NONCE, X25519, seal_chunks, seal_file

CHUNK = age.CHUNK_SIZE
ANOTHER = age.generate_identity("x25519")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
@pytest.mark.parametrize("step", [7_001, 65_552, 1 << 20])
def test_a_file_opens_whole_and_in_pieces(size: int, step: int) -> None:
    plain = (b"abcdefg" * (size // 7 + 1))[:size]
    sealed = seal_file(plain, HYBRID.recipient)
    assert age.open_file(sealed, [X25519, HYBRID]) == plain
    opener = age.FileOpener([HYBRID])
    opened = [opener.feed(sealed[at : at + step]) for at in range(0, len(sealed), step)]
    assert b"".join(opened) + opener.finish() == plain


def test_a_file_arrives_a_byte_at_a_time() -> None:
    sealed = seal_file(b"slowly", X25519.recipient, ANOTHER.recipient)
    opener = age.FileOpener([X25519])
    assert opener.header is None
    for at in range(len(sealed)):
        assert opener.feed(sealed[at : at + 1]) == b""
    assert opener.finish() == b"slowly"
    assert opener.header == age.read_header(sealed)


def test_stanzas_of_both_kinds_beside_each_other_are_read() -> None:
    both = close(text(X, PQ))
    for identity in (X25519, HYBRID):
        assert age.open_file(both, [identity]) == PLAIN


def test_the_header_is_known_only_once_its_mac_is_right() -> None:
    head = close(text(X), b"")
    opener = age.FileOpener([X25519])
    opener.feed(head)
    assert opener.header is not None
    altered = head.replace(VERSION, VERSION + b"-> more\n\n")
    opener = age.FileOpener([X25519])
    with pytest.raises(age.HeaderMacError):
        opener.feed(altered)
    assert opener.header is None


def test_a_file_at_fault_stays_at_fault() -> None:
    for bad, error in (
        (b"RIFF" * 40, age.HeaderError),
        (close(text(X)).replace(VERSION, VERSION + b"-> more\n\n"), age.HeaderMacError),
        (close(text(PQ)), age.NoMatchingIdentity),
        (close(text(X), NONCE + flipped(PAYLOAD[16:])), age.PayloadError),
    ):
        opener = age.FileOpener([X25519])
        for _ in range(2):
            with pytest.raises(error):
                opener.feed(bad)
        with pytest.raises(error):
            opener.finish()
        assert len(opener._held) <= len(bad)  # what comes after a fault is not kept


@pytest.mark.parametrize("step", [1000, 65_552, 1 << 20])
def test_what_is_released_before_a_fault_does_not_depend_on_the_pieces(step: int) -> None:
    chunks = seal_chunks(bytes(3 * CHUNK))
    data = close(text(X), NONCE + chunks[0] + chunks[1] + flipped(chunks[2]) + b"more")
    opener = age.FileOpener([X25519])
    released = bytearray()
    fault = ""
    try:
        for at in range(0, len(data), step):
            released += opener.feed(data[at : at + step])
        opener.finish()
    except age.PayloadError as error:
        fault = str(error)
    assert fault == "chunk 2 is not authentic"
    assert len(released) == 2 * CHUNK


def test_a_whole_file_releases_nothing_unless_all_of_it_is_authentic() -> None:
    with pytest.raises(age.PayloadError):
        age.open_file(GOOD[:-1], [X25519])


def test_a_missing_nonce_is_a_fault_of_header_and_payload_alike() -> None:
    for size in (0, 15):
        with pytest.raises(age.NonceError) as caught:
            age.open_file(close(text(X), NONCE[:size]), [X25519])
        assert isinstance(caught.value, age.HeaderError)
        assert isinstance(caught.value, age.PayloadError)


def test_what_is_not_read_is_named() -> None:
    armored = b"\r\n  -----BEGIN AGE ENCRYPTED FILE-----\r\nYWdl\r\n"
    with pytest.raises(age.HeaderError, match="armored"):
        age.open_file(armored, [X25519])
    scrypt = age.Stanza("scrypt", ("ajMFur+EJLGaohv/dLRGnw", "18"), bytes(32))
    with pytest.raises(age.NoMatchingIdentity, match="passphrase"):
        age.open_file(close(text(scrypt)), [X25519])


def test_a_malformed_stanza_of_a_kind_without_identity_is_let_pass() -> None:
    """The specification: identities ignore what they do not recognise."""
    broken = age.Stanza("mlkem768x25519", ("AA",), b"")
    assert age.open_file(close(text(broken, X)), [X25519]) == PLAIN
    with pytest.raises(age.HeaderError):
        age.open_file(close(text(broken, X)), [HYBRID, X25519])


def test_no_secret_is_shown() -> None:
    opener = age.FileOpener([X25519])
    opener.feed(GOOD[:400])
    assert FILE_KEY.hex() not in repr(opener)
    assert repr(FILE_KEY) not in repr(opener)
