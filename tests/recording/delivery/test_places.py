"""Places as they are typed: one clear line for what is wrong, and never a secret in it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from callguard.recording.delivery.places import PlaceError, read_pairs, read_place
from callguard.recording.delivery.retrying import FIRST_S, LONGEST_S, delay
from callguard.recording.delivery.secret import read_secret, read_text

AT = datetime(2026, 11, 22, tzinfo=UTC)
S3 = {"bucket": "theirs", "credentials_file": "/etc/keys.toml"}
SFTP = {
    "host": "sftp.example",
    "username": "cg",
    "key_file": "/k",
    "fingerprint": "SHA256:" + "a" * 43,
}
HTTPS = {"url": "https://x.example/in", "secret_file": "/s"}
MAIL = {"host": "mx.example", "sender": "a@b.example", "to": "c@d.example, e@f.example"}
GOOD = {"s3": S3, "sftp": SFTP, "https": HTTPS, "mail": MAIL}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_stored_is_read_again_as_it_was(kind: str) -> None:
    place = read_place("acme", "theirs", kind, GOOD[kind], keep=True, at=AT)
    again = read_place("acme", "theirs", kind, place.stored(), keep=True, at=AT)
    assert again == place


BAD: list[tuple[str, dict[str, str], str]] = [
    ("s3", {"bucket": ""}, "bucket: "),
    (
        "s3",
        {"endpoint": "http://s3.example"},
        "endpoint: without TLS recordings go to this machine",
    ),
    ("s3", {"endpoint": "ftp://s3.example"}, "endpoint: it is no address"),
    ("s3", {"prefix": "/calls/"}, "prefix: "),
    ("s3", {"prefix": "../"}, "prefix: "),
    ("s3", {"credentials_file": "keys.toml"}, "credentials_file: it is not the whole path"),
    ("s3", {"secret_access_key": "hunter2"}, "there is no setting 'secret_access_key'; known: "),
    ("s3", {"timeout": "0"}, "timeout: "),
    ("s3", {"timeout": "nan"}, "timeout: "),
    ("sftp", {"fingerprint": "MD5:00"}, "fingerprint: "),
    ("sftp", {"known_hosts_file": "/k"}, "pinned by known_hosts_file or by fingerprint"),
    ("sftp", {"host": "-oProxyCommand=hunter2"}, "host: "),
    ("sftp", {"port": "0"}, "port: "),
    ("sftp", {"folder": "a\nb"}, "folder: "),
    ("https", {"url": "http://x.example/"}, "url: without TLS recordings go to this machine only"),
    ("https", {"url": "https://u:hunter2@x.example/"}, "url: it has a password, a query"),
    ("https", {"url": "https://x.example/?token=hunter2"}, "url: it has a password, a query"),
    ("https", {"url": "https://x.example/#hunter2"}, "url: it has a password, a query"),
    ("https", {"url": "https://[::1"}, "url: it is no address"),
    ("https", {"url": "https://x.example:hunter2/"}, "url: it is no address"),
    ("https", {"url": "https:///in"}, "url: it is no address"),
    ("https", {"url": "https://x.example/a b"}, "url: it is no address"),
    ("https", {"auth": "none"}, "auth bearer and hmac need a secret_file, auth none has none"),
    ("https", {"method": "GET"}, "method: "),
    ("mail", {"tls": "none"}, "without TLS mail goes to a server on this machine only"),
    ("mail", {"to": ""}, "to"),
    ("mail", {"to": "a@b.example\nBcc: x@y.example"}, "to"),
    ("mail", {"sender": "hunter2"}, "sender: "),
    ("mail", {"username": "u"}, "username and password_file go together"),
    ("mail", {"max_bytes": "99999999999"}, "max_bytes: "),
    ("fax", {}, "'fax' is no kind of place; known: s3, sftp, https, mail"),
]


@pytest.mark.parametrize(("kind", "change", "said"), BAD)
def test_what_is_wrong_is_said_in_one_line(kind: str, change: dict[str, str], said: str) -> None:
    with pytest.raises(PlaceError) as caught:
        read_place("acme", "theirs", kind, {**GOOD.get(kind, {}), **change}, keep=True, at=AT)
    line = str(caught.value)
    assert said in line
    assert line.isprintable()
    assert "hunter2" not in line


def test_what_is_missing_is_named() -> None:
    with pytest.raises(PlaceError, match=r"^bucket is missing$"):
        read_place("acme", "theirs", "s3", {}, keep=True, at=AT)
    for name in ("", "Upper", "-x", "a" * 64, "a/b"):
        with pytest.raises(PlaceError, match="a place's name is"):
            read_place("acme", name, "s3", S3, keep=True, at=AT)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_tls(host: str) -> None:
    named = f"[{host}]" if ":" in host else host
    for values in ({"url": f"http://{named}:8080/in"}, {"url": f"http://{named}/"}):
        read_place("acme", "theirs", "https", {**HTTPS, **values}, keep=True, at=AT)


def test_pairs_are_read_and_their_values_never_told() -> None:
    assert read_pairs(["a=1", " b = x=y "]) == {"a": "1", "b": "x=y"}
    for pairs in (["hunter2"], ["=hunter2"], ["hun ter2=1"], ["a=1", "a=hunter2"]):
        with pytest.raises(PlaceError) as caught:
            read_pairs(pairs)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "said"), [(0o644, "has mode 0644"), (0o660, "has mode 0660"), (0o700, "has mode 0700")]
)
def test_a_secret_that_others_could_read_is_refused(tmp_path: Path, mode: int, said: str) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(mode)
    with pytest.raises(PlaceError, match=said):
        read_secret(file)
    for allowed in (0o600, 0o400):
        file.chmod(allowed)
        assert read_secret(file) == b"x"


def test_what_is_no_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(PlaceError, match="No such file"):
        read_secret(file)
    with pytest.raises(PlaceError, match="is not a regular file"):
        read_secret(Path("/dev/null"))
    for text in (b"", b"two\nlines", b"\xff", b"x" * 70_000):
        file.write_bytes(text)
        file.chmod(0o600)
        with pytest.raises(PlaceError):
            read_text(file)
    file.write_bytes(b" token \n")
    assert read_text(file) == "token"


def test_waits_double_up_to_an_hour_and_are_spread_over_a_quarter() -> None:
    for failures in (1, 2, 5, 11, 99, 10**9):
        whole, least = delay(failures, 0.0).total_seconds(), delay(failures, 1.0).total_seconds()
        assert FIRST_S <= whole <= LONGEST_S
        assert least == pytest.approx(whole * 0.75)
    assert delay(1, 0).total_seconds() == FIRST_S
    assert delay(10**9, 0).total_seconds() == LONGEST_S
