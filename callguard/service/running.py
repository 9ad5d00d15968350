"""The rooms at work: started, supervised, and stopped in order."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import structlog

from callguard.ami.settings import Connector, tcp_connect
from callguard.clock import Clock
from callguard.config import Settings
from callguard.service.errors import ServiceError
from callguard.service.rooms import Rooms
from callguard.service.upkeep import feed_watchdog, spare_the_old, tidy_memory

log = structlog.get_logger(__name__)

GRACE_S = 5.0
"""How long calls inside may take to finish; and how long all closing takes after a failure."""
FAILED_GRACE_S = 1.0
"""How long they may where a room failed, so that time is left to close every door."""


class Service(Rooms):
    """The rooms, and running them. Built and refused as they are."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        connect: Connector = tcp_connect,
        write_apart: bool = False,
        config: Path | None = None,
    ) -> None:
        super().__init__(settings, clock, connect=connect, write_apart=write_apart, config=config)
        self._stop = asyncio.Event()
        self.agi_port = 0
        self.web_port = 0

    def stop(self) -> None:
        """Asks the service to end in order."""
        self._stop.set()

    async def run(self, *, ready: Callable[["Service"], None] | None = None) -> None:
        """Runs until ``stop``; ``ready`` is called once calls can come.

        Raises ServiceError when a door cannot be opened, ExceptionGroup when a room fails.
        """
        journal = self.journal.start()
        try:
            await self._open_doors()
            self.recordings.end_of_unknown()
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(work) for work in self._work()]
                    tasks.append(group.create_task(self._own(journal)))
                    if ready is not None:
                        ready(self)
                    await self._stop.wait()
                    await self._close_doors()
                    for task in tasks:
                        task.cancel()
            except BaseExceptionGroup:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(GRACE_S):
                        await self._close_doors(FAILED_GRACE_S)
                raise
        finally:
            try:
                await self.journal.close()
            finally:
                await self.shelf.close()
                self._reader.close()
                self.database.close()

    async def _open_doors(self) -> None:
        agi, web = self.settings.agi, self.settings.web
        try:
            self.agi_port = await self.agi.start(agi.host, agi.port)
            self.web_port = await self.web.start(web.host, web.port)
        except OSError as error:
            await self.agi.close(0)
            raise ServiceError(f"a port cannot be opened: {error}") from error
        log.info("serving", agi=f"{agi.host}:{self.agi_port}", web=f"{web.host}:{self.web_port}")

    async def _close_doors(self, grace_s: float = GRACE_S) -> None:
        """First the lease, so that no new call asks; then the calls inside are let finish."""
        log.info("stopping")
        await self.lease.give_up()
        await self.agi.close(grace_s)
        await self.web.close()
        await self.gate.acts.close(grace_s)
        await self.preflight.close()
        for pbx in self.pbxs.values():
            await pbx.session.close()

    def _work(self) -> list[Coroutine[None, None, None]]:
        """What the rooms do for as long as the service runs."""
        supervision = self.recordings.supervision
        work: list[Coroutine[None, None, None]] = [
            self.follower.run(),
            self.lease.run(),
            *self.vault.work(),
            *self.web.work(),
            self.call_back.run(),
            self.backstop.run(),
            self.gate.acts.withdrawals.run(self.gate),
            *(pbx.session.run() for pbx in self.pbxs.values()),
            *(pbx.look_again() for pbx in self.pbxs.values()),
            self.recordings.keep_log(),
            *(silence.run() for silence in supervision.silences.values()),
            *(keeper.run() for keeper in self.keepers.values()),
            tidy_memory(lambda: self.agi.stats.sessions_now),
        ]
        if limit_s := self.settings.limits.watchdog_s:
            work.append(feed_watchdog(limit_s))
        return work

    async def _own(self, journal: asyncio.Task[None]) -> None:
        """The journal outlives the other rooms at the end, but takes them down if it fails."""
        await asyncio.shield(journal)


async def serve(
    settings: Settings, clock: Clock, ready: Callable[[Service], None], config: Path | None = None
) -> None:
    """Runs the service until SIGTERM or SIGINT. Raises what ``Service`` and ``run`` raise."""
    service = Service(settings, clock, write_apart=True, config=config)
    spare_the_old()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, service.stop)
    try:
        await service.run(ready=ready)
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)
