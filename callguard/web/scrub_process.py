"""One run of a scrub, as a process of its own that cannot outlive whoever waits for it."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from callguard.clock import Clock
from callguard.web.scrub_incoming import ScrubError

SILENT_S: Final = 600.0
"""A run that says nothing for so long hangs, and is ended."""

GRACE_S: Final = 5.0
"""How long a process that is told to end may take."""

MOST_SAID: Final = 1024 * 1024
MOST_LINE: Final = 4_096
MOST_REASON: Final = 500
NICENESS: Final = 10
_READ: Final = 65_536

Heard = Callable[[str], bool]
"""Takes a line of the error stream; whether it told of progress."""


@dataclass(slots=True)
class _Told:
    """What a process has said so far, and when it last said anything."""

    at: float
    last: str = ""
    out: bytearray = field(default_factory=bytearray)


async def run(
    command: Sequence[str], cancelled: asyncio.Event, heard: Heard, clock: Clock
) -> bytes:
    """What the process said at its end; nothing where it was ``cancelled``.

    Raises ScrubError where it fails, OSError where it cannot be started. However this ends, the
    process and its children have ended then.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    assert process.stdout is not None
    assert process.stderr is not None
    told = _Told(clock.monotonic())
    tasks: set[asyncio.Task[object]] = {
        asyncio.create_task(_read(process.stdout, told)),
        asyncio.create_task(_listen(process.stderr, told, heard, clock)),
        asyncio.create_task(process.wait()),
    }
    stopping = asyncio.create_task(cancelled.wait())
    try:
        pending = set(tasks)
        while pending:
            finished, _ = await asyncio.wait(
                {*pending, stopping}, timeout=SILENT_S / 10, return_when=asyncio.FIRST_COMPLETED
            )
            if stopping in finished:
                return b""
            for task in pending & finished:
                task.result()
            pending -= finished
            if pending and clock.monotonic() - told.at > SILENT_S:
                raise ScrubError(f"it said nothing for {SILENT_S:.0f} s, and was ended")
    finally:
        stopping.cancel()
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.wait({*tasks, stopping})
        await _drained(process.stdout, process.stderr)
    if process.returncode != 0:
        raise ScrubError(told.last or f"the scrub ended with status {process.returncode}")
    return bytes(told.out)


async def _read(stream: asyncio.StreamReader, told: _Told) -> None:
    while chunk := await stream.read(_READ):
        told.out += chunk
        if len(told.out) > MOST_SAID:
            raise ScrubError("the scrub said more than it should at its end")


async def _listen(stream: asyncio.StreamReader, told: _Told, heard: Heard, clock: Clock) -> None:
    rest = b""
    while chunk := await stream.read(_READ):
        told.at = clock.monotonic()
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-MOST_LINE:]
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text and not heard(text):
                told.last = text.removeprefix("callguard: ")[:MOST_REASON]


async def _drained(*streams: asyncio.StreamReader) -> None:
    """Reads what an ended process left in its pipes: unread, they would stay open."""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(GRACE_S):
            for stream in streams:
                while await stream.read(_READ):
                    pass


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends a process that still runs, with all its children: it is asked first."""
    if process.returncode is not None:
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
