"""The transit engine of a Vault or OpenBao as a key wrapper: the key never leaves it.

Source: its HTTP API, ``POST /v1/<mount>/encrypt/<key>`` and ``decrypt``. What is wrapped carries a
digest of its context inside: that binds the two with every type of key and in every version,
where ``associated_data`` is silently ignored by older ones.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast
from urllib.parse import quote, urlsplit

from callguard.config import Vault
from callguard.loopback import is_loopback
from callguard.recording.keys import KeyStoreError, UnwrapError
from callguard.secret_file import SecretFileError, read_line

PREFIX = b"CGV1"
"""Before the ciphertext, so that it is told from what a master key wrapped."""

_DIGEST_SIZE = 32
_TOKEN_LIMIT = 4096
_ANSWER_LIMIT = 64 * 1024


class TransitWrapper:
    """Wraps by asking. Every call blocks for at most about the time-out: never call it from the
    event loop."""

    def __init__(self, settings: Vault) -> None:
        """Raises KeyStoreError where the address is not safe or a file cannot be read."""
        self._settings = settings
        try:
            address = urlsplit(settings.url)
            self._host = address.hostname or ""
            self._port = address.port or (443 if address.scheme == "https" else 8200)
        except ValueError as error:
            raise KeyStoreError(f"keys.vault.url {settings.url}: {error}") from None
        self._tls: ssl.SSLContext | None = None
        if address.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=settings.ca_file)
            except (OSError, ssl.SSLError) as error:
                raise KeyStoreError(f"keys.vault.ca_file {settings.ca_file}: {error}") from None
        elif not is_loopback(self._host):
            raise KeyStoreError("keys.vault.url: http is only for this machine itself; use https")
        self._token()

    def __repr__(self) -> str:
        return f"TransitWrapper({self._host}, key={self._settings.key})"

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        """See KeyWrapper.wrap. Raises KeyStoreError."""
        bound = _digest(context) + plaintext
        ciphertext = self._ask("encrypt", {"plaintext": _encode(bound)}, "ciphertext")
        if not ciphertext.isascii() or not ciphertext.isprintable():
            raise KeyStoreError(f"{self._name()} answered with something that is no ciphertext")
        return PREFIX + ciphertext.encode("ascii")

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See KeyWrapper.unwrap. Raises UnwrapError, and KeyStoreError where it cannot be asked."""
        if not wrapped.startswith(PREFIX):
            raise UnwrapError("no KMS wrapped these bytes: a master key did, or they were altered")
        try:
            ciphertext = wrapped[len(PREFIX) :].decode("ascii")
        except UnicodeDecodeError:
            raise UnwrapError("the wrapped key was altered") from None
        bound = _decode(self._ask("decrypt", {"ciphertext": ciphertext}, "plaintext"))
        if bound is None or len(bound) < _DIGEST_SIZE:
            raise KeyStoreError(f"{self._name()} answered with something that is no plaintext")
        if not hmac.compare_digest(bound[:_DIGEST_SIZE], _digest(context)):
            raise UnwrapError("the wrapped key belongs elsewhere")
        return bound[_DIGEST_SIZE:]

    def made(self, wrapped: bytes) -> bool:
        """See KeyWrapper.made: of this engine or another."""
        return wrapped.startswith(PREFIX)

    def _ask(self, operation: str, body: dict[str, str], wanted: str) -> str:
        settings = self._settings
        path = f"/v1/{quote(settings.mount)}/{operation}/{quote(settings.key, safe='')}"
        headers = {
            "Content-Type": "application/json",
            "X-Vault-Request": "true",
            "X-Vault-Token": self._token(),
        }
        if settings.namespace:
            headers["X-Vault-Namespace"] = settings.namespace
        connection = self._connection()
        try:
            connection.connect()
            with _broken_off(connection.sock, settings.timeout):
                connection.request("POST", path, json.dumps(body).encode("ascii"), headers)
                response = connection.getresponse()
                answer = response.read(_ANSWER_LIMIT + 1)
        except TimeoutError:
            raise KeyStoreError(
                f"{self._name()} did not answer within {settings.timeout:g} s"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise KeyStoreError(f"{self._name()} cannot be reached: {reason}") from None
        finally:
            connection.close()
        return self._read(operation, response.status, answer, wanted)

    def _read(self, operation: str, status: int, answer: bytes, wanted: str) -> str:
        try:
            found: object = json.loads(answer) if len(answer) <= _ANSWER_LIMIT else None
        except ValueError:
            found = None
        told = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        if status != http.client.OK:
            refusal = KeyStoreError if status != http.client.BAD_REQUEST else UnwrapError
            if operation == "encrypt":
                refusal = KeyStoreError
            raise refusal(f"{self._name()} refused to {operation}: {status}{_errors(told)}")
        data = told.get("data")
        value = data.get(wanted) if isinstance(data, dict) else None
        if not isinstance(value, str):
            raise KeyStoreError(f"{self._name()} gave no {wanted}")
        return value

    def _connection(self) -> http.client.HTTPConnection:
        timeout = self._settings.timeout
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._tls
        )

    def _token(self) -> str:
        """Read anew each time: whoever renews it writes the file."""
        file = self._settings.token_file
        try:
            token = read_line(file, "the vault's token", limit=_TOKEN_LIMIT)
        except SecretFileError as error:
            raise KeyStoreError(str(error)) from None
        if " " in token:
            raise KeyStoreError(f"the vault's token {file} has more than one word")
        return token

    def _name(self) -> str:
        return f"the vault {self._host}"


@contextmanager
def _broken_off(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Ends an answer that comes in drops: the time-out of a socket begins anew with each. Raises
    TimeoutError."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # beneath TLS, which would wait

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError


def _errors(told: dict[str, object]) -> str:
    """What it gave as its reasons, in one line of bounded length."""
    errors = told.get("errors")
    if not isinstance(errors, list) or not errors:
        return ""
    line = " ".join(" ".join(map(str, errors)).split())
    return ": " + "".join(c for c in line if c.isprintable())[:200]


def _digest(context: bytes) -> bytes:
    if not context:
        raise ValueError("a key is wrapped in a context")
    return hashlib.sha256(context).digest()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
