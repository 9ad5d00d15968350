"""How it stands with one managed folder: what it holds, what is due, what is in the way."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from callguard.config import Folder
from callguard.retention.folders.items import Item
from callguard.retention.folders.judging import Judge
from callguard.retention.folders.walk import shown
from callguard.retention.purging.further import Due

SHOWN = 100
"""Most faults of one folder that are told one by one."""


@dataclass(slots=True)
class Faults:
    """What stands in the way in one folder, the first of it in words. ``unseen`` is how often
    files may lie behind it."""

    count: int = 0
    unseen: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, where: tuple[str, ...], what: str, *, unseen: bool = False) -> None:
        self.count += 1
        self.unseen += unseen
        if len(self.lines) < SHOWN:
            self.lines.append(f"{shown(where)}: {what}")


@dataclass(slots=True)
class Standing:
    """One folder, looked through. ``dues`` are what must go, ``held`` and ``waiting`` how much of
    that may not (yet). ``closed`` is why the folder cannot be governed at all."""

    folder: Folder
    closed: str | None = None
    files: int = 0
    bytes: int = 0
    linked: int = 0
    held: int = 0
    waiting: int = 0
    oldest: datetime | None = None
    next_due: datetime | None = None
    dues: dict[str, Due] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)


def due_of(items: Iterator[Item], judge: Judge, standing: Standing) -> Generator[Item, None, None]:
    """Those that go; what stands in the way is noted."""
    for item in items:
        count(standing, item, judge)
        if judge.is_due(item) and item.blocked is None and not judge.is_held(item):
            yield item


def count(standing: Standing, item: Item, judge: Judge) -> None:
    standing.files += len(item.files)
    standing.bytes += item.bytes
    standing.linked += any(file.links > 1 for file in item.files)
    if fault := judge.fault(item):
        standing.faults.add(item.where, fault)
    if item.age.since is not None and (standing.oldest is None or item.age.since < standing.oldest):
        standing.oldest = item.age.since
    at = judge.due_at(item)
    if at is None or item.tenant is None:
        return
    if standing.next_due is None or at < standing.next_due:
        standing.next_due = at
    if not judge.is_due(item):
        return
    if judge.is_held(item):
        standing.held += 1
    elif item.blocked is not None:
        standing.waiting += 1
    else:
        had = standing.dues.get(item.tenant)
        standing.dues[item.tenant] = Due(
            standing.folder.data_class,
            item.tenant,
            (had.count if had else 0) + 1,
            min(had.oldest, at) if had else at,
            (had.bytes if had else 0) + item.bytes,
        )
