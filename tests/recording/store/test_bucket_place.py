"""What of the settings is refused before anything is sent."""

from pathlib import Path

import pytest

from callguard.config import S3
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.store.s3 import S3Bucket
from callguard.recording.store.s3_place import load_credentials, place_of, trust


def s3(**given: object) -> S3:
    return S3.model_validate({"bucket": "recordings", "credentials_file": "/none", **given})


@pytest.mark.parametrize(
    ("given", "endpoint", "base"),
    [
        ({"region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com", "/recordings/"),
        (
            {"region": "eu-west-1", "path_style": False},
            "https://recordings.s3.eu-west-1.amazonaws.com",
            "/",
        ),
        ({"endpoint": "https://store.example:9000/"}, "https://store.example:9000", "/recordings/"),
        (
            {"endpoint": "https://store.example", "path_style": False},
            "https://recordings.store.example",
            "/",
        ),
        ({"endpoint": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000", "/recordings/"),
        ({"endpoint": "http://[::1]:9000"}, "http://[::1]:9000", "/recordings/"),
        ({"endpoint": "http://localhost"}, "http://localhost", "/recordings/"),
    ],
)
def test_a_bucket_is_found_by_path_or_by_host(
    given: dict[str, object], endpoint: str, base: str
) -> None:
    place = place_of(s3(**given))
    assert (place.endpoint, place.base) == (endpoint, base)
    assert place.encrypted == endpoint.startswith("https")


@pytest.mark.parametrize(
    "endpoint",
    ["http://store.example", "http://10.0.0.1:9000", "http://127.0.0.1.example", "http://0.0.0.0"],
)
def test_nothing_crosses_a_network_openly(endpoint: str) -> None:
    with pytest.raises(ObjectStoreError, match="must begin with https://"):
        place_of(s3(endpoint=endpoint))


@pytest.mark.parametrize("endpoint", ["https://10.0.0.1", "https://[fd00::1]:9000"])
def test_no_bucket_is_looked_for_below_an_address(endpoint: str) -> None:
    with pytest.raises(ObjectStoreError, match="is an address: it needs path_style"):
        place_of(s3(endpoint=endpoint, path_style=False))
    assert place_of(s3(endpoint=endpoint)).endpoint == endpoint


def kept(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    file = folder / "credentials.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


GOOD = 'access_key_id = "id"\nsecret_access_key = "very secret"\n'


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_credentials_are_read_from_a_file_of_ours(tmp_path: Path, mode: int) -> None:
    found = load_credentials(kept(tmp_path, GOOD + 'session_token = "token"', mode))
    assert found.access_key_id == "id"
    assert (found.secret_access_key, found.session_token) == ("very secret", "token")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700, 0o200])
def test_credentials_that_others_could_read_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ObjectStoreError, match=f"has mode {mode:04o}; it must be 0600 or 0400"):
        load_credentials(kept(tmp_path, GOOD, mode))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs access_key_id"),
        ('access_key_id = "id"', "needs secret_access_key"),
        ('access_key_id = "id"\nsecret_access_key = ""', "needs secret_access_key"),
        ("access_key_id = 5\nsecret_access_key = 6", "needs access_key_id"),
        (GOOD + "session_token = 5", "needs session_token"),
        (GOOD + 'another = "x"', "unknown key: 'another'"),
        (GOOD + 'session_token = "very secret\\n"', "a character that no key has"),
        ('secret_access_key = "very secret', "is not TOML"),
        (b"secret_access_key = \xff", "is not TOML"),
    ],
)
def test_credentials_that_are_none_are_refused_without_being_quoted(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    with pytest.raises(ObjectStoreError, match=told) as error:
        load_credentials(kept(tmp_path, text))
    assert "very secret" not in str(error.value)
    assert str(tmp_path / "credentials.toml") in str(error.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ObjectStoreError, match=r"cannot read credentials file .*: No such file"):
        load_credentials(tmp_path / "none")
    with pytest.raises(ObjectStoreError, match=r"Is a directory|not a regular file"):
        load_credentials(tmp_path)


def test_a_certificate_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObjectStoreError, match=r"ca_file .*: No such file"):
        trust(tmp_path / "none")
    (tmp_path / "empty").write_text("nothing")
    with pytest.raises(ObjectStoreError, match=r"ca_file .*: \S"):
        trust(tmp_path / "empty")


def test_a_store_that_cannot_be_used_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(ObjectStoreError, match="must begin with https://"):
        S3Bucket(s3(endpoint="http://store.example", credentials_file=kept(tmp_path, GOOD)))
