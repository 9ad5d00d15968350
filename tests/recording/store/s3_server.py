"""An S3 server of its own on this machine (moto's), and a proxy before it that can be told to
misbehave at any request."""

import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from moto.server import ThreadedMotoServer

from callguard.config import S3

BUCKET = "recordings"
PART = 5 * 1024**2

Fault = Literal[
    "500",
    "501",
    "403",
    "gone",
    "reset",
    "hang",
    "trickle",
    "unsaid",
    "swallow",
    "error in a success",
    "other tag",
    "cut short",
    "doctype",
    "elsewhere",
    "not all",
]
"""``reset``: in mid-body. ``unsaid``: done, and the connection broken. ``swallow``: said to be done
and not done."""


@dataclass
class Server:
    """``faults`` hit the next requests, one each; ``asked`` are those that came, ``keys`` who did.
    What is ``not_offered`` is answered with 405."""

    url: str
    faults: list[Fault | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    elsewhere: str = ""
    not_offered: Callable[[str], bool] = lambda _: False
    hung: threading.Event = field(default_factory=threading.Event)


@contextmanager
def moto() -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _ask(host, port, "PUT", f"/{BUCKET}")
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def proxy(url: str, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A proxy before the server at ``url``."""
    target = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def handle_any(self) -> None:
            behave(self, server, target)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.handle_any
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is no event."""

    listening = Quiet(("127.0.0.1", 0), Handler)
    if tls is not None:
        listening.socket = tls.wrap_socket(listening.socket, server_side=True)
    listening.daemon_threads = True
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.hung.set()
        listening.shutdown()
        listening.server_close()
        thread.join()


def behave(asked: BaseHTTPRequestHandler, server: Server, target: str) -> None:
    """Answers one request, as the server does or as it is told to."""
    fault = server.faults.pop(0) if server.faults else None
    server.asked.append(f"{asked.command} {asked.path}")
    signature = asked.headers.get("Authorization", "")
    server.keys.append(signature.partition("Credential=")[2].partition("/")[0])
    length = int(asked.headers.get("Content-Length") or 0)
    asked.close_connection = fault is not None
    if fault == "reset":
        asked.rfile.read(length // 2)
        asked.connection.shutdown(socket.SHUT_RDWR)
        return
    body = asked.rfile.read(length)
    if server.not_offered(server.asked[-1]):
        _answer(asked, 405, [], b"<Error><Code>MethodNotAllowed</Code></Error>")
        return
    if fault == "hang":
        server.hung.wait(5)
        return
    if fault == "trickle":
        asked.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not server.hung.wait(0.05):
            asked.wfile.write(b" ")
        return
    if fault in ("500", "501", "403", "gone"):
        status = 404 if fault == "gone" else int(fault)
        code = {"403": b"AccessDenied", "gone": b"NoSuchUpload"}.get(fault, b"InternalError")
        _answer(asked, status, [], b"<Error><Code>" + code + b"</Code></Error>")
        return
    if fault == "error in a success":
        _answer(asked, 200, [], b"<?xml?>\n\n<Error><Code>InternalError</Code></Error>")
        return
    if fault == "doctype":
        _answer(asked, 200, [], b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')
        return
    if fault == "not all":
        refused = b"<Error><Key>calls/3e/b</Key><Code>AccessDenied</Code><Message/></Error>"
        _answer(asked, 200, [], b"<DeleteResult>" + refused + b"</DeleteResult>")
        return
    if fault == "elsewhere":
        _answer(asked, 307, [("Location", f"{server.elsewhere}{asked.path}")], b"")
        return
    if fault == "swallow":
        _answer(asked, 200, [("ETag", '"0"')], b"<a><UploadId>none</UploadId><ETag>0</ETag></a>")
        return
    status, headers, answer = _forward(asked, target, body)
    if fault == "unsaid":
        asked.connection.shutdown(socket.SHUT_RDWR)
        return
    if fault == "other tag":
        headers = [(k, '"other"' if k.lower() == "etag" else v) for k, v in headers]
    if fault == "cut short":
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer) + 9}\r\n\r\n".encode()
        asked.wfile.write(head + answer[:9])
        asked.connection.shutdown(socket.SHUT_RDWR)
        return
    _answer(asked, status, headers, answer)


def settings_for(url: str, folder: Path, **more: object) -> S3:
    """A bucket at ``url``, with credentials in ``folder``."""
    credentials = folder / "credentials.toml"
    credentials.touch(0o600)
    credentials.write_text('access_key_id = "test"\nsecret_access_key = "deep secret"\n')
    given = {
        "bucket": BUCKET,
        "endpoint": url,
        "credentials_file": credentials,
        "part_bytes": PART,
        "timeout": 0.5,
        "prefix": "calls/",
        **more,
    }
    return S3.model_validate(given)


def _forward(
    asked: BaseHTTPRequestHandler, target: str, body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(target, timeout=5)
    try:
        connection.request(asked.command, asked.path, body, dict(asked.headers.items()))
        answer = connection.getresponse()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP]
        return answer.status, kept, answer.read()
    finally:
        connection.close()


_HOP = ("connection", "transfer-encoding", "server", "date")


def _answer(
    asked: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    asked.send_response_only(status)
    if asked.close_connection:
        asked.send_header("Connection", "close")
    for name, value in headers:
        if name.lower() != "content-length" or asked.command == "HEAD":
            asked.send_header(name, value)
    if asked.command != "HEAD":
        asked.send_header("Content-Length", str(len(body)))
    asked.end_headers()
    if asked.command != "HEAD":
        asked.wfile.write(body)


def _ask(host: str, port: int, method: str, path: str) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request(method, path)
        assert connection.getresponse().status == 200
    finally:
        connection.close()
