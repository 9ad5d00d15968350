"""Keys wrapped by the transit engine of a Vault."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.config import Vault
from callguard.recording import age
from callguard.recording.keys import (
    KeyStoreError,
    KeyWrapper,
    UnwrapError,
    generate_tenant_identity,
    open_tenant_identity,
)
from callguard.recording.transit import TransitWrapper
from tests import certificates
from tests.recording.transit_server import TransitServer, serving

CONTEXT = b"what it is and whose"


@pytest.fixture
def vault() -> Iterator[TransitServer]:
    with serving(TransitServer()) as server:
        yield server


@pytest.fixture
def token(tmp_path: Path, vault: TransitServer) -> Path:
    file = tmp_path / "vault.token"
    file.write_text(f"{vault.token}\n")
    file.chmod(0o600)
    return file


def wrapper(vault: TransitServer, token: Path, **more: object) -> TransitWrapper:
    given = {"url": vault.url, "key": "callguard", "token_file": token, **more}
    return TransitWrapper(Vault.model_validate(given))


def test_what_was_wrapped_opens_again_in_its_context(vault: TransitServer, token: Path) -> None:
    transit: KeyWrapper = wrapper(vault, token)
    wrapped = transit.wrap(b"a secret", CONTEXT)
    assert b"a secret" not in wrapped
    assert wrapped.startswith(b"CGV1vault:v1:")
    assert transit.unwrap(wrapped, CONTEXT) == b"a secret"
    assert vault.asked == ["/v1/transit/encrypt/callguard", "/v1/transit/decrypt/callguard"]


def test_a_wrapped_key_that_was_moved_does_not_open(vault: TransitServer, token: Path) -> None:
    transit = wrapper(vault, token)
    with pytest.raises(UnwrapError, match="belongs elsewhere"):
        transit.unwrap(transit.wrap(b"a secret", CONTEXT), b"another row")


def test_the_vault_may_rotate_its_key(vault: TransitServer, token: Path) -> None:
    transit = wrapper(vault, token)
    before = transit.wrap(b"a secret", CONTEXT)
    vault.rotate("callguard")
    assert transit.unwrap(before, CONTEXT) == b"a secret"
    assert transit.wrap(b"a secret", CONTEXT).startswith(b"CGV1vault:v2:")


def test_a_tenants_identity_lives_in_the_vault(vault: TransitServer, token: Path) -> None:
    transit = wrapper(vault, token)
    made = generate_tenant_identity(transit, "acme", 1)
    file_key = age.new_file_key()
    header = age.build_header(file_key, [age.parse_recipient(made.recipient)])
    identity = open_tenant_identity(transit, made.wrapped, "acme", 1)
    assert age.unwrap(age.parse_header(header), [identity]) == file_key


@pytest.mark.parametrize(
    "wrapped", [b"CGW1" + bytes(60), b"CGV1\xff", b"CGV1vault:v1:AAAA", b"CGV1vault:v9:AAAA", b""]
)
def test_bytes_that_it_did_not_wrap_are_refused(
    wrapped: bytes, vault: TransitServer, token: Path
) -> None:
    with pytest.raises(UnwrapError):
        wrapper(vault, token).unwrap(wrapped, CONTEXT)


def test_a_sealed_vault_is_told_from_altered_bytes(vault: TransitServer, token: Path) -> None:
    transit = wrapper(vault, token)
    wrapped = transit.wrap(b"a secret", CONTEXT)
    vault.sealed = True
    with pytest.raises(KeyStoreError, match="refused to decrypt: 503: Vault is sealed") as caught:
        transit.unwrap(wrapped, CONTEXT)
    assert not isinstance(caught.value, UnwrapError)


def test_a_token_without_leave_or_of_another_namespace_is_refused(
    vault: TransitServer, token: Path
) -> None:
    vault.namespace = "calls/"
    with pytest.raises(KeyStoreError, match="403: permission denied"):
        wrapper(vault, token).wrap(b"a secret", CONTEXT)
    assert wrapper(vault, token, namespace="calls/").wrap(b"a secret", CONTEXT)


def test_a_key_that_is_not_there_is_named_as_such(vault: TransitServer, token: Path) -> None:
    with pytest.raises(KeyStoreError, match="encryption key not found"):
        wrapper(vault, token, key="other").wrap(b"a secret", CONTEXT)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"null",
        b'{"data": null}',
        b'{"data": {"ciphertext": 1}}',
        b'{"data": {"plaintext": "AAAA", "ciphertext": "line\\nline"}}',
        b'{"data": {"plaintext": "not base64!", "ciphertext": ""}, "x": "' + b"y" * 70_000 + b'"}',
    ],
)
def test_an_answer_that_is_none_is_an_error_of_one_line(
    answer: bytes, vault: TransitServer, token: Path
) -> None:
    transit = wrapper(vault, token)
    vault.answer = 200, answer
    with pytest.raises(KeyStoreError) as wrapping:
        transit.wrap(b"a secret", CONTEXT)
    with pytest.raises(KeyStoreError) as unwrapping:
        transit.unwrap(b"CGV1vault:v1:AAAA", CONTEXT)
    assert "\n" not in f"{wrapping.value}{unwrapping.value}"


def test_an_errors_text_is_short_and_of_one_line(vault: TransitServer, token: Path) -> None:
    vault.answer = 500, b'{"errors": ["1 error:\\n\\t* \x1b[31m%s"]}' % (b"long " * 500)
    with pytest.raises(KeyStoreError) as caught:
        wrapper(vault, token).wrap(b"a secret", CONTEXT)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_vault_that_does_not_answer_is_waited_for_so_long_and_no_longer(
    vault: TransitServer, token: Path
) -> None:
    vault.silent = threading.Event()
    with pytest.raises(KeyStoreError, match=r"did not answer within 0\.1 s"):
        wrapper(vault, token, timeout=0.1).wrap(b"a secret", CONTEXT)


def test_an_answer_in_drops_is_waited_for_no_longer(vault: TransitServer, token: Path) -> None:
    vault.drops = 0.02
    began = time.monotonic()
    with pytest.raises(KeyStoreError, match=r"did not answer within 0\.1 s"):
        wrapper(vault, token, timeout=0.1).wrap(b"a secret", CONTEXT)
    assert time.monotonic() - began < 1.0


def test_over_tls_it_is_asked_only_where_its_certificate_is_of_the_authority_that_is_named(
    vault: TransitServer, token: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    context, ours = certificates.made(tmp_path)
    _, theirs = certificates.made(tmp_path / "other")
    with serving(TransitServer(token=vault.token, tls=context)) as server:
        transit = wrapper(server, token, ca_file=ours)
        assert transit.unwrap(transit.wrap(b"a secret", CONTEXT), CONTEXT) == b"a secret"
        asked = len(server.asked)
        for trusted in (theirs, None):
            with pytest.raises(KeyStoreError, match="certificate verify failed") as caught:
                wrapper(server, token, ca_file=trusted).wrap(b"a secret", CONTEXT)
            assert str(caught.value).isprintable()
        server.host = "localhost"  # the certificate is for the address alone
        with pytest.raises(KeyStoreError, match="not valid for 'localhost'"):
            wrapper(server, token, ca_file=ours).wrap(b"a secret", CONTEXT)
        assert len(server.asked) == asked, "neither token nor secret was sent"
        server.host, server.drops = "127.0.0.1", 0.02
        with pytest.raises(KeyStoreError, match="did not answer"):
            wrapper(server, token, ca_file=ours, timeout=0.2).wrap(b"a secret", CONTEXT)
    token.write_text(vault.token)
    with pytest.raises(KeyStoreError, match=r"ca_file .*No such file"):
        wrapper(vault, token, url="https://vault.example", ca_file=tmp_path / "none.pem")


@pytest.mark.parametrize("url", ["https://vault:99999", "https://vault:x", "https://[::1"])
def test_an_address_that_is_none_is_one_clear_line(url: str, token: Path) -> None:
    with pytest.raises(KeyStoreError, match=r"keys\.vault\.url"):
        TransitWrapper(Vault(url=url, key="callguard", token_file=token))


def test_a_vault_that_is_not_there_is_one_clear_line(tmp_path: Path, token: Path) -> None:
    with pytest.raises(KeyStoreError, match=r"cannot be reached: .*refused"):
        TransitWrapper(Vault(url="http://127.0.0.1:1", key="callguard", token_file=token)).wrap(
            b"a secret", CONTEXT
        )


def test_the_token_never_crosses_a_network_in_the_clear(token: Path) -> None:
    with pytest.raises(KeyStoreError, match="use https"):
        TransitWrapper(Vault(url="http://vault.example:8200", key="k", token_file=token))


def test_a_renewed_token_is_used_at_once(vault: TransitServer, token: Path) -> None:
    transit = wrapper(vault, token)
    vault.token = "hvs.renewed"
    token.write_text(vault.token)
    assert transit.wrap(b"a secret", CONTEXT)


@pytest.mark.parametrize("text", ["", "two words", "\u05d8", "a\nb", "x" * 5000])
def test_a_file_that_holds_no_token_is_refused_without_its_content(
    text: str, vault: TransitServer, token: Path
) -> None:
    token.write_text(text)
    with pytest.raises(KeyStoreError) as caught:
        wrapper(vault, token)
    assert not text or text not in str(caught.value)


def test_a_token_that_others_can_read_is_refused(vault: TransitServer, token: Path) -> None:
    token.chmod(0o640)
    with pytest.raises(KeyStoreError, match="0640"):
        wrapper(vault, token)


def test_neither_token_nor_secret_is_shown(vault: TransitServer, token: Path) -> None:
    transit = wrapper(vault, token)
    assert vault.token not in repr(transit)
    vault.answer = 400, b"{}"
    with pytest.raises(KeyStoreError) as caught:
        transit.wrap(b"a secret", CONTEXT)
    assert vault.token not in str(caught.value)
