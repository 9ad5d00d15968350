"""A Vault as far as its transit engine goes: encrypt and decrypt as its HTTP API says, with its
words for what is refused. Keys are AES-256-GCM in versions, ciphertexts ``vault:v<version>:…``."""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@dataclass
class TransitServer:
    """What it holds and how it is asked to misbehave. ``answer`` is given instead of its own;
    with ``drops`` a byte comes every so many seconds. With ``tls`` it speaks HTTPS."""

    token: str = "hvs.the-token-of-the-test"
    namespace: str = ""
    port: int = 0
    sealed: bool = False
    silent: threading.Event | None = None
    drops: float = 0.0
    answer: tuple[int, bytes] | None = None
    keys: dict[str, list[bytes]] = field(default_factory=lambda: {"callguard": [os.urandom(32)]})
    asked: list[str] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def rotate(self, key: str) -> None:
        self.keys[key].append(os.urandom(32))

    def handle(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.silent is not None:
            self.silent.wait()
        if self.answer is not None:
            return self.answer
        if self.sealed:
            return 503, _errors("Vault is sealed")
        right = headers.get("x-vault-token") == self.token
        if not right or headers.get("x-vault-namespace", "") != self.namespace:
            return 403, _errors("permission denied")
        parts = path.split("/")
        if len(parts) != 5 or parts[1:3] != ["v1", "transit"]:
            return 404, _errors(f'no handler for route "{path[4:]}". route entry not found.')
        return self._operate(parts[3], parts[4], json.loads(body))

    def _operate(self, operation: str, name: str, asked: dict[str, Any]) -> tuple[int, bytes]:
        versions = self.keys.get(name)
        if versions is None:
            return 400, _errors("encryption key not found")
        if operation == "encrypt":
            try:
                plaintext = base64.b64decode(asked["plaintext"], validate=True)
            except ValueError:
                return 400, _errors("failed to base64-decode plaintext")
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, plaintext, None)
            text = f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"
            return 200, _data({"ciphertext": text, "key_version": len(versions)})
        prefix, _, sealed_text = asked["ciphertext"].rpartition(":")
        if not prefix.startswith("vault:v") or not prefix[7:].isdigit():
            return 400, _errors("invalid ciphertext: no prefix")
        version = int(prefix[7:])
        if not 0 < version <= len(versions):
            return 400, _errors("invalid ciphertext: version is too new")
        try:
            sealed = base64.b64decode(sealed_text, validate=True)
            plaintext = AESGCM(versions[version - 1]).decrypt(sealed[:12], sealed[12:], None)
        except ValueError:
            return 400, _errors("invalid ciphertext: could not decode base64")
        except InvalidTag:
            return 400, _errors("cipher: message authentication failed")
        return 200, _data({"plaintext": base64.b64encode(plaintext).decode()})


def _errors(*lines: str) -> bytes:
    return json.dumps({"errors": lines}).encode()


def _data(data: dict[str, object]) -> bytes:
    envelope = {"request_id": "0", "lease_id": "", "renewable": False, "lease_duration": 0}
    return json.dumps({**envelope, "data": data, "warnings": None, "auth": None}).encode()


class Quiet(ThreadingHTTPServer):
    """Clients that go away or do not trust it are what is tested."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving(server: TransitServer) -> Iterator[TransitServer]:
    """Serves it on a loopback port for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = server.handle(self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            for at in range(len(answer) if server.drops else 0):
                time.sleep(server.drops)
                self.wfile.write(answer[at : at + 1])
            if not server.drops:
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as http:
        if server.tls is not None:
            http.socket = server.tls.wrap_socket(
                http.socket, server_side=True, do_handshake_on_connect=False
            )
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            if server.silent is not None:
                server.silent.set()
            http.shutdown()
            thread.join()
