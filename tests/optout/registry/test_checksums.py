"""Files of checksums, as sha256sum writes them."""

import contextlib
import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.registry.checksums import read_sums
from callguard.optout.registry.contract import RegistryError

A, B = "a" * 64, "B" * 64


def test_what_sha256sum_writes_is_read(tmp_path: Path) -> None:
    names = ["plain.txt", "with blank", "back\\slash", "two\nlines", "מספרים.txt"]
    for name in names:
        (tmp_path / name).write_text(name)
    written = subprocess.run(
        ["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True, text=True
    ).stdout
    assert read_sums(written) == {n: hashlib.sha256(n.encode()).hexdigest() for n in names}


def test_folders_are_left_off_and_letters_are_small() -> None:
    assert read_sums(f"\ufeff{A}  x/y/a.txt\r\n\r\n{B} *b.txt") == {
        "a.txt": A,
        "b.txt": B.lower(),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no checksum"),
        (f"{A} one blank", "line 1"),
        (f"{A}  a\n{A[1:]}  b", "line 2"),
        (f"{A}  ", "line 1"),
        (f"{A}  x/a\n{B}  y/a", "line 2: there are two checksums of a"),
    ],
)
def test_what_is_no_checksum_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RegistryError, match=reason):
        read_sums(text)


@given(st.text())
def test_nothing_else_is_raised(text: str) -> None:
    with contextlib.suppress(RegistryError):
        read_sums(text)
