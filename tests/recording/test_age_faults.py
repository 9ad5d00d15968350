"""One fault a file or key: each is refused, and by its own name."""

import pytest

from callguard.recording import age
from callguard.recording.age_header import encode_base64, header_mac
from tests.recording.faults import CHUNKS, GOOD, PAYLOAD, PLAIN
from tests.recording.faults_header import HEADER_FAULTS
from tests.recording.faults_key import KEY_FAULTS
from tests.recording.faults_payload import PAYLOAD_FAULTS
from tests.recording.faults_stanza import STANZA_FAULTS
from tests.recording.sealing import FILE_KEY, HYBRID, NONCE, X25519

FAULTS = HEADER_FAULTS | STANZA_FAULTS | PAYLOAD_FAULTS
IDENTITIES: list[age.Identity] = [X25519, HYBRID]


def _parse_key(text: str, *, secret: bool) -> age.Identity | age.Recipient:
    return age.parse_identity(text) if secret else age.parse_recipient(text)


def _open_in_pieces(data: bytes, step: int) -> bytes:
    opener = age.FileOpener(IDENTITIES)
    pieces = [opener.feed(data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join(pieces) + opener.finish()


def test_no_two_faults_share_a_name_or_a_file() -> None:
    assert len(FAULTS) == len(HEADER_FAULTS) + len(STANZA_FAULTS) + len(PAYLOAD_FAULTS)
    assert len({fault.data for fault in FAULTS.values()}) == len(FAULTS)
    assert len(FAULTS) >= 200
    assert len(KEY_FAULTS) >= 80


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_with_one_fault_is_refused_by_its_name(name: str) -> None:
    fault = FAULTS[name]
    with pytest.raises(fault.error, match=fault.reason) as caught:
        age.open_file(fault.data, IDENTITIES)
    assert type(caught.value) is fault.error
    assert "\n" not in str(caught.value)


def test_every_file_opens_once_its_fault_is_undone() -> None:
    for good in {fault.good for fault in FAULTS.values()}:
        age.open_file(good, IDENTITIES)
    assert age.open_file(GOOD, IDENTITIES) == PLAIN


@pytest.mark.parametrize("faults", [HEADER_FAULTS, STANZA_FAULTS], ids=["header", "stanza"])
def test_a_fault_before_the_mac_is_the_only_one(faults: dict[str, object]) -> None:
    signed = 0
    for name in faults:
        fault = FAULTS[name]
        if name.startswith(("cut", "empty file")) or fault.error is age.HeaderMacError:
            continue
        if "MAC" in name.split():
            continue
        assert fault.data.endswith(PAYLOAD), name
        text, mark, mac = fault.data.removesuffix(PAYLOAD).rpartition(b"---")
        right = encode_base64(header_mac(FILE_KEY, text + mark)).encode()
        assert mac == b" " + right + b"\n", name
        signed += 1
    assert signed > 50


@pytest.mark.parametrize("step", [1021, 65_552])
def test_a_fault_is_the_same_however_the_file_arrives(step: int) -> None:
    for fault in FAULTS.values():
        with pytest.raises(fault.error, match=fault.reason):
            _open_in_pieces(fault.data, step)


@pytest.mark.parametrize("name", KEY_FAULTS)
def test_a_key_with_one_fault_is_refused_by_its_name(name: str) -> None:
    good, bad, reason = KEY_FAULTS[name]
    secret = "identity" in name
    _parse_key(good, secret=secret)
    with pytest.raises(age.KeyFormatError, match=reason) as caught:
        _parse_key(bad, secret=secret)
    assert "\n" not in str(caught.value)
    assert good[-20:] not in str(caught.value)


def test_a_header_alone_has_nothing_after_it() -> None:
    alone = GOOD.removesuffix(PAYLOAD)
    assert age.parse_header(alone).size == len(alone)
    with pytest.raises(age.HeaderError, match="data after"):
        age.parse_header(alone + b"\n")


def test_what_was_authentic_before_a_fault_is_released_and_nothing_else() -> None:
    opener = age.PayloadOpener(FILE_KEY, NONCE)
    released = opener.feed(CHUNKS[0] + CHUNKS[1][:-1] + b"x")
    with pytest.raises(age.PayloadError):
        opener.finish()
    assert released == PLAIN[: age.CHUNK_SIZE]
