"""Independent readers and writers of age agree with ours: pyrage (Rust) and the `age` tool (Go)."""

import contextlib
import shutil
import subprocess
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.recording import age
from tests.recording.sealing import HYBRID, X25519, open_file, seal_file
from tests.recording.test_age_faults import FAULTS

AGE = shutil.which("age")
NEEDS_AGE = pytest.mark.skipif(AGE is None, reason="the age tool is not installed")
SIZES = [0, 1, 65_535, 65_536, 65_537, 131_072, 196_608, 200_001]


def _tool(*arguments: str, stdin: bytes) -> bytes:
    assert AGE is not None
    done = subprocess.run(
        [AGE, *arguments], input=stdin, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_pyrage_derives_the_same_public_key() -> None:
    theirs = pyrage.x25519.Identity.from_str(X25519.encode())
    assert str(theirs.to_public()) == str(X25519.recipient)
    made = pyrage.x25519.Identity.generate()
    assert str(age.parse_identity(str(made)).recipient) == str(made.to_public())


@settings(max_examples=25)
@given(st.one_of(st.integers(0, 300), st.sampled_from(SIZES)))
def test_pyrage_opens_ours(size: int) -> None:
    plain = bytes(range(256)) * (size // 256 + 1)
    identity = pyrage.x25519.Identity.from_str(X25519.encode())
    other = age.generate_identity("x25519").recipient
    for sealed in (
        seal_file(plain[:size], X25519.recipient),
        seal_file(plain[:size], other, X25519.recipient),
    ):
        assert pyrage.decrypt(sealed, [identity]) == plain[:size]


@settings(max_examples=25)
@given(st.one_of(st.integers(0, 300), st.sampled_from(SIZES)))
def test_we_open_what_pyrage_sealed(size: int) -> None:
    plain = (bytes(range(256)) * (size // 256 + 1))[:size]
    recipient = pyrage.x25519.Recipient.from_str(str(X25519.recipient))
    other = pyrage.x25519.Identity.generate().to_public()
    assert open_file(pyrage.encrypt(plain, [other, recipient]), [HYBRID, X25519]) == plain


def test_pyrage_refuses_a_payload_that_we_refuse() -> None:
    sealed = seal_file(b"x" * 70_000, X25519.recipient)
    identity = pyrage.x25519.Identity.from_str(X25519.encode())
    for damaged in (sealed[:-1], sealed[:-20], sealed + b"x", sealed[:-1] + b"\x00\x01"):
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(damaged, [identity])
        with pytest.raises(age.PayloadError):
            open_file(damaged, [X25519])


def test_pyrage_refuses_every_fault_but_for_known_differences() -> None:
    """The laboratory asks `age` and `rage` the same (tests/lab/test_age_tools.py)."""
    identity = pyrage.x25519.Identity.from_str(X25519.encode())
    opened = []
    for name, fault in FAULTS.items():
        # It reads no post-quantum stanza, and takes minutes over a header of a megabyte.
        if b"mlkem768x25519" not in fault.good and len(fault.data) < age.MAX_HEADER_SIZE:
            with contextlib.suppress(pyrage.DecryptError):
                pyrage.decrypt(fault.data, [identity])
                opened.append(name)
    assert opened == [
        "no short line before the MAC",
        "no short line before a stanza",
        "X25519 malformed after a good one",
    ]


@NEEDS_AGE
@pytest.mark.parametrize("size", SIZES)
def test_the_age_tool_opens_ours_and_we_open_its(size: int, tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text(X25519.encode() + "\n")
    plain = (bytes(range(256)) * (size // 256 + 1))[:size]
    ours = seal_file(plain, X25519.recipient, age.generate_identity("x25519").recipient)
    assert _tool("--decrypt", "--identity", str(key), stdin=ours) == plain
    theirs = _tool("--encrypt", "--recipient", str(X25519.recipient), stdin=plain)
    assert open_file(theirs, [X25519]) == plain


@NEEDS_AGE
def test_header_and_payload_kept_apart_are_an_age_file_again(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text(X25519.encode() + "\n")
    sealed = seal_file(b"kept apart", age.generate_identity("x25519").recipient, X25519.recipient)
    header = age.read_header(sealed)
    stored_header, stored_payload = sealed[: header.size], sealed[header.size :]
    file_key = age.unwrap(age.parse_header(stored_header), [X25519])
    rewritten = age.build_header(file_key, [X25519.recipient])
    opened = _tool("--decrypt", "--identity", str(key), stdin=rewritten + stored_payload)
    assert opened == b"kept apart"
