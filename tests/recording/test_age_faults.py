"""One fault a file: each is refused, and by its own name."""

import pytest

from callguard.recording import age, payload
from tests.recording.faults import CHUNKS, FAULTS, GOOD, PAYLOAD, PLAIN
from tests.recording.sealing import HYBRID, NONCE, X25519, open_file


def test_the_file_that_the_faults_are_made_from_opens() -> None:
    assert open_file(GOOD + PAYLOAD, [X25519]) == PLAIN


def test_there_are_at_least_sixty_faults() -> None:
    assert len(FAULTS) >= 60


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_with_one_fault_is_refused_by_its_name(name: str) -> None:
    data, error, reason = FAULTS[name]
    with pytest.raises(error, match=reason) as caught:
        open_file(data, [X25519, HYBRID])
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def _open_in_pieces(data: bytes) -> None:
    header = age.read_header(data)
    file_key = age.unwrap(header, [X25519, HYBRID])
    body = data[header.size :]
    for _ in payload.open_stream(
        [body[at : at + 1021] for at in range(0, len(body), 1021)], file_key
    ):
        pass


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_however_the_file_arrives(name: str) -> None:
    data, error, reason = FAULTS[name]
    with pytest.raises(error, match=reason):
        _open_in_pieces(data)


def test_a_header_alone_has_nothing_after_it() -> None:
    assert age.parse_header(GOOD).size == len(GOOD)
    with pytest.raises(age.HeaderError, match="data after"):
        age.parse_header(GOOD + b"\n")


def test_what_was_authentic_before_a_fault_is_released_and_nothing_else() -> None:
    file_key = age.unwrap(age.parse_header(GOOD), [X25519])
    opener = age.PayloadOpener(file_key, NONCE)
    released = opener.feed(CHUNKS[0] + CHUNKS[1][:-1] + b"x")
    with pytest.raises(age.PayloadError):
        opener.finish()
    assert released == PLAIN[: age.CHUNK_SIZE]
