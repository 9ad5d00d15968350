"""Counting attempts: the part of the shared state that decides who is the last one allowed.

An attempt counts from the moment of its verdict: it is claimed before its call is decided, so
that of several calls at once each sees those before it, and none is counted by nobody.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from sqlalchemy import BigInteger, Connection, bindparam, delete, select, update

from callguard.clock import Clock
from callguard.policy.facts import Attempt
from callguard.storage.grouped import GroupedReads
from callguard.storage.journal import Row
from callguard.storage.lookup import Lookup
from callguard.storage.schema import attempts
from callguard.storage.types import to_micros

MOST = 1_000
"""Most earlier attempts to one subject that are looked at, the newest."""

REMEMBERED_S = 10.0
"""How long a claim is remembered beside its row: longer than a commit and a reading may take."""

BOUND = 200_000
"""Most claims remembered at once."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt with its call and subject."""

    call_id: str
    subject: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Conversation:
    """An attempt that was answered at ``at``."""

    subject: str
    placed_at: datetime
    call_id: str
    at: datetime


class AttemptCounters(Protocol):
    """The counters, local or shared by several nodes."""

    async def claim(self, claim: Claim, since: datetime | None) -> tuple[Attempt, ...]:
        """Adds an attempt and returns those to the same subject that were there before it and
        are younger than ``since``; None asks for none. Raises when that cannot be told; then
        nothing was added."""
        ...

    async def earlier(self, subject: str, since: datetime) -> tuple[Attempt, ...]:
        """The attempts to a subject, adding none. Raises when that cannot be told."""
        ...

    def release(self, claim: Claim) -> None:
        """Takes back an attempt whose call was not placed."""
        ...

    def answered(self, conversation: Conversation) -> None:
        """Notes that an attempt became a conversation, until ``kept`` says that this is durable."""
        ...

    def unkept(self) -> tuple[Conversation, ...]:
        """The conversations that are not known to be durable."""
        ...

    def kept(self, conversation: Conversation) -> None:
        """Says that a conversation is durable."""
        ...


class LocalAttempts:
    """Counters of one process: the rows of the database, and the claims whose rows may not be
    there yet."""

    def __init__(self, reads: GroupedReads, clock: Clock) -> None:
        self._reads = reads
        self._clock = clock
        self._claims: dict[str, dict[str, Attempt]] = {}
        self._order: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._unkept: dict[str, Conversation] = {}

    async def claim(self, claim: Claim, since: datetime | None) -> tuple[Attempt, ...]:
        found = await self.earlier(claim.subject, since) if since is not None else ()
        # Nothing is awaited between looking and adding: who comes next sees this one.
        self._forget()
        self._claims.setdefault(claim.subject, {})[claim.call_id] = claim.attempt
        self._order[claim.subject, claim.call_id] = self._clock.monotonic()
        return found

    async def earlier(self, subject: str, since: datetime) -> tuple[Attempt, ...]:
        rows = await self._reads.ask(partial(_rows, subject=subject, since=since))
        found = {**rows, **self._claims.get(subject, {})}
        for call_id in found.keys() & self._unkept.keys():
            found[call_id] = replace(found[call_id], answered_at=self._unkept[call_id].at)
        return tuple(found.values())

    def release(self, claim: Claim) -> None:
        self._drop(claim.subject, claim.call_id)
        self._order.pop((claim.subject, claim.call_id), None)

    def answered(self, conversation: Conversation) -> None:
        call_id, claims = conversation.call_id, self._claims.get(conversation.subject, {})
        if call_id in claims:
            claims[call_id] = replace(claims[call_id], answered_at=conversation.at)
        if len(self._unkept) < BOUND:
            self._unkept[call_id] = conversation

    def unkept(self) -> tuple[Conversation, ...]:
        return tuple(self._unkept.values())

    def kept(self, conversation: Conversation) -> None:
        self._unkept.pop(conversation.call_id, None)

    def _forget(self) -> None:
        """Drops claims whose rows any reading finds by now."""
        old = self._clock.monotonic() - REMEMBERED_S
        while self._order:
            (subject, call_id), at = next(iter(self._order.items()))
            if at > old and len(self._order) < BOUND:
                return
            del self._order[subject, call_id]
            self._drop(subject, call_id)

    def _drop(self, subject: str, call_id: str) -> None:
        claims = self._claims.get(subject, {})
        claims.pop(call_id, None)
        if not claims:
            self._claims.pop(subject, None)


def as_row(claim: Claim, expires_at: datetime | None) -> Row:
    """The row that makes an attempt durable."""
    attempt = claim.attempt
    return Row(
        attempts,
        {
            "subject": claim.subject,
            "at": attempt.at,
            "call_id": claim.call_id,
            "tenant_id": attempt.tenant,
            "purpose": attempt.purpose,
            "channel": attempt.channel,
            "campaign": attempt.campaign,
            "debt": attempt.debt,
            "answered_at": None,
            "expires_at": expires_at,
        },
    )


def withdraw_attempt(
    connection: Connection, subject: str, placed_at: datetime, call_id: str
) -> None:
    """Takes the row of an attempt away whose call was not placed."""
    connection.execute(
        delete(attempts).where(
            attempts.c.subject == subject,
            attempts.c.at == placed_at,
            attempts.c.call_id == call_id,
        )
    )


def note_answered(connection: Connection, conversation: Conversation) -> None:
    """Writes that an attempt became a conversation; writing it twice changes nothing."""
    connection.execute(
        update(attempts)
        .where(
            attempts.c.subject == conversation.subject,
            attempts.c.at == conversation.placed_at,
            attempts.c.call_id == conversation.call_id,
        )
        .values(answered_at=conversation.at)
    )


_EARLIER = Lookup(
    select(
        attempts.c.call_id,
        attempts.c.at,
        attempts.c.tenant_id,
        attempts.c.purpose,
        attempts.c.channel,
        attempts.c.campaign,
        attempts.c.debt,
        attempts.c.answered_at,
    )
    .where(
        attempts.c.subject == bindparam("subject"),
        attempts.c.at > bindparam("since", type_=BigInteger),
    )
    .order_by(attempts.c.at.desc())
    .limit(MOST)
)


def _rows(connection: Connection, subject: str, since: datetime) -> dict[str, Attempt]:
    found = _EARLIER.rows(connection, {"subject": subject, "since": to_micros(since)})
    return {call_id: Attempt(*rest) for call_id, *rest in found}
