"""Following what other processes write: into the database, onto the shelf of registries, into the
folder of prompts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import not_before
from callguard.consent.prompts import PromptLibrary
from callguard.gate.revoked import Revocations
from callguard.gate.room import Gate
from callguard.optout.image import PAGE
from callguard.optout.registry.shelf import Shelf
from callguard.optout.standing import Change, after
from callguard.retention.backup.aftermath import not_reopened
from callguard.storage.alive import time_seen
from callguard.storage.attempts import note_answered
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import NotDurableError

log = structlog.get_logger(__name__)

REFRESH_S = 0.5
"""How soon what another process entered is seen: tenants, opt-outs, withdrawn
consents, registries, prompts."""


class Follower:
    """Keeps the gate's image of tenants and opt-outs as the database is, and the registries as
    they lie on the shelf, and the prompts as their manifests name them."""

    def __init__(self, gate: Gate, database: Database, shelf: Shelf) -> None:
        self._gate = gate
        self._database = database
        self._shelf = shelf
        self._revocations = Revocations(gate)
        self._unread: set[str] = set()

    def load(self, connection: Connection) -> None:
        """Reads everything, before the first call."""
        clock = self._gate.clock
        not_before(clock, time_seen(connection, clock.now()))
        self._gate.tenants.refresh(connection)
        self._gate.opt_outs.load(_pages(connection))
        self._revocations.load(connection)
        self._gate.opt_outs_read_at = self._gate.clock.monotonic()
        self._gate.opt_outs_missing = not_reopened(connection)

    async def run(self) -> None:
        """Follows for ever. What cannot be read is told once, and tried again."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self._try("opt_outs", self._follow_opt_outs)
            await self._try("withdrawals", self._revocations.follow)
            await self._try("tenants", self._follow_tenants)
            await self._try("conversations", self._keep_conversations)
            await self._follow_prompts()
            self._shelf.follow()

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
        """The image is as fresh as the look that found nothing more. A page at a time: calls are
        answered between them, however long a list was entered."""
        opt_outs = self._gate.opt_outs
        while True:
            at = self._gate.clock.monotonic()
            newer = partial(after, sequence=opt_outs.read_up_to, limit=PAGE)
            page = await self._database.read(newer)
            opt_outs.follow(page)
            if len(page) < PAGE:
                self._gate.opt_outs_read_at = at
                break
        if self._gate.opt_outs_missing is not None:
            self._gate.opt_outs_missing = await self._database.read(not_reopened)

    async def _keep_conversations(self) -> None:
        """Those whose own writing failed, or is under way: written twice they are the same."""
        for conversation in self._gate.attempts.unkept():
            note = partial(note_answered, conversation=conversation)
            await self._gate.journal.write(note)
            self._gate.attempts.kept(conversation)

    async def _follow_prompts(self) -> None:
        """A call is answered by the prompts of before or by those of after. What cannot be read is
        told once, when it comes."""
        before = self._gate.prompts
        if before.folder is None or not before.is_stale():
            return
        known = frozenset(before.faults)
        load = partial(PromptLibrary.load, before.folder, before)
        self._gate.prompts, faults = await asyncio.to_thread(load)
        for fault in faults:
            if fault not in known:
                log.warning("alarm", reason=f"prompt: {fault}")
        log.info("prompts_in_use", prompts=len(self._gate.prompts), faults=len(faults))

    async def _follow_tenants(self) -> None:
        await self._database.read(self._gate.tenants.refresh)


def _pages(connection: Connection) -> Iterator[list[Change]]:
    read = 0
    while page := after(connection, read, PAGE):
        read = page[-1][0]
        yield page
