"""The master key and what it wraps."""

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.recording import age, keys
from callguard.recording.keys import KeyWrapper, MasterKey, MasterKeyError, UnwrapError

MASTER = MasterKey(bytes(range(32)))
CONTEXT = b"what it is and whose"


def _write(path: Path, data: bytes, mode: int) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_created_key_is_read_again_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    before = os.umask(0)
    try:
        created = MasterKey.create(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.stat().st_size == keys.MASTER_KEY_SIZE
    assert MasterKey.load(path).unwrap(created.wrap(b"x", CONTEXT), CONTEXT) == b"x"


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    path = _write(tmp_path / "master.key", b"k" * 32, 0o600)
    with pytest.raises(MasterKeyError, match="already exists"):
        MasterKey.create(path)
    assert path.read_bytes() == b"k" * 32


def test_a_key_that_cannot_be_written_leaves_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MasterKeyError, match="No such file"):
        MasterKey.create(tmp_path / "nowhere" / "master.key")

    def full(_descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MasterKeyError, match="No space left"):
        MasterKey.create(tmp_path / "master.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700, 0o4600, 0o440])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = _write(tmp_path / "master.key", b"k" * 32, mode)
    with pytest.raises(MasterKeyError, match=f"mode {mode:04o}; it must be 0600 or 0400"):
        MasterKey.load(path)


def test_a_read_only_key_is_accepted(tmp_path: Path) -> None:
    assert MasterKey.load(_write(tmp_path / "master.key", b"k" * 32, 0o400))


def test_a_systemd_credential_may_show_group_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "master.key", b"k" * 32, 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert MasterKey.load(path)
    path.chmod(0o444)
    with pytest.raises(MasterKeyError, match="0444"):
        MasterKey.load(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "elsewhere"))
    path.chmod(0o440)
    with pytest.raises(MasterKeyError, match="0440"):
        MasterKey.load(path)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_key_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    path = _write(tmp_path / "master.key", b"k" * size, 0o600)
    with pytest.raises(MasterKeyError, match="exactly 32 bytes"):
        MasterKey.load(path)
    with pytest.raises(MasterKeyError, match="32 bytes"):
        MasterKey(b"k" * size)


def test_what_is_no_file_of_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MasterKeyError, match="No such file"):
        MasterKey.load(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MasterKeyError, match="not a regular file"):
        MasterKey.load(tmp_path / "pipe")
    path = _write(tmp_path / "master.key", b"k" * 32, 0o600)
    status = os.stat_result((0o100600, 0, 0, 1, 4242, 0, 32, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _descriptor: status)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MasterKeyError, match="another user"):
        MasterKey.load(path)


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=80))
def test_what_is_wrapped_opens_in_its_context(plaintext: bytes, context: bytes) -> None:
    wrapped = MASTER.wrap(plaintext, context)
    assert MASTER.unwrap(wrapped, context) == plaintext
    assert wrapped != MASTER.wrap(plaintext, context)
    assert wrapped.startswith(b"CGW1" + bytes.fromhex(MASTER.id))
    with pytest.raises(UnwrapError, match="belongs elsewhere"):
        MASTER.unwrap(wrapped, context + b"x")


@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    wrapped = bytearray(MASTER.wrap(b"sixteen byte key", CONTEXT))
    at = data.draw(st.integers(0, len(wrapped) - 1))
    wrapped[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnwrapError):
        MASTER.unwrap(bytes(wrapped), CONTEXT)


@given(st.binary(max_size=80))
def test_any_bytes_are_refused(wrapped: bytes) -> None:
    for data in (wrapped, b"CGW1" + wrapped, b"CGW1" + bytes.fromhex(MASTER.id) + wrapped):
        with pytest.raises(UnwrapError):
            MASTER.unwrap(data, CONTEXT)


def test_another_master_key_is_told_from_damage() -> None:
    other = MasterKey(bytes(32))
    with pytest.raises(UnwrapError, match=f"wrapped by master key {MASTER.id}, this one is"):
        other.unwrap(MASTER.wrap(b"x", CONTEXT), CONTEXT)
    with pytest.raises(UnwrapError, match="cut short"):
        MASTER.unwrap(MASTER.wrap(b"", CONTEXT)[:-1], CONTEXT)


def test_a_key_is_not_wrapped_without_a_context() -> None:
    with pytest.raises(ValueError, match="context"):
        MASTER.wrap(b"x", b"")


def test_a_master_key_shows_nowhere() -> None:
    for text in (repr(MASTER), str(MASTER), f"{MASTER}", MASTER.id):
        assert bytes(range(32)).hex()[:16] not in text
        assert repr(bytes(range(8)))[2:-1] not in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(MASTER)


@pytest.mark.parametrize(("kind", "prefix"), [("pq", "age1pq1"), ("x25519", "age1")])
def test_a_tenant_identity_opens_what_is_sealed_for_it(kind: age.KeyKind, prefix: str) -> None:
    wrapper: KeyWrapper = MASTER
    made = keys.generate_tenant_identity(wrapper, "acme", 3, kind)
    assert made.recipient.startswith(prefix)
    identity = keys.open_tenant_identity(wrapper, made.wrapped, "acme", 3)
    assert str(identity.recipient) == made.recipient
    assert identity.encode().encode() not in made.wrapped
    assert repr(made.wrapped) not in repr(made)
    for tenant, version in (("acme", 2), ("other", 3)):
        with pytest.raises(UnwrapError):
            keys.open_tenant_identity(wrapper, made.wrapped, tenant, version)


def test_post_quantum_is_the_default_for_tenants() -> None:
    made = keys.generate_tenant_identity(MASTER, "acme", 1)
    assert made.recipient.startswith("age1pq1")


@pytest.mark.parametrize("text", [b"not an identity", b"\xff\xfe"])
def test_what_is_no_identity_is_not_opened_as_one(text: bytes) -> None:
    wrapped = MASTER.wrap(text, keys.identity_context("acme", 1))
    with pytest.raises(UnwrapError, match="not an age identity"):
        keys.open_tenant_identity(MASTER, wrapped, "acme", 1)


def test_a_file_key_is_wrapped_for_its_recording_alone() -> None:
    file_key = age.new_file_key()
    wrapped = keys.wrap_file_key(MASTER, file_key, "rec-1")
    assert keys.unwrap_file_key(MASTER, wrapped, "rec-1") == file_key
    with pytest.raises(UnwrapError):
        keys.unwrap_file_key(MASTER, wrapped, "rec-2")
    short = MASTER.wrap(b"short", keys.file_key_context("rec-1"))
    with pytest.raises(UnwrapError, match="not a file key"):
        keys.unwrap_file_key(MASTER, short, "rec-1")


@given(st.text(max_size=20), st.integers(0, 9), st.text(max_size=20), st.integers(0, 9))
def test_no_two_things_share_a_context(one: str, first: int, other: str, second: int) -> None:
    if (one, first) != (other, second):
        assert keys.identity_context(one, first) != keys.identity_context(other, second)
    assert keys.identity_context(one, first) != keys.file_key_context(other)
