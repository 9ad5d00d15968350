"""Who rewraps headers: a thread of this process, or processes of their own for many.

Both are opened for one tenant and closed at once after it, and its private keys with them.
"""

import asyncio
import contextlib
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from callguard.recording import age
from callguard.recording.rekeying.rewrapping import (
    Kept,
    Result,
    Rewrapper,
    read_frame,
    result_of,
    write_frame,
)

HUNG_S = 120.0
"""A batch takes a tenth of a second; a process that is silent for so long is given up."""

END_S = 5.0


class RewrapError(RuntimeError):
    """A process that rewraps headers failed. Nothing of its batch was changed."""


class Rewraps(Protocol):
    """Rewraps batches, up to ``width`` of them at once."""

    @property
    def width(self) -> int: ...

    async def rewrap(self, headers: Sequence[bytes]) -> list[Result]:
        """What became of each. Raises RewrapError."""
        ...

    def close(self) -> None: ...


class InThread:
    """Rewraps in a thread of this process, one batch at a time."""

    width = 1

    def __init__(self, identities: Sequence[age.Identity], recipients: Sequence[str]) -> None:
        """Raises AgeError where the recipients do not go together."""
        parsed = [age.parse_recipient(text) for text in recipients]
        age.build_header(age.new_file_key(), parsed)
        self._rewrapper: Rewrapper | None = Rewrapper(identities, parsed)

    async def rewrap(self, headers: Sequence[bytes]) -> list[Result]:
        rewrapper = self._rewrapper
        assert rewrapper is not None, "it was closed"
        return await asyncio.to_thread(lambda: [rewrapper.rewrap(header) for header in headers])

    def close(self) -> None:
        self._rewrapper = None


class InProcesses:
    """Rewraps in processes, a batch each at a time."""

    def __init__(
        self, identities: Sequence[age.Identity], recipients: Sequence[str], width: int
    ) -> None:
        """Raises OSError."""
        self.width = width
        self._all: list[subprocess.Popen[bytes]] = []
        self._free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(width, thread_name_prefix="rewrap")
        try:
            for _ in range(width):
                self._free.put(self._start(identities, recipients))
        except BaseException:
            self.close()
            raise

    def _start(
        self, identities: Sequence[age.Identity], recipients: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "callguard.recording.rekeying.rewrapping"]
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._all.append(process)
        assert process.stdin is not None
        write_frame(process.stdin, [identity.encode().encode() for identity in identities])
        write_frame(process.stdin, [text.encode() for text in recipients])
        return process

    async def rewrap(self, headers: Sequence[bytes]) -> list[Result]:
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, self._ask, headers)
        try:
            async with asyncio.timeout(HUNG_S):
                return await asked
        except TimeoutError as error:
            self.close()
            raise RewrapError("a process that rewraps headers does not answer") from error

    def _ask(self, headers: Sequence[bytes]) -> list[Result]:
        process = self._free.get()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            write_frame(process.stdin, headers)
            answer = read_frame(process.stdout)
            if answer is None or len(answer) != len(headers):
                raise EOFError("it ended")
            results = [result_of(item) for item in answer]
        except (OSError, EOFError, ValueError) as error:
            raise RewrapError(f"a process that rewraps headers failed: {error}") from error
        finally:
            self._free.put(process)
        return results

    def close(self) -> None:
        """Ends the processes, and the private keys in them."""
        for process in self._all:
            process.kill()  # it holds nothing that is not asked for again
        for process in self._all:
            process.wait(END_S)
        self._threads.shutdown(cancel_futures=True)
        for process in self._all:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        self._all.clear()


__all__ = ["InProcesses", "InThread", "Kept", "Result", "RewrapError", "Rewraps"]
