"""A bucket by way of a folder. What is written goes into the folder, durably, as if there were no
bucket; from there it is carried up, a long recording piece by piece while the call runs, and the
file goes only once the bucket has the whole object. So a bucket that is down stops nothing until
the folder has taken all it may."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from callguard.clock import Clock
from callguard.recording.store.bucket import Bucket
from callguard.recording.store.carrier import Carrier
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import (
    WORKING_SUFFIX,
    ObjectMissing,
    ObjectStoreError,
    ObjectWriter,
)
from callguard.recording.store.retries import Retries
from callguard.recording.store.waiting import Waiting

log = structlog.get_logger(__name__)

TRANSFERS = 4
"""How many objects go up at once; each takes a few megabytes of memory at most."""

LOOK_S = 1.0
SWEEP = timedelta(days=1)
_TIDYING = "unfinished uploads"


class StagedStore:
    """See ObjectStore. Reading looks into the folder first, so what is on its way is found too."""

    def __init__(
        self,
        folder: FolderStore,
        bucket: Bucket,
        clock: Clock,
        *,
        part_bytes: int,
        queue_bytes: int,
    ) -> None:
        """``queue_bytes``: past so many that wait nothing more is recorded. Raises
        ObjectStoreError when the folder cannot be listed; the bucket is not asked yet."""
        self._folder = folder
        self._bucket = bucket
        self._clock = clock
        self._queue_bytes = queue_bytes
        self._waiting = Waiting(folder.objects_folder, folder.parts_folder)
        found = frozenset({*self._waiting.look(), *self._waiting.growing()})
        self.carrier = Carrier(folder, bucket, part_bytes, found)
        self._retries = Retries()
        self._tidying = Retries()
        self._busy: set[str] = set()
        self._due: dict[str, None] = {}
        self._unlisted: tuple[datetime, str] | None = None
        """Since when it is not known what waits, and why."""
        self._swept = clock.now() - 2 * SWEEP
        self._woken = asyncio.Event()

    def put(self, name: str, pieces: Iterable[bytes]) -> int:
        """See ObjectStore.put."""
        return self._folder.put(name, pieces)

    def writer(self, name: str, *, resume: bool = False) -> ObjectWriter:
        """See ObjectStore.writer. The bucket is not asked whether it has such an object."""
        return self._folder.writer(name, resume=resume)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """See ObjectStore.read."""
        try:
            return self._folder.read(name, offset, size)
        except ObjectMissing:  # objects move one way only, so it cannot slip past
            if self._is_here_or_nowhere(name):
                raise
        return self._bucket.read(name, offset, size)

    def size(self, name: str) -> int:
        """See ObjectStore.size."""
        try:
            return self._folder.size(name)
        except ObjectMissing:
            stored = None if self._is_here_or_nowhere(name) else self._bucket.stored(name)
            if stored is None:
                raise
            return stored.size

    def exists(self, name: str) -> bool:
        """See ObjectStore.exists."""
        try:
            self.size(name)
        except ObjectMissing:
            return False
        return True

    def delete(self, names: Iterable[str]) -> int:
        """See ObjectStore.delete. Raises ObjectStoreError while the bucket is down, and then must
        be said again. Counts those found in the folder."""
        wanted = list(names)
        working = [name for name in wanted if name.endswith(WORKING_SUFFIX)]
        stored = [name for name in wanted if not name.endswith(WORKING_SUFFIX)]
        return self._folder.delete(working) + self.carrier.delete(stored)

    def names(self) -> Iterator[str]:
        """See ObjectStore.names."""
        here = set(self._folder.names())
        yield from here
        for name in self._bucket.names():
            if name not in here:
                yield name

    def parts(self) -> list[str]:
        """See ObjectStore.parts."""
        return self._folder.parts()

    def has_room(self) -> bool:
        """See ObjectStore.has_room."""
        return self._folder.has_room() and self._waiting.bytes <= self._queue_bytes

    @property
    def alarm(self) -> str | None:
        """See ObjectStore.alarm: since when the bucket takes nothing, why, and how much waits; or
        since when unfinished uploads stay in it."""
        failing = [one for one in self._retries.failing if one.times > 1]
        waiting = f"{self._waiting.bytes / 1e6:.1f} MB wait for the bucket"
        if self._waiting.bytes > self._queue_bytes:
            waiting += ": nothing more is recorded"
        elif not failing and self._unlisted is None:
            return self._folder.alarm or self._untidy
        if self._unlisted is not None:
            since, reason = self._unlisted
        elif failing:
            since, reason = failing[0].since, failing[0].reason
        else:
            return waiting
        return f"recordings are not stored since {_said(since)}: {reason}; {waiting}"

    @property
    def _untidy(self) -> str | None:
        for one in self._tidying.failing:
            if one.times > 1:
                return (
                    f"unfinished uploads stay in the bucket since {_said(one.since)}: {one.reason}"
                )
        return None

    @property
    def waiting_bytes(self) -> int:
        """How much waits for the bucket."""
        return self._waiting.bytes

    async def run(self) -> None:
        """Carries for ever."""
        # Threads of their own: a slow bucket must not take those that others wait for.
        threads = ThreadPoolExecutor(TRANSFERS + 2, thread_name_prefix="bucket")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(threads))
                group.create_task(self._keep_tidy(threads))
                for _ in range(TRANSFERS):
                    group.create_task(self._work(threads))
        finally:
            self._bucket.close()
            threads.shutdown(wait=False, cancel_futures=True)

    def look(self) -> dict[str, None]:
        """What there is to carry, in the order of names: objects, then parts that have grown."""
        waiting, growing = self._waiting.look(), self._waiting.growing()
        long = (name for name, size in growing.items() if size > self.carrier.reaches(name))
        stored = (name for name in waiting if not name.endswith(WORKING_SUFFIX))
        return dict.fromkeys([*sorted(stored), *sorted(long)])

    def carry(self, name: str) -> None:
        """One step for one object. Raises ObjectStoreError."""
        self.carrier.ahead(name)
        self.carrier.carry(name)

    def tidy(self) -> None:
        """Gives up uploads that nobody needs any more. Raises ObjectStoreError."""
        self.carrier.tidy()
        now = self._clock.now()
        if abs(now - self._swept) >= SWEEP:
            self.carrier.sweep(now)
            self._swept = now

    def _is_here_or_nowhere(self, name: str) -> bool:
        """Whether the bucket need not be asked: while a recording is written, nothing that seals it
        waits for the bucket."""
        return name.endswith(WORKING_SUFFIX) or self._folder.is_part(name)

    async def _watch(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._due = await loop.run_in_executor(threads, self.look)
                self._retries.only(self._busy, self._due)
                self._unlisted = None
            except ObjectStoreError as error:
                if self._unlisted is None:
                    log.error("waiting_objects_not_listed", reason=str(error))
                    self._unlisted = self._clock.now(), str(error)
            if self._due:
                self._woken.set()
            await asyncio.sleep(LOOK_S)

    async def _keep_tidy(self, threads: ThreadPoolExecutor) -> None:
        while True:
            if self._tidying.may(_TIDYING, self._clock.monotonic()):
                await self._try(threads, self._tidying, _TIDYING, self.tidy)
            await asyncio.sleep(LOOK_S)

    async def _work(self, threads: ThreadPoolExecutor) -> None:
        while True:
            name = self._next()
            if name is None:
                self._woken.clear()
                await self._woken.wait()
                continue
            self._busy.add(name)
            try:
                await self._try(threads, self._retries, name, partial(self.carry, name))
            finally:
                self._busy.discard(name)

    def _next(self) -> str | None:
        now = self._clock.monotonic()
        if self._retries.paused(now):
            return None
        for name in self._due:
            if name not in self._busy and self._retries.may(name, now):
                del self._due[name]
                return name
        return None

    async def _try(
        self, threads: ThreadPoolExecutor, retries: Retries, what: str, step: Callable[[], None]
    ) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(threads, step)
        except Exception as error:  # one that cannot be stored holds up no other
            reason = str(error) or type(error).__name__
            again = retries.failed(
                what, reason, self._clock.now(), self._clock.monotonic(), random.random()
            )
            log.warning("not_stored", object=what, reason=reason, again_in_s=round(again, 1))
        else:
            retries.succeeded(what)


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
