"""Managed folders, for the purge: what is due in them, taking it, and what stands in the way."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import islice

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import Clock
from callguard.config import Folder, Settings
from callguard.ids import uuid7
from callguard.recording.erasure import Write
from callguard.retention.alone import alone
from callguard.retention.classes import CLASSES
from callguard.retention.folders import certificate
from callguard.retention.folders.certificate import Run, Tally
from callguard.retention.folders.items import Item, Looker
from callguard.retention.folders.judging import Judge, read_judge
from callguard.retention.folders.own import own_places
from callguard.retention.folders.pace import Pace
from callguard.retention.folders.root import FolderError, Root, faults_of, opened
from callguard.retention.folders.standing import Faults, Standing, count, due_of
from callguard.retention.folders.taking import Taker
from callguard.retention.purging.further import Due
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.tenants.tenant import Tenant

log = structlog.get_logger(__name__)

READ_S = 30.0
ROOTS_S = 60.0

BATCH = 500
"""Most files or messages that one line of evidence speaks of."""


IN_FILES = frozenset(name for name, one in CLASSES.items() if one.kept_in == "files")
"""Classes of which callguard has nothing but files. Of others a floor of the law may stand."""


def owners_of(folder: Folder) -> set[str | None]:
    """The tenants whose files may lie in it."""
    return {folder.tenant, *folder.tenants.values()}


class ManagedFolders:
    """All of them. A ``Further`` of the purge."""

    name = "folders"

    def __init__(
        self,
        settings: Settings,
        database: Database,
        write: Write,
        tenant_of: Callable[[str], Tenant | None],
        clock: Clock,
        *,
        actor: str,
    ) -> None:
        self._settings = settings
        self._folders = settings.folders
        self._lock = settings.data / "folders.lock"
        self._database = database
        self._write = write
        self._tenant_of = tenant_of
        self._clock = clock
        self._actor = actor
        self._closed: dict[str, str] = {}
        self._in_the_way: dict[str, str] = {}

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line for each folder that cannot be governed, or in which something is in the way;
        of the last look or run."""
        return tuple(f"folder {k}: {v}" for k, v in {**self._in_the_way, **self._closed}.items())

    async def run(self) -> None:
        """Looks through all at the start, which takes away the locks that a killed process left;
        then each minute whether the roots are there, for the alarms."""
        try:
            await self.look(self._clock.now())
        except (SQLAlchemyError, OSError) as error:
            log.warning("folders_not_looked_through", reason=one_line(error))
        while True:
            await asyncio.sleep(ROOTS_S)
            self.look_at_roots()

    def look_at_roots(self) -> None:
        """Whether each can be opened."""
        for folder in self._folders:
            self._closed.pop(folder.name, None)
            try:
                with opened(folder.path, own_places(self._settings, folder)):
                    pass
            except FolderError as error:
                self._closed[folder.name] = str(error)

    async def look(self, now: datetime, only: str | None = None) -> list[Standing]:
        """Looks through all, or the one of that name; takes nothing."""
        some = [folder for folder in self._folders if only in (None, folder.name)]
        pace = Pace()
        found = [await pace.in_thread(partial(self._look, folder, now, pace)) for folder in some]
        self._tell(found)
        return found

    async def due(self, now: datetime) -> list[Due]:
        """See Further.due."""
        return [due for one in await self.look(now) for due in one.dues.values()]

    async def take(self, now: datetime) -> dict[str, int]:
        """See Further.take. A folder that cannot be governed keeps none of the others. Raises
        FolderError where another process takes from them just now."""
        return await self._take_all(now, lambda _: True, everything=False)

    async def take_all(
        self,
        tenant: str,
        now: datetime | None = None,
        classes: Collection[str] = IN_FILES,
    ) -> dict[str, int]:
        """Takes whatever a tenant has in them, of these classes, whatever its age, greetings too;
        but not what is held, is being written, or is not read yet. How many of each class."""

        def wanted(folder: Folder) -> bool:
            return tenant in owners_of(folder) and folder.data_class in classes

        at = self._clock.now() if now is None else now
        return await self._take_all(at, wanted, everything=True, tenant=tenant)

    async def left(self, tenant: str, now: datetime | None = None) -> dict[str, int]:
        """How much of a tenant's is still there, by class, whatever its age; a folder in one that
        cannot be looked into counts as one. Raises FolderError where a root cannot: then nobody
        knows."""
        at = self._clock.now() if now is None else now
        counts: Counter[str] = Counter()
        pace = Pace()
        for folder in self._folders:
            if tenant in owners_of(folder):
                look = partial(self._left, folder, tenant, at, pace)
                counts[folder.data_class] += await pace.in_thread(look)
        return {name: number for name, number in counts.items() if number}

    def _look(self, folder: Folder, now: datetime, pace: Pace) -> Standing:
        standing = Standing(folder)
        try:
            with opened(folder.path, own_places(self._settings, folder)) as root:
                for line in faults_of(root):
                    standing.faults.add((), line)
                with self._database.reading() as connection:
                    judge = self._judge(connection, folder, now)
                for item in self._looker(folder, root, judge, standing.faults, pace).items():
                    count(standing, item, judge)
        except FolderError as error:
            standing.closed = str(error)
        return standing

    def _left(self, folder: Folder, tenant: str, now: datetime, pace: Pace) -> int:
        faults = Faults()
        with opened(folder.path, own_places(self._settings, folder)) as root:
            with self._database.reading() as connection:
                judge = self._judge(connection, folder, now)
            looker = self._looker(folder, root, judge, faults, pace, everything=True)
            seen = sum(item.tenant == tenant for item in looker.items())
        return seen + faults.unseen

    def _judge(
        self, connection: Connection, folder: Folder, now: datetime, tenant: str | None = None
    ) -> Judge:
        asterisks = self._settings.asterisk
        return read_judge(connection, folder, asterisks, self._tenant_of, now, all_of=tenant)

    def _looker(
        self,
        folder: Folder,
        root: Root,
        judge: Judge,
        faults: Faults,
        pace: Pace,
        *,
        everything: bool = False,
    ) -> Looker:
        return Looker(folder, root, judge.live, judge.now, faults.add, pace, everything=everything)

    async def _take_all(
        self,
        now: datetime,
        wanted: Callable[[Folder], bool],
        *,
        everything: bool,
        tenant: str | None = None,
    ) -> dict[str, int]:
        counts: Counter[str] = Counter()
        found = []
        with alone(self._lock) as mine:
            if not mine:
                raise FolderError("another process takes from the managed folders just now")
            for folder in filter(wanted, self._folders):
                standing = Standing(folder)
                try:
                    with opened(folder.path, own_places(self._settings, folder)) as root:
                        taken = await self._take(folder, root, standing, now, everything, tenant)
                    counts[folder.data_class] += taken
                except FolderError as error:
                    standing.closed = str(error)
                    log.error("folder_not_governed", folder=folder.name, reason=str(error))
                found.append(standing)
        self._tell(found)
        return dict(counts)

    async def _take(
        self,
        folder: Folder,
        root: Root,
        standing: Standing,
        now: datetime,
        everything: bool,
        tenant: str | None,
    ) -> int:
        judge, (killed, counted) = await self._database.read(
            lambda c: (
                self._judge(c, folder, now, tenant),
                certificate.cut_short(c, folder.name),
            ),
            timeout=READ_S,
        )
        pace = Pace()
        looker = self._looker(folder, root, judge, standing.faults, pace, everything=everything)
        run = Run(str(uuid7(now)), folder.name, folder.data_class, now, self._actor)
        tally: Tally | None = None
        taker = Taker(folder, root, standing.faults.add, pace)
        still: dict[str, Item] = {}
        items = _watched(looker.items(), counted, still)
        with closing(due_of(items, judge, standing)) as due:
            while batch := await pace.in_thread(lambda: list(islice(due, BATCH))):
                if tally is None:
                    await self._write(run.begin)
                    tally = Tally()
                note = partial(self._note, run=run, judge=judge, batch=batch, counted=counted)
                allowed, noted = await self._write(partial(note, before=tally))
                left = await pace.in_thread(partial(taker.take, allowed))
                for item in set(allowed).difference(left):
                    still.pop(item.mark, None)
                tally = noted.without([item for item in left if item.mark not in counted])
        if killed:
            ended = partial(certificate.close, ids=killed, at=self._clock.now(), still=still)
            await self._write(ended)
        if tally is None:
            return 0
        await self._write(partial(run.end, tally=tally, at=self._clock.now()))
        log.info("folder_purged", folder=folder.name, taken=tally.items.total(), files=tally.files)
        return tally.items.total()

    def _note(
        self,
        connection: Connection,
        *,
        run: Run,
        judge: Judge,
        batch: Sequence[Item],
        counted: Collection[str],
        before: Tally,
    ) -> tuple[list[Item], Tally]:
        """Asks for holds again and writes down what goes, in one transaction: a hold that is there
        by then keeps it."""
        asked = judge.again(connection)
        allowed = [item for item in batch if not asked.is_held(item)]
        tally = before.with_([item for item in allowed if item.mark not in counted])
        run.note(connection, tally, allowed)
        return allowed, tally

    def _tell(self, found: Sequence[Standing]) -> None:
        for one in found:
            self._closed.pop(one.folder.name, None)
            self._in_the_way.pop(one.folder.name, None)
            if one.closed is not None:
                self._closed[one.folder.name] = one.closed
            elif n := one.faults.count:
                things = "one thing is" if n == 1 else f"{n} things are"
                self._in_the_way[one.folder.name] = f"{things} in the way: see folder check"


def _watched(
    items: Iterator[Item], counted: Collection[str], still: dict[str, Item]
) -> Iterator[Item]:
    """Notes what a run had counted that was killed, and is there all the same."""
    for item in items:
        if counted and (mark := item.mark) in counted:
            still[mark] = item
        yield item
