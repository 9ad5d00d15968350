"""A TCP relay that a test can cut: the network between callguard and Asterisk's AMI."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Relays from `port`, a free one, to a port on 127.0.0.1; `connections` counts who came."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open = True
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection, and each that comes, until `mend`."""
        with self._lock:
            self._open = False
            while self._pairs:
                _shut(self._pairs.pop())

    def mend(self) -> None:
        """Relay again."""
        self._open = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                with self._lock:
                    try:
                        if not self._open:
                            raise ConnectionRefusedError
                        far = socket.create_connection(("127.0.0.1", self._target), 5)
                    except OSError:
                        near.close()
                        continue
                    self._pairs += [near, far]
                far.settimeout(None)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_relay, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        self.cut()
        _shut(self._listener)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _shut(source)
    _shut(sink)
    source.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
