"""One run over a list: the process is started, heard, and what it made becomes the result."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.storage.faults import one_line
from callguard.web import scrub_process
from callguard.web.scrub_folder import begin_run, publish
from callguard.web.scrub_incoming import LIST, ScrubError
from callguard.web.scrub_job import Job


class Scrubber(Protocol):
    """How a list is scrubbed."""

    def command(self, job: Job, source: Path, out: Path) -> Sequence[str]:
        """The program and its arguments; ``out`` is an empty folder."""
        ...

    def progress(self, line: str) -> tuple[int, int] | None:
        """The rows and bytes done, in a line of its standard error; None in any other line."""
        ...


@dataclass(slots=True)
class Running:
    """The run that is under way: who wants its end sets ``cancelled`` and waits for ``ended``."""

    job: Job
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def scrub(
    running: Running,
    home: Path,
    scrubber: Scrubber,
    heard: Callable[[int, int], None],
    clock: Clock,
) -> Mapping[str, object] | None:
    """What the scrub said at its end; None where it was cancelled. ``heard`` is told how many rows
    and bytes are done. Raises ScrubError, OSError."""

    def hear(line: str) -> bool:
        progress = scrubber.progress(line)
        if progress is not None:
            heard(*progress)
        return progress is not None

    work = await asyncio.to_thread(begin_run, home, str(uuid7(clock.now())))
    command = scrubber.command(running.job, home / LIST, work)
    said = await scrub_process.run(command, running.cancelled, hear, clock)
    if running.cancelled.is_set():
        return None
    summary = _summary(said)
    await asyncio.to_thread(publish, home, work)
    return summary


def why(error: Exception) -> str:
    """Why a run failed, in one line for whoever asked for it."""
    if isinstance(error, ScrubError):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the scrub broke: {type(error).__name__}"


def _summary(said: bytes) -> dict[str, object]:
    try:
        summary = json.loads(said)
    except ValueError as error:
        raise ScrubError("the scrub did not say what it did") from error
    if not isinstance(summary, dict):
        raise ScrubError("the scrub did not say what it did")
    summary.pop("files", None)  # where they lie here says nothing to whoever asked
    return summary
