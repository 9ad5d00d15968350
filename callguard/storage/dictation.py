"""The service's end of the scribe: starts it, hands it groups of rows, hears what came of them."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Sequence

from callguard.storage.bulk import Statement
from callguard.storage.scribe import LONGEST, SIZE, number, packed

HUNG_S = 10.0
"""A scribe that has not answered for so long is killed; whoever waits gave up long before."""

REFUSED = ("IntegrityError", "DataError")
"""What one bad row causes, and not a database that fails."""


class ScribeError(RuntimeError):
    """A group that was not committed, or not known to be. ``failing`` is whether the database or
    the scribe itself failed, and not only one row."""

    def __init__(self, told: str, *, failing: bool) -> None:
        super().__init__(told)
        self.failing = failing


async def _text(reader: asyncio.StreamReader) -> str:
    size = int.from_bytes(await reader.readexactly(SIZE), "big")
    if size > LONGEST:
        raise ConnectionError("the scribe answered nonsense")
    return (await reader.readexactly(size)).decode()


class Dictation:
    """One scribe; a dead one is replaced by the next group. For one group at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def commit(self, statements: Sequence[Statement]) -> None:
        """Returns when the group is durable. Raises ScribeError."""
        try:
            texts = packed(*(text for statement in statements for text in statement))
            async with asyncio.timeout(HUNG_S):
                reader, writer = await self._connected()
                writer.write(number(len(statements)) + texts)
                await writer.drain()
                kind, told = await _text(reader), await _text(reader)
        except (OSError, EOFError, ValueError) as error:
            # One that hangs must not commit after all what nobody counts on any more.
            await self._end_it()
            reason = str(error) or "it does not answer"
            raise ScribeError(f"the writing process failed: {reason}", failing=True) from error
        except asyncio.CancelledError:
            self.close()  # an answer that nobody heard would be taken for the next group's
            raise
        if kind:
            raise ScribeError(told, failing=kind not in REFUSED)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(sock=self._start())
        return self._reader, self._writer

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "callguard.storage.scribe"]
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [*command, str(theirs.fileno()), self._path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        return ours

    def close(self) -> None:
        """Lets the scribe end; it finishes the commit that it is at."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    def wait(self) -> None:
        """Waits for the scribe's end, a little, then kills it. For after ``close``, off the event
        loop."""
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    async def _end_it(self) -> None:
        self.close()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)
