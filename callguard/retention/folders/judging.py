"""Whether what lies in a managed folder must go, and whether it may."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from callguard.config import Asterisk, Folder
from callguard.retention.folders.age import AHEAD
from callguard.retention.folders.items import Item
from callguard.retention.folders.unread import LiveFile, live_files
from callguard.retention.holds.files import FileHolds, read_file_holds
from callguard.tenants.keeping import kept_until
from callguard.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Judge:
    """For one folder at one moment. ``all_of`` is the tenant of which everything must go.
    ``vague`` are the holds as they cover what says of nobody whom it is about."""

    folder: Folder
    now: datetime
    tenant_of: Callable[[str], Tenant | None]
    holds: FileHolds
    vague: FileHolds
    live: Sequence[LiveFile]
    all_of: str | None = None
    told: set[str] = field(default_factory=set)

    def due_at(self, item: Item) -> datetime | None:
        """From when on it must be gone, by its tenant's policy, the law and the end of its
        contract; None where no date is known, or nobody knows whose it is. Whom it is about is
        not known either, so what a law says of one region's subjects does not concern it."""
        tenant = self._tenant(item)
        if tenant is None or item.age.since is None:
            return None
        return kept_until(tenant, self.folder.data_class, item.age.since)

    def is_due(self, item: Item) -> bool:
        if self.all_of is not None:
            return item.tenant == self.all_of
        at = self.due_at(item)
        return at is not None and at <= self.now

    def is_held(self, item: Item) -> bool:
        """Whether a hold covers it, at any moment of its making. Of one that names no number, a
        hold on anybody or any call may."""
        since = item.age.since or self.now
        until = max(since, self.now + AHEAD if item.age.fault else since)
        holds = self.holds if item.named else self.vague
        return holds.cover(item.tenant, since, item.about, until=until)

    def again(self, connection: Connection) -> "Judge":
        """With the holds that stand by now."""
        holds = read_file_holds(connection)
        return replace(self, holds=holds, vague=_vague(holds))

    def fault(self, item: Item) -> str | None:
        """Why nobody can say when it goes, once for each tenant; None where that is known."""
        if item.tenant is None or self._tenant(item) is not None or item.tenant in self.told:
            return None
        self.told.add(item.tenant)
        return f"there is no tenant {item.tenant}, so nothing of its goes"

    def _tenant(self, item: Item) -> Tenant | None:
        return None if item.tenant is None else self.tenant_of(item.tenant)


def read_judge(
    connection: Connection,
    folder: Folder,
    pbxs: Sequence[Asterisk],
    tenant_of: Callable[[str], Tenant | None],
    now: datetime,
    *,
    all_of: str | None = None,
) -> Judge:
    """With what the database says of holds, and of what was read."""
    holds = read_file_holds(connection)
    return Judge(
        folder,
        now,
        tenant_of,
        holds,
        _vague(holds),
        live_files(connection, pbxs),
        all_of,
    )


def _vague(holds: FileHolds) -> FileHolds:
    return FileHolds([replace(hold, digits=None) for hold in holds.holds])
