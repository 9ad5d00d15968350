"""Files that hold a secret."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from callguard.secret_file import LIMIT, SecretFileError, read_line, read_secret, read_table


def kept(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_what_only_its_owner_can_read_is_read(tmp_path: Path, mode: int) -> None:
    assert read_secret(kept(tmp_path / "s", b"\0\xff", mode), "key") == b"\0\xff"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o440, 0o604, 0o700])
def test_what_others_could_have_read_is_no_secret(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SecretFileError, match=rf"key .*/s has mode {mode:04o}"):
        read_secret(kept(tmp_path / "s", b"x", mode), "key")


def test_a_credential_of_systemd_may_show_group_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = kept(tmp_path / "s", b"x", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(file, "key") == b"x"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    with pytest.raises(SecretFileError):
        read_secret(file, "key")


@pytest.mark.parametrize(
    "made",
    [
        lambda _: None,
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: kept(path, bytes(LIMIT + 1)),
    ],
)
def test_what_is_no_short_file_is_one_clear_line(
    tmp_path: Path, made: Callable[[Path], object]
) -> None:
    made(tmp_path / "s")
    with pytest.raises(SecretFileError, match="key") as caught:
        read_secret(tmp_path / "s", "key")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b" \n", b"two\nlines", b"\xd7\xa9", b"a\0b"])
def test_what_is_no_line_is_refused_without_being_shown(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SecretFileError, match="does not hold one line"):
        read_line(kept(tmp_path / "s", data), "token")
    assert read_line(kept(tmp_path / "t", b" pass word \n"), "token") == "pass word"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a = 1", "needs a, a text"),
        ("", "needs a, a text"),
        ('a = ""', "needs a, a text"),
        ('a = "x"\nz = "secret"', "unknown key: 'z'"),
        ('a = "\\n"', "a has a character"),
        ('a = "x"\nb = 2', "needs b, a text"),
        ("secret =", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_without_its_values(
    tmp_path: Path, text: str, wrong: str
) -> None:
    with pytest.raises(SecretFileError, match=wrong) as caught:
        read_table(kept(tmp_path / "s", text.encode()), "credentials", ("a",), ("b",))
    assert "secret" not in str(caught.value)
    assert read_table(kept(tmp_path / "t", b'a = "x"'), "credentials", ("a",), ("b",)) == {"a": "x"}
