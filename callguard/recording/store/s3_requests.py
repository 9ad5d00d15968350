"""Signed requests to one bucket, for what the object-store library cannot ask: uploads in parts
that live as long as a call and can be given up by name.

They block, each for a bounded time, and keep a few connections open between them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from callguard.clock import Clock
from callguard.recording.store.bucket import BucketError, NotOffered, Piece, Refused, UploadGone
from callguard.recording.store.s3_place import Place
from callguard.recording.store.s3_signature import Credentials, query_string, signed_headers

ANSWER_BYTES = 4 << 20
"""The longest answer: a page of a thousand uploads is half a megabyte."""

SLOWEST = 16 * 1024
"""Bytes a second: a part that goes more slowly has failed. Several share one line, so a quarter of
what a poor one carries."""

SLICE_BYTES = 64 * 1024
"""What is handed over at once, and must be taken within the time-out."""

BUFFER_BYTES = 256 * 1024
"""How much the kernel takes over: all of it must have gone before there can be an answer."""

IDLE_S = 4.0
"""A connection unused for longer is not used again: servers close theirs after five."""

KEPT = 8
_GONE = ("NoSuchUpload", "NoSuchKey")
_NOT_OFFERED = (405, 501)
_CODE = re.compile(rb"<Code>([A-Za-z0-9._-]{1,60})</Code>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Requests:
    """Asks one bucket."""

    def __init__(
        self,
        place: Place,
        region: str,
        credentials: Callable[[], Credentials],
        tls: ssl.SSLContext,
        timeout: float,
        clock: Clock,
    ) -> None:
        self._place = place
        self._region = region
        self._credentials = credentials
        self._tls = tls
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    def ask(
        self, method: str, key: str, query: Mapping[str, str], body: bytes | Piece = b""
    ) -> Answer:
        """Raises BucketError where there is no answer, and for one that is not a success."""
        path = f"{self._place.base}{key}" if key else self._place.base.rstrip("/") or "/"
        headers = {"Host": self._place.host}
        if isinstance(body, Piece):
            sha256, size, blocks = body.sha256, body.size, body.blocks()
            headers["Content-MD5"] = base64.b64encode(body.md5).decode()
        else:
            sha256, size, blocks = hashlib.sha256(body).hexdigest(), len(body), iter((body,))
        signed = signed_headers(
            self._credentials(),
            self._region,
            method,
            path,
            query,
            headers,
            sha256,
            self._clock.now(),
        )
        signed["content-length"] = str(size)
        address = f"{path}?{query_string(query)}" if query else path
        connection = self._connection()
        late = threading.Event()

        def cut_off() -> None:  # also what trickles in byte by byte
            late.set()
            _hang_up(connection)

        alarm = threading.Timer(self._timeout + size / SLOWEST, cut_off)
        alarm.daemon = True
        alarm.start()
        try:
            answer = _exchange(connection, method, address, signed, blocks)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = "timed out" if late.is_set() else reason
            raise BucketError(f"no answer from {self._place.host}: {reason}") from None
        except BaseException:
            _hang_up(connection)
            raise
        finally:
            alarm.cancel()
            self._done(connection)
        return _successful(answer, self._place.host)

    def close(self) -> None:
        """Break off what is under way; nothing more is asked."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._busy:
                _hang_up(connection)
        for _, connection in idle:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        now = time.monotonic()
        stale = []
        with self._lock:
            if self._closed:
                raise BucketError("callguard is stopping")
            connection = None
            while self._idle and connection is None:
                since, found = self._idle.pop()
                if now - since < IDLE_S and not _dropped(found):
                    connection = found
                else:
                    stale.append(found)
            connection = connection or self._new()
            self._busy.add(connection)
        for old in stale:
            old.close()
        return connection

    def _new(self) -> http.client.HTTPConnection:
        address = urlsplit(self._place.endpoint)
        host, port = address.hostname or "", address.port
        if self._place.encrypted:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

    def _done(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            usable = connection.sock is not None and not self._closed and len(self._idle) < KEPT
            if usable:
                self._idle.append((time.monotonic(), connection))
        if not usable:
            connection.close()


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    address: str,
    headers: Mapping[str, str],
    blocks: Iterable[bytes],
) -> Answer:
    """The connection stays open only after a whole answer."""
    whole = False
    try:
        is_new = connection.sock is None
        if is_new:
            connection.connect()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        connection.putrequest(method, address, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        for block in blocks:
            for at in range(0, len(block), SLICE_BYTES):
                connection.send(block[at : at + SLICE_BYTES])
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES + 1)
        if len(body) > ANSWER_BYTES:
            raise http.client.HTTPException("an answer without end")
        if response.length:
            raise http.client.HTTPException("the answer was cut short")
        whole = response.isclosed() and not response.will_close
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body)
    finally:
        if not whole:
            connection.close()


def _successful(answer: Answer, host: str) -> Answer:
    found = _CODE.search(answer.body)
    code = found[1].decode() if found else ""
    # Completing an upload may fail in an answer that began as a success.
    if 200 <= answer.status < 300 and b"<Error>" not in answer.body:
        return answer
    if code in _GONE or (answer.status == 404 and not code):
        raise UploadGone(f"{host} has no such upload")
    kind = NotOffered if answer.status in _NOT_OFFERED else Refused
    raise kind(f"{host} answers {answer.status} {code}".rstrip())


def _dropped(connection: http.client.HTTPConnection) -> bool:
    """Whether the server hung up, or said something nobody asked for."""
    asked = select.poll()
    asked.register(connection.sock, select.POLLIN)
    return bool(asked.poll(0))


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """From another thread: whoever waits on the connection stops waiting."""
    found: socket.socket | None = connection.sock
    if found is not None:
        with contextlib.suppress(OSError):
            # Not the TLS layer's own, which another thread is just using.
            socket.socket.shutdown(found, socket.SHUT_RDWR)
