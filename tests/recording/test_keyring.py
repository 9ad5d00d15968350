"""Who wraps what, with and without a KMS."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.config import Keys, Settings, Vault
from callguard.recording.keyring import PROGRESS_KEY, make_keyring, open_keyring
from callguard.recording.keys import KeyStoreError, UnwrapError
from tests.recording.transit_server import TransitServer, serving


@pytest.fixture
def vault() -> Iterator[TransitServer]:
    with serving(TransitServer()) as server:
        yield server


@pytest.fixture
def with_vault(tmp_path: Path, vault: TransitServer) -> Settings:
    token = tmp_path / "vault.token"
    token.write_text(vault.token)
    token.chmod(0o600)
    return Settings(
        data=tmp_path, keys=Keys(vault=Vault(url=vault.url, key="callguard", token_file=token))
    )


def test_without_a_kms_one_master_key_wraps_both(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    assert make_keyring(settings) == [tmp_path / "master.key"]
    assert make_keyring(settings) == []
    ring = open_keyring(settings)
    assert ring.in_progress.unwrap(ring.identities.wrap(b"x", b"c"), b"c") == b"x"


def test_with_a_kms_no_key_that_opens_anything_lies_on_this_machine(
    tmp_path: Path, with_vault: Settings, vault: TransitServer
) -> None:
    assert make_keyring(with_vault) == [tmp_path / PROGRESS_KEY]
    assert make_keyring(with_vault) == []
    ring = open_keyring(with_vault)
    assert ring.identities.wrap(b"x", b"c").startswith(b"CGV1")
    assert not (tmp_path / "master.key").exists()
    vault.sealed = True
    with pytest.raises(KeyStoreError, match="sealed"):
        open_keyring(with_vault)


def test_recordings_begin_and_end_while_the_kms_is_down(
    with_vault: Settings, vault: TransitServer
) -> None:
    make_keyring(with_vault)
    ring = open_keyring(with_vault)
    asked = len(vault.asked)
    vault.sealed = True
    assert ring.in_progress.unwrap(ring.in_progress.wrap(b"x", b"c"), b"c") == b"x"
    assert len(vault.asked) == asked


def test_what_was_in_progress_opens_after_a_restart(with_vault: Settings) -> None:
    make_keyring(with_vault)
    wrapped = open_keyring(with_vault).in_progress.wrap(b"x", b"c")
    assert open_keyring(with_vault).in_progress.unwrap(wrapped, b"c") == b"x"


def test_whoever_moves_to_a_kms_still_opens_what_the_master_key_wrapped(
    tmp_path: Path, with_vault: Settings
) -> None:
    make_keyring(Settings(data=tmp_path))
    before = open_keyring(Settings(data=tmp_path))
    identity, file_key = before.identities.wrap(b"x", b"c"), before.in_progress.wrap(b"y", b"c")
    make_keyring(with_vault)
    ring = open_keyring(with_vault)
    assert ring.identities.unwrap(identity, b"c") == b"x"
    assert ring.in_progress.unwrap(file_key, b"c") == b"y"
    assert ring.identities.wrap(b"x", b"c").startswith(b"CGV1")


def test_whoever_leaves_a_kms_still_opens_what_it_wrapped(
    tmp_path: Path, with_vault: Settings
) -> None:
    make_keyring(with_vault)
    before = open_keyring(with_vault)
    identity, file_key = before.identities.wrap(b"x", b"c"), before.in_progress.wrap(b"y", b"c")
    vault = with_vault.keys.vault
    assert vault is not None
    keys = Keys(vault=vault.model_copy(update={"leaving": True}))
    leaving = with_vault.model_copy(update={"keys": keys})
    assert make_keyring(leaving) == [tmp_path / "master.key"]
    assert make_keyring(leaving) == []
    ring = open_keyring(leaving)
    assert ring.identities.unwrap(identity, b"c") == b"x"
    assert ring.in_progress.unwrap(file_key, b"c") == b"y"
    assert [ring.identities.made(one) for one in (identity, file_key)] == [False, False]
    alone = open_keyring(Settings(data=tmp_path))
    assert alone.identities.unwrap(ring.identities.wrap(b"x", b"c"), b"c") == b"x"
    assert alone.in_progress.unwrap(ring.in_progress.wrap(b"y", b"c"), b"c") == b"y"


def test_a_process_that_holds_keys_leaves_no_core_dump(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    make_keyring(settings)
    open_keyring(settings)
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def test_of_two_wrappers_the_present_one_says_what_is_wrong(
    tmp_path: Path, with_vault: Settings
) -> None:
    make_keyring(Settings(data=tmp_path))
    make_keyring(with_vault)
    ring = open_keyring(with_vault)
    with pytest.raises(UnwrapError, match="belongs elsewhere"):
        ring.identities.unwrap(ring.identities.wrap(b"x", b"c"), b"another row")


def test_a_progress_key_that_is_missing_says_what_is_lost_with_it(with_vault: Settings) -> None:
    with pytest.raises(KeyStoreError, match="init makes one, which opens no recording that is in"):
        open_keyring(with_vault)


@pytest.mark.parametrize("spoiled", [b"", b"CGV1", b"CGV1vault:v1:AAAA", b"x" * 5000])
def test_a_spoiled_progress_key_is_one_clear_line(
    spoiled: bytes, tmp_path: Path, with_vault: Settings
) -> None:
    make_keyring(with_vault)
    (tmp_path / PROGRESS_KEY).write_bytes(spoiled)
    with pytest.raises(KeyStoreError) as caught:
        open_keyring(with_vault)
    assert "\n" not in str(caught.value)
