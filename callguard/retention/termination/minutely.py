"""The service's part: every minute it carries terminations on."""

import asyncio

import structlog

from callguard.clock import Clock
from callguard.retention.termination.surroundings import FAULTS
from callguard.retention.termination.termination import Terminations
from callguard.storage.faults import one_line

log = structlog.get_logger(__name__)

MINUTE_S = 60.0


async def carry_on(rooms: Terminations, clock: Clock) -> None:
    """For ever. What fails is told, and tried again."""
    while True:
        try:
            await rooms.advance(clock.now())
        except FAULTS as error:
            log.error("terminations_held_up", reason=one_line(error))
        await asyncio.sleep(MINUTE_S)
