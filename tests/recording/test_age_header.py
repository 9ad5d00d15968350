"""Headers that are as they should be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.recording import age
from callguard.recording.age_header import encode_header
from tests.recording.sealing import FILE_KEY, HYBRID, X25519

ARGUMENT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=90)
GREASE = st.builds(
    age.Stanza,
    ARGUMENT.filter(lambda kind: kind not in ("X25519", "mlkem768x25519", "scrypt")),
    st.lists(ARGUMENT, max_size=4).map(tuple),
    st.binary(max_size=200) | st.sampled_from([bytes(48), bytes(96), bytes(47), bytes(49)]),
)


@pytest.mark.parametrize("identity", [X25519, HYBRID])
def test_a_header_gives_its_file_key_to_each_recipient(identity: age.Identity) -> None:
    kind: age.KeyKind = "pq" if identity is HYBRID else "x25519"
    second = age.generate_identity(kind)
    header = age.parse_header(age.build_header(FILE_KEY, [identity.recipient, second.recipient]))
    assert age.unwrap(header, [identity]) == FILE_KEY
    assert age.unwrap(header, [second]) == FILE_KEY
    assert age.unwrap(header, [age.generate_identity(kind), second]) == FILE_KEY


def test_a_stranger_and_nobody_at_all_do_not_open_it() -> None:
    header = age.parse_header(age.build_header(FILE_KEY, [X25519.recipient]))
    for identities in ([], [HYBRID], [age.generate_identity("x25519")]):
        with pytest.raises(age.NoMatchingIdentity):
            age.unwrap(header, identities)


def test_a_header_without_recipients_is_not_built() -> None:
    with pytest.raises(age.RecipientsError, match="at least one"):
        age.build_header(FILE_KEY, [])


def test_post_quantum_recipients_are_not_mixed_with_others() -> None:
    with pytest.raises(age.RecipientsError, match="mixed"):
        age.build_header(FILE_KEY, [HYBRID.recipient, X25519.recipient])


def test_a_header_too_long_to_be_read_again_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age, "MAX_HEADER_SIZE", 300)
    with pytest.raises(age.RecipientsError, match="longer than 300"):
        age.build_header(FILE_KEY, [X25519.recipient] * 3)


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_file_key_of_another_size_is_a_mistake_of_the_caller(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        age.build_header(bytes(size), [X25519.recipient])


@settings(max_examples=60)
@given(st.lists(GREASE, max_size=4), st.lists(GREASE, max_size=4))
def test_unknown_stanzas_are_tolerated(before: list[age.Stanza], after: list[age.Stanza]) -> None:
    stanzas = (*before, X25519.recipient.wrap(FILE_KEY), *after)
    data = encode_header(FILE_KEY, stanzas)
    header = age.parse_header(data)
    assert header.stanzas == stanzas
    assert header.size == len(data)
    assert age.unwrap(header, [X25519]) == FILE_KEY
    assert b"".join([header.authenticated, data[len(header.authenticated) :]]) == data


def test_a_lone_scrypt_stanza_parses_but_matches_nobody() -> None:
    stanza = age.Stanza("scrypt", ("ajMFur+EJLGaohv/dLRGnw", "18"), bytes(32))
    header = age.parse_header(encode_header(FILE_KEY, (stanza,)))
    with pytest.raises(age.NoMatchingIdentity):
        age.unwrap(header, [X25519, HYBRID])


def test_a_mixed_header_of_another_tool_still_opens() -> None:
    stanzas = (X25519.recipient.wrap(FILE_KEY), HYBRID.recipient.wrap(FILE_KEY))
    header = age.parse_header(encode_header(FILE_KEY, stanzas))
    assert age.unwrap(header, [HYBRID]) == age.unwrap(header, [X25519]) == FILE_KEY


@given(st.binary(max_size=300))
def test_the_payload_begins_where_the_header_ends(payload: bytes) -> None:
    data = age.build_header(FILE_KEY, [X25519.recipient])
    assert age.read_header(data + payload).size == len(data)


@pytest.mark.parametrize("size", [0, 47, 48, 49, 95, 96, 97])
def test_a_body_always_ends_with_a_short_line(size: int) -> None:
    lines = age.Stanza("grease", (), bytes(size)).encode().split(b"\n")
    assert [len(line) for line in lines[1:-2]] == [64] * (size // 48)
    assert len(lines[-2]) < 64
    assert lines[-1] == b""


def test_a_new_header_leaves_the_payload_as_it_is() -> None:
    old = age.parse_header(age.build_header(FILE_KEY, [X25519.recipient]))
    new = age.parse_header(age.build_header(age.unwrap(old, [X25519]), [HYBRID.recipient]))
    assert age.unwrap(new, [HYBRID]) == FILE_KEY
    with pytest.raises(age.NoMatchingIdentity):
        age.unwrap(new, [X25519])


def test_keys_and_nonces_are_fresh_and_of_the_right_size() -> None:
    assert len(age.new_file_key()) == age.FILE_KEY_SIZE
    assert len(age.new_nonce()) == age.NONCE_SIZE
    assert age.new_file_key() != age.new_file_key()
    assert age.new_nonce() != age.new_nonce()
