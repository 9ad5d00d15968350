"""What became of an erased subject: what went, what stayed and why. Counts, never a number."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, update

from callguard.audit.log import Entry, append
from callguard.storage.schema import purges

HOLD = "a hold"
WISH = "an opt-out stays, so that the wish is heeded"
ELSEWHERE = "a recording of somebody else's call"


@dataclass(slots=True)
class Outcome:
    """What was taken, by data class; what stays, by class and reason; how many recordings were
    under way, whose row the next purge takes."""

    counts: Counter[str] = field(default_factory=Counter)
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    under_way: int = 0

    def as_json(self) -> dict[str, object]:
        """As it stands in the certificate."""
        return {
            "counts": {name: count for name, count in sorted(self.counts.items()) if count},
            "kept": [
                {"class": name, "basis": basis, "count": count}
                for (name, basis), count in sorted(self.kept.items())
                if count
            ],
            "under_way": self.under_way,
        }


def note(connection: Connection, name: str, outcome: Outcome) -> None:
    """Enters in the certificate what was taken so far, in the transaction that takes it."""
    so_far = {"id": name, "kind": "erase", **outcome.as_json()}
    connection.execute(update(purges).where(purges.c.id == name).values(certificate=so_far))


def certify(
    connection: Connection,
    name: str,
    at: datetime,
    now: datetime,
    tenant: str,
    actor: str,
    reason: str,
    outcome: Outcome,
) -> None:
    certificate: dict[str, object] = {
        "id": name,
        "kind": "erase",
        "tenant": tenant,
        "started_at": at.isoformat(),
        "finished_at": now.isoformat(),
        **outcome.as_json(),
    }
    connection.execute(
        update(purges).where(purges.c.id == name).values(finished_at=now, certificate=certificate)
    )
    details = {**certificate, "reason": reason}
    append(connection, Entry(now, actor, "subject.erase", f"purge:{name}", tenant, details))
