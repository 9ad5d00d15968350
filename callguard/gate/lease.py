"""The lease: the sign of life without which a dialplan does not ask the gate.

It is written once a second from the event loop that also answers AGI, so a loop that does not
run loses it. It goes two ways: over AMI into a global variable, and as the time of a file beside
the spool, which still works when the manager connection is lost.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from callguard.ami.errors import AmiError
from callguard.ami.session import AmiSession
from callguard.clock import Clock

log = structlog.get_logger(__name__)

VARIABLE = "CALLGUARD_ALIVE"
FILE = "alive"


class Lease:
    """Renews the lease of every Asterisk."""

    def __init__(
        self, sessions: Sequence[AmiSession], folder: Path, clock: Clock, every_s: float
    ) -> None:
        self._sessions = sessions
        self._file = folder / FILE
        self._clock = clock
        self._every = every_s
        self._renewed: dict[str, float] = {}
        self._file_fault: str | None = None
        self._ended = False

    async def run(self) -> None:
        """Renews until it is given up. Each round is bounded, so that one PBX never starves
        another."""
        while not self._ended:
            started = self._clock.monotonic()
            self._touch()
            async with asyncio.TaskGroup() as group:
                for session in self._sessions:
                    if session.state == "up":
                        group.create_task(self._renew(session))
            spent = self._clock.monotonic() - started
            await asyncio.sleep(max(0.0, self._every - spent))

    def age(self, pbx: str) -> float | None:
        """Seconds since the lease of that Asterisk was renewed over AMI; None if never."""
        renewed = self._renewed.get(pbx)
        return None if renewed is None else self._clock.monotonic() - renewed

    @property
    def file_fault(self) -> str | None:
        """Why the lease file cannot be touched, if it cannot."""
        return self._file_fault

    async def give_up(self) -> None:
        """Ends the lease at once, so that no further call asks."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
        async with asyncio.TaskGroup() as group:
            for session in self._sessions:
                if session.state == "up":
                    group.create_task(self._write(session, "0"))

    async def _renew(self, session: AmiSession) -> None:
        if await self._write(session, str(int(self._clock.now().timestamp()))):
            self._renewed[session.settings.name] = self._clock.monotonic()

    async def _write(self, session: AmiSession, value: str) -> bool:
        try:
            await session.action(
                "Setvar", ("Variable", VARIABLE), ("Value", value), timeout=self._every
            )
        except AmiError as error:
            log.warning("lease_not_renewed", pbx=session.settings.name, reason=str(error))
            return False
        return True

    def _touch(self) -> None:
        now = self._clock.now().timestamp()
        try:
            if not self._file.exists():
                self._file.touch(mode=0o644)
            os.utime(self._file, (now, now))
        except OSError as error:
            fault = f"{self._file}: {error.strerror}"
            if fault != self._file_fault:
                log.error("lease_file_not_renewed", reason=fault)
            self._file_fault = fault
        else:
            self._file_fault = None
