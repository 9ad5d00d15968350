"""Recipients and identities: parsing, wrapping, and what never shows."""

import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from callguard.recording import age, bech32
from tests.recording.sealing import FILE_KEY, HYBRID, X25519

KINDS: list[age.KeyKind] = ["pq", "x25519"]
LOW_ORDER = bytes(32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_identity_survives_its_text_form(kind: age.KeyKind) -> None:
    identity = age.generate_identity(kind)
    again = age.parse_identity(identity.encode())
    assert again.secret == identity.secret
    assert again.recipient == identity.recipient
    assert age.parse_recipient(str(identity.recipient)) == identity.recipient


def test_post_quantum_is_the_default_kind() -> None:
    identity = age.generate_identity()
    assert identity.encode().startswith("AGE-SECRET-KEY-PQ-1")
    assert str(identity.recipient).startswith("age1pq1")


def test_two_identities_are_never_the_same() -> None:
    assert age.generate_identity("x25519").secret != age.generate_identity("x25519").secret


@pytest.mark.parametrize("identity", [X25519, HYBRID])
def test_a_private_key_shows_in_no_text_form(identity: age.Identity) -> None:
    for text in (repr(identity), str(identity), f"{identity}"):
        assert identity.encode() not in text
        assert identity.encode().lower() not in text.lower()
        assert repr(identity.secret) not in text


@pytest.mark.parametrize("identity", [X25519, HYBRID])
def test_a_stanza_opens_for_its_identity_and_for_no_other(identity: age.Identity) -> None:
    stanza = identity.recipient.wrap(FILE_KEY)
    assert identity.unwrap(stanza) == FILE_KEY
    kind: age.KeyKind = "pq" if identity is HYBRID else "x25519"
    assert age.generate_identity(kind).unwrap(stanza) is None
    other = X25519 if identity is HYBRID else HYBRID
    assert other.unwrap(stanza) is None


@pytest.mark.parametrize("identity", [X25519, HYBRID])
def test_each_wrapping_is_fresh(identity: age.Identity) -> None:
    first, second = identity.recipient.wrap(FILE_KEY), identity.recipient.wrap(FILE_KEY)
    assert first.arguments != second.arguments
    assert first.body != second.body


def _point(seed: int) -> bytes:
    return X25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key().public_bytes_raw()


BAD_RECIPIENTS = {
    "not Bech32": ("age1notakey", "not Bech32"),
    "wrong checksum": (str(X25519.recipient)[:-1] + "q", "checksum"),
    "upper case": (str(X25519.recipient).upper(), "unknown kind"),
    "an identity": (X25519.encode(), "unknown kind"),
    "another prefix": (bech32.encode("ag", _point(1)), "unknown kind"),
    "X25519 too short": (bech32.encode("age", _point(1)[:31]), "32 bytes"),
    "X25519 too long": (bech32.encode("age", _point(1) + b"x"), "32 bytes"),
    "X25519 empty": (bech32.encode("age", b""), "32 bytes"),
    "X25519 of low order": (bech32.encode("age", LOW_ORDER), "low-order"),
    "hybrid too short": (bech32.encode("age1pq", HYBRID.recipient.public[:-1]), "1216 bytes"),
    "hybrid with an X25519 key": (bech32.encode("age1pq", _point(1)), "1216 bytes"),
    "hybrid of low order": (
        bech32.encode("age1pq", HYBRID.recipient.public[:1184] + LOW_ORDER),
        "low-order",
    ),
    "hybrid beyond the modulus": (
        bech32.encode("age1pq", b"\xff" * 1184 + _point(1)),
        "ML-KEM-768",
    ),
}


@pytest.mark.parametrize("fault", BAD_RECIPIENTS)
def test_a_malformed_recipient_is_refused(fault: str) -> None:
    text, reason = BAD_RECIPIENTS[fault]
    with pytest.raises(age.KeyFormatError, match=reason):
        age.parse_recipient(text)


BAD_IDENTITIES = {
    "not Bech32": ("AGE-SECRET-KEY-1NOTAKEY", "not Bech32"),
    "lower case": (X25519.encode().lower(), "unknown kind"),
    "a recipient": (str(X25519.recipient), "unknown kind"),
    "trailing space": (X25519.encode() + " ", "not Bech32"),
    "line end": (X25519.encode() + "\n", "not Bech32"),
    "X25519 too short": (bech32.encode("AGE-SECRET-KEY-", bytes(31)), "32 bytes"),
    "hybrid too long": (bech32.encode("AGE-SECRET-KEY-PQ-", bytes(33)), "32 bytes"),
    "a plug-in's": (bech32.encode("AGE-PLUGIN-YUBIKEY-", bytes(32)), "unknown kind"),
}


@pytest.mark.parametrize("fault", BAD_IDENTITIES)
def test_a_malformed_identity_is_refused_and_not_repeated(fault: str) -> None:
    text, reason = BAD_IDENTITIES[fault]
    with pytest.raises(age.KeyFormatError, match=reason) as caught:
        age.parse_identity(text)
    assert text[16:].strip() not in str(caught.value)


def test_an_identity_does_not_leave_by_pickling() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(X25519)
