"""What else a list of numbers could be kept in: a SQLite table, a Redis set."""

import itertools
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BATCH = 50_000
_MEMBERS = 1_000
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Figures:
    """``rate`` in numbers a second, ``size`` in bytes a number, ``look_up`` in microseconds."""

    rate: float
    size: float
    look_up: float


def sqlite_table(folder: Path, numbers: NDArray[np.int64], asked: Sequence[int]) -> Figures:
    """A table of nothing but its key, filled in one transaction."""
    file = folder / "numbers.sqlite"
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("CREATE TABLE listed (number INTEGER PRIMARY KEY) WITHOUT ROWID")
    began = time.perf_counter()
    database.execute("BEGIN")
    for start in range(0, len(numbers), _BATCH):
        rows = ((number,) for number in numbers[start : start + _BATCH].tolist())
        database.executemany("INSERT OR IGNORE INTO listed VALUES (?)", rows)
    database.execute("COMMIT")
    took = time.perf_counter() - began
    question = "SELECT 1 FROM listed WHERE number = ?"
    asking = time.perf_counter()
    for number in asked:
        database.execute(question, (number,)).fetchone()
    each = (time.perf_counter() - asking) / len(asked)
    database.close()
    return Figures(len(numbers) / took, file.stat().st_size / len(numbers), each * 1e6)


def redis_set(folder: Path, numbers: NDArray[np.int64], asked: Sequence[int]) -> Figures | None:
    """A set in a server of its own on a private socket; None where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    with _server(program, folder) as talk:
        before = _memory(talk)
        began = time.perf_counter()
        lots = iter(range(0, len(numbers), _MEMBERS))
        while some := list(itertools.islice(lots, _AT_ONCE)):
            commands = (numbers[at : at + _MEMBERS].tolist() for at in some)
            talk.sendall(b"".join(_command("SADD", "listed", *members) for members in commands))
            _replies(talk, len(some))
        took = time.perf_counter() - began
        size = (_memory(talk) - before) / len(numbers)
        asking = time.perf_counter()
        for number in asked:
            talk.sendall(_command("SISMEMBER", "listed", number))
            _replies(talk, 1)
        each = (time.perf_counter() - asking) / len(asked)
    return Figures(len(numbers) / took, size, each * 1e6)


@contextmanager
def _server(program: str, folder: Path) -> Iterator[socket.socket]:
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(
        [program, *options, "--dir", str(folder)], stdout=subprocess.DEVNULL, cwd=folder
    )
    try:
        with socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(30)
            for _ in range(200):
                try:
                    talk.connect(str(path))
                    break
                except OSError:
                    time.sleep(0.05)
            yield talk
    finally:
        server.terminate()
        server.wait(30)


def _command(*words: object) -> bytes:
    parts = [str(word).encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)


def _replies(talk: socket.socket, count: int) -> None:
    """Reads so many integer replies. Raises RuntimeError for anything else."""
    got = b""
    while got.count(b"\r\n") < count:
        piece = talk.recv(65_536)
        if not piece:
            raise RuntimeError("Redis went away")
        got += piece
    if any(line[:1] != b":" for line in got.split(b"\r\n")[:-1]):
        raise RuntimeError(f"Redis said {got[:200]!r}")


def _memory(talk: socket.socket) -> int:
    talk.sendall(_command("INFO", "memory"))
    got = b""
    while not got.endswith(b"\r\n") or b"used_memory:" not in got:
        got += talk.recv(65_536)
    return int(got.split(b"used_memory:")[1].split(b"\r\n")[0])
