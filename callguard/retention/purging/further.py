"""What else a purge takes: rooms whose data does not lie in a table with ``expires_at``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Due:
    """What has expired of one class and tenant. ``bytes`` is of sealed audio or of files."""

    data_class: str
    tenant: str | None
    count: int
    oldest: datetime
    bytes: int

    def as_json(self) -> dict[str, object]:
        return {
            "class": self.data_class,
            "tenant": self.tenant,
            "count": self.count,
            "oldest": self.oldest.isoformat(),
            "bytes": self.bytes,
        }


class Further(Protocol):
    """One such room. Both may be called at any time and after any crash."""

    @property
    def name(self) -> str:
        """As the certificate names it."""
        ...

    async def due(self, now: datetime) -> Sequence[Due]:
        """What ``take`` would take."""
        ...

    async def take(self, now: datetime) -> Mapping[str, int]:
        """Takes all that is due; how many of each data class. Raises what its means raise; what is
        left is taken the next time."""
        ...
