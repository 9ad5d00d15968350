"""The scribe: a process of its own that commits groups of rows to SQLite.

The service's event loop and SQLite would otherwise take the interpreter lock from each other at
every step. The process knows nothing but statements and values, needs the standard library only,
and ends when the service's end of the socket closes: a group that it was given is then committed
or not, as with any writer that was killed.

A group is asked for as the number of its statements, then for each its SQL and the rows that go
into it, a JSON list of lists; the answer is the class of the error and its words, or twice nothing.
Numbers are of 4 bytes, big-endian; texts are UTF-8 after their length.
"""

import json
import signal
import socket
import sqlite3
import sys
from contextlib import suppress

from callguard.storage.pragmas import set_up

LONGEST = 64 * 1024 * 1024
"""Most bytes of one text."""

SIZE = 4


def packed(*texts: str) -> bytes:
    """Texts as they travel. Raises ValueError for one that is too long or no Unicode text."""
    parts = []
    for text in texts:
        body = text.encode()
        if len(body) > LONGEST:
            raise ValueError(f"{len(body)} bytes are too many for one commit")
        parts += [number(len(body)), body]
    return b"".join(parts)


def number(value: int) -> bytes:
    return value.to_bytes(SIZE, "big")


class _Gone(Exception):  # noqa: N818 - says what happened
    """The other end of the socket is gone."""


def _exactly(end: socket.socket, size: int) -> bytes:
    got = bytearray(size)
    view, at = memoryview(got), 0
    while at < size:
        count = end.recv_into(view[at:])
        if count == 0:
            raise _Gone
        at += count
    return bytes(got)


def _text(end: socket.socket) -> str:
    return _exactly(end, int.from_bytes(_exactly(end, SIZE), "big")).decode()


def _group(end: socket.socket) -> list[tuple[str, str]]:
    count = int.from_bytes(_exactly(end, SIZE), "big")
    return [(_text(end), _text(end)) for _ in range(count)]


def serve(end: socket.socket, path: str) -> None:
    """Commits what comes until the other end is gone."""
    connection: sqlite3.Connection | None = None
    with suppress(_Gone, OSError):
        while True:
            statements = _group(end)
            answer = ("", "")
            try:
                connection = connection or _open(path)
                _commit(connection, statements)
            except Exception as error:
                kind = type(error) if isinstance(error, sqlite3.Error) else sqlite3.DataError
                answer = (kind.__name__, str(error))
                if connection is not None and not isinstance(error, sqlite3.IntegrityError):
                    connection.close()
                    connection = None
            end.sendall(packed(*answer))


def _open(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    set_up(connection)
    # The service moves the log into the database beside this, so that no commit waits for it.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def _commit(connection: sqlite3.Connection, statements: list[tuple[str, str]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement, rows in statements:
            connection.executemany(statement, json.loads(rows))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def main() -> None:
    """``python -m callguard.storage.scribe FD PATH``"""
    # It ends when the service has no more to write, not when a service manager tells them both.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as end:
        serve(end, sys.argv[2])


if __name__ == "__main__":
    main()
