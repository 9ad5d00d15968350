"""Holds as they are told: one in full, and what of those that stand needs an eye."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, case, func, select

from callguard.storage.schema import holds

SHOWN: Final = 20
"""Most holds that the page names."""


@dataclass(frozen=True, slots=True)
class HoldInShort:
    """``name`` is that of its case, or its id where it has none."""

    name: str
    tenant: str
    review_at: datetime | None
    overdue: bool


@dataclass(frozen=True, slots=True)
class StandingHolds:
    """Those that stand; ``first`` are the ones to be reviewed soonest."""

    total: int = 0
    overdue: int = 0
    first: tuple[HoldInShort, ...] = ()

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line where somebody should have looked at them."""
        if not self.overdue:
            return ()
        return (f"holds whose review is overdue: {self.overdue}; see callguard hold list",)


def read_standing(connection: Connection, now: datetime) -> StandingHolds:
    """Cheap enough to be asked every second."""
    stands, late = holds.c.released_at.is_(None), holds.c.review_at <= now
    counted = select(func.count(), func.count(case((late, 1)))).where(stands)
    total, overdue = connection.execute(counted).one()
    soonest = (holds.c.review_at.is_(None), holds.c.review_at, holds.c.at, holds.c.id)
    rows = connection.execute(select(holds).where(stands).order_by(*soonest).limit(SHOWN))
    first = tuple(
        HoldInShort(row.case_id or row.id, row.tenant_id or "", row.review_at, is_overdue(row, now))
        for row in rows
    )
    return StandingHolds(total, overdue, first)


def as_told(row: Any, now: datetime) -> dict[str, object]:
    """A hold in words that JSON has, its subject in full."""
    return {
        "hold": row.id,
        "case": row.case_id,
        "tenant": row.tenant_id,
        "subject": row.subject,
        "call": row.call_id,
        "from": _second(row.from_at),
        "to": _second(row.to_at),
        "everything": is_of_everything(row),
        "reason": row.reason,
        "author": row.author,
        "at": _second(row.at),
        "review": _second(row.review_at),
        "overdue": is_overdue(row, now),
        "released": _second(row.released_at),
        "released_by": row.released_by,
    }


def is_of_everything(row: Any) -> bool:
    """Whether it names nothing."""
    named = (row.tenant_id, row.subject, row.call_id, row.from_at, row.to_at)
    return all(part is None for part in named)


def is_overdue(row: Any, now: datetime) -> bool:
    """Whether it stands and its review is past."""
    return row.released_at is None and row.review_at is not None and row.review_at <= now


def _second(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
