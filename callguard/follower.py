"""Following what other processes write into the database: the command line, other nodes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.gate.room import Gate
from callguard.optout.events import after
from callguard.optout.image import PAGE
from callguard.storage.attempts import note_answered
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import NotDurableError

log = structlog.get_logger(__name__)

REFRESH_S = 0.5
"""How soon tenants and opt-outs entered by another process are seen."""


class Follower:
    """Keeps the gate's image of tenants and opt-outs as the database is."""

    def __init__(self, gate: Gate, database: Database) -> None:
        self._gate = gate
        self._database = database
        self._unread: set[str] = set()

    def load(self, connection: Connection) -> None:
        """Reads everything, before the first call."""
        self._gate.tenants.refresh(connection)
        while page := after(connection, self._gate.opt_outs.read_up_to, PAGE):
            self._gate.opt_outs.follow(page)
        self._gate.opt_outs_read_at = self._gate.clock.monotonic()

    async def run(self) -> None:
        """Follows for ever. What cannot be read is told once, and tried again."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self._try("opt_outs", self._follow_opt_outs)
            await self._try("tenants", self._follow_tenants)
            await self._try("conversations", self._keep_conversations)

    async def _try(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except (SQLAlchemyError, TimeoutError, NotDurableError) as error:
            if what not in self._unread:
                log.error("refresh_failed", of=what, reason=one_line(error))
            self._unread.add(what)
        else:
            self._unread.discard(what)

    async def _follow_opt_outs(self) -> None:
        """The image is as fresh as the look that found nothing more."""
        opt_outs = self._gate.opt_outs
        while True:
            at = self._gate.clock.monotonic()
            newer = partial(after, sequence=opt_outs.read_up_to, limit=PAGE)
            page = await self._database.read(newer)
            opt_outs.follow(page)
            if len(page) < PAGE:
                self._gate.opt_outs_read_at = at
                return

    async def _keep_conversations(self) -> None:
        """Those whose own writing failed, or is under way: written twice they are the same."""
        for conversation in self._gate.attempts.unkept():
            note = partial(note_answered, conversation=conversation)
            await self._gate.journal.write(note)
            self._gate.attempts.kept(conversation)

    async def _follow_tenants(self) -> None:
        await self._database.read(self._gate.tenants.refresh)
