"""Rewrapping the headers of a tenant: read, rewrapped and replaced in batches."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from callguard.clock import Clock
from callguard.recording import age
from callguard.recording.keyring import Keyring
from callguard.recording.keys import KeyStoreError, unwrap_file_key
from callguard.recording.recipients import digest_of
from callguard.recording.rekeying.keyed import HeaderRow, read_some, replace_headers, sets_of_others
from callguard.recording.rekeying.rewrap_workers import InProcesses, InThread, Rewraps
from callguard.recording.rekeying.rewrapping import Kept, Result
from callguard.tenants.keys import TenantKeys

T = TypeVar("T")

MANY = 1_000
"""From so many headers on, starting processes of their own is worth it."""


class Read(Protocol):
    """Runs a query in a reading transaction."""

    def __call__(self, query: Callable[[Connection], T], /) -> Awaitable[T]: ...


class Write(Protocol):
    """Runs work in one durable transaction."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]: ...


def _nobody(done: int, whole: int) -> None:
    """Nobody follows."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a rotation stands on. ``batch`` headers go into one transaction, ``pause_s`` lie between
    two of them; ``processes`` rewrap where there are many. ``told`` hears how far it is."""

    clock: Clock
    read: Read
    write: Write
    keyring: Keyring
    actor: str
    batch: int = 250
    pause_s: float = 0.0
    processes: int = 2
    told: Callable[[int, int], None] = _nobody


@dataclass(slots=True)
class Tally:
    rewritten: int = 0
    not_ours: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)


def open_rewraps(
    means: Means, identities: Sequence[age.Identity], recipients: Sequence[str], count: int
) -> Rewraps:
    if count < MANY or means.processes < 1 or not identities:
        return InThread(identities, recipients)
    return InProcesses(identities, recipients, means.processes)


async def rewrap_all(
    means: Means, keys: TenantKeys, rewraps: Rewraps, tally: Tally, whole: int
) -> None:
    """Batches are rewrapped while others are read and written."""
    target = digest_of(keys.present)
    recipients = [age.parse_recipient(text) for text in keys.present]
    waiting: deque[tuple[list[HeaderRow], asyncio.Task[list[Result]]]] = deque()
    done = 0

    async def settle() -> int:
        batch, task = waiting.popleft()
        results = await task
        if any(
            r is Kept.NOT_OURS and one.wrapped_file_key
            for one, r in zip(batch, results, strict=True)
        ):
            results = await asyncio.to_thread(_by_file_keys, means, recipients, batch, results)
        changed: list[dict[str, object]] = []
        for one, result in zip(batch, results, strict=True):
            if isinstance(result, bytes):
                changed.append({"its_id": one.id, "was": one.header, "header": result})
            else:
                (tally.damaged if result is Kept.DAMAGED else tally.not_ours).add(one.id)
        if changed:
            enter = partial(replace_headers, tenant=keys.tenant, target=target, changed=changed)
            tally.rewritten += await means.write(enter)
        if means.pause_s:
            await asyncio.sleep(means.pause_s)
        return len(batch)

    try:
        async for batch in _batches(means, keys.tenant, target):
            task = asyncio.create_task(rewraps.rewrap([one.header for one in batch]))
            waiting.append((batch, task))
            if len(waiting) > rewraps.width + 1:
                done += await settle()
                means.told(done, max(whole, done))
        while waiting:
            done += await settle()
            means.told(done, max(whole, done))
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


async def _batches(means: Means, tenant: str, target: str) -> AsyncIterator[list[HeaderRow]]:
    """What is wrapped for others, each once; also what came while this went on."""
    reached: dict[str | None, str] = {}
    while True:
        found = False
        for keyed_for in await means.read(partial(sets_of_others, tenant=tenant, target=target)):
            while True:
                query = partial(
                    read_some,
                    tenant=tenant,
                    keyed_for=keyed_for,
                    after=reached.get(keyed_for, ""),
                    limit=means.batch,
                )
                if not (batch := await means.read(query)):
                    break
                found, reached[keyed_for] = True, batch[-1].id
                yield batch
        if not found:
            return


def _by_file_keys(
    means: Means,
    recipients: Sequence[age.Recipient],
    batch: Sequence[HeaderRow],
    results: Sequence[Result],
) -> list[Result]:
    """A recording in progress has its file key here, whoever its header is for."""
    found = list(results)
    for place, one in enumerate(batch):
        if found[place] is Kept.NOT_OURS and one.wrapped_file_key is not None:
            try:
                file_key = unwrap_file_key(means.keyring.in_progress, one.wrapped_file_key, one.id)
            except KeyStoreError:
                continue
            found[place] = age.build_header(file_key, recipients)
    return found
