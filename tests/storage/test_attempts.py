"""An attempt counts from its verdict on: nobody overtakes the counter, and it forgets nothing."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.facts import Attempt
from callguard.storage.attempts import (
    REMEMBERED_S,
    Claim,
    Conversation,
    LocalAttempts,
    as_row,
    note_answered,
    withdraw_attempt,
)
from callguard.storage.database import Database
from callguard.storage.grouped import GroupedReads
from callguard.storage.journal import Journal
from tests.clock import HandClock

SUBJECT = "+33123456789"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=365)


def a_claim(number: int, at: datetime = NOON, subject: str = SUBJECT) -> Claim:
    return Claim(f"call-{number}", subject, Attempt(at, "acme", "marketing", campaign="spring"))


@pytest.fixture
def counters(database: Database, clock: HandClock) -> LocalAttempts:
    return LocalAttempts(GroupedReads(database), clock)


async def test_of_many_at_once_each_sees_those_before_it(counters: LocalAttempts) -> None:
    seen = await asyncio.gather(*(counters.claim(a_claim(n), LONG_AGO) for n in range(50)))
    assert sorted(len(earlier) for earlier in seen) == list(range(50))


async def test_what_is_released_counts_no_more(counters: LocalAttempts) -> None:
    await counters.claim(a_claim(1), LONG_AGO)
    counters.release(a_claim(1))
    assert await counters.claim(a_claim(2), LONG_AGO) == ()
    counters.release(a_claim(9))  # one that never was


async def test_a_claim_and_its_row_are_one_attempt(
    database: Database, journal: Journal, counters: LocalAttempts, tenant: str
) -> None:
    claim = a_claim(1)
    await counters.claim(claim, LONG_AGO)
    await journal.insert(as_row(claim, None))
    assert await counters.earlier(SUBJECT, LONG_AGO) == (claim.attempt,)


async def test_another_process_counts_what_this_one_made_durable(
    database: Database, journal: Journal, clock: HandClock, tenant: str
) -> None:
    await journal.insert(as_row(a_claim(1), None), as_row(a_claim(2, subject="+1"), None))
    fresh = LocalAttempts(GroupedReads(database), clock)
    assert await fresh.earlier(SUBJECT, LONG_AGO) == (a_claim(1).attempt,)


async def test_what_is_older_than_asked_for_is_left_out(
    database: Database, journal: Journal, counters: LocalAttempts, tenant: str
) -> None:
    await journal.insert(as_row(a_claim(1), None))
    assert await counters.earlier(SUBJECT, NOON) == ()
    assert len(await counters.earlier(SUBJECT, NOON - timedelta(microseconds=1))) == 1


async def test_claims_are_forgotten_when_their_rows_must_be_there(
    counters: LocalAttempts, clock: HandClock
) -> None:
    await counters.claim(a_claim(1), None)
    clock.advance(REMEMBERED_S + 1)
    await counters.claim(a_claim(2, subject="+1"), None)
    assert await counters.earlier(SUBJECT, LONG_AGO) == ()  # its row was never written here


async def test_asking_for_nothing_counts_all_the_same(counters: LocalAttempts) -> None:
    assert await counters.claim(a_claim(1), None) == ()
    assert await counters.claim(a_claim(2), LONG_AGO) == (a_claim(1).attempt,)


async def test_a_conversation_is_seen_at_once_and_kept(
    database: Database, journal: Journal, counters: LocalAttempts, clock: HandClock, tenant: str
) -> None:
    claim = a_claim(1)
    await counters.claim(claim, LONG_AGO)
    await journal.insert(as_row(claim, None))
    later = NOON + timedelta(seconds=9)
    conversation = Conversation(SUBJECT, NOON, claim.call_id, later)
    counters.answered(conversation)
    counters.answered(Conversation(SUBJECT, NOON, "unknown", later))
    assert [a.answered_at for a in await counters.earlier(SUBJECT, LONG_AGO)] == [later]
    clock.advance(REMEMBERED_S + 1)  # the claim is forgotten, the conversation is not
    await counters.claim(a_claim(2, subject="+1"), None)
    assert [a.answered_at for a in await counters.earlier(SUBJECT, LONG_AGO)] == [later]
    await journal.write(lambda c: note_answered(c, conversation))
    counters.kept(conversation)
    assert [c.call_id for c in counters.unkept()] == ["unknown"]
    fresh = LocalAttempts(GroupedReads(database), clock)
    assert [a.answered_at for a in await fresh.earlier(SUBJECT, LONG_AGO)] == [later]


async def test_a_withdrawn_attempt_leaves_no_row(
    database: Database, journal: Journal, clock: HandClock, tenant: str
) -> None:
    await journal.insert(as_row(a_claim(1), None), as_row(a_claim(2), None))
    await journal.write(lambda c: withdraw_attempt(c, SUBJECT, NOON, "call-1"))
    fresh = LocalAttempts(GroupedReads(database), clock)
    assert len(await fresh.earlier(SUBJECT, LONG_AGO)) == 1


async def test_counters_that_cannot_be_reached_say_so_and_count_nothing(
    database: Database, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(query: object, *, timeout: float = 2.0) -> object:
        raise OSError("gone")

    counters = LocalAttempts(GroupedReads(database), clock)
    with monkeypatch.context() as patched:
        patched.setattr(database, "read", down)
        with pytest.raises(OSError, match="gone"):
            await counters.claim(a_claim(1), LONG_AGO)
    assert await counters.earlier(SUBJECT, LONG_AGO) == ()
