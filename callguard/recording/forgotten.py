"""Certificates of erasures that somebody else had begun: their lines stood in the erasure ledger,
and whoever came next applied them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, insert

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.retention.erasures.ledger import ARCHIVE, RECORDING, Erasure
from callguard.storage.schema import purges

_COUNTED = (RECORDING, ARCHIVE)
"""What a purge counts where it applies the line itself, and nobody else does."""


def certify(
    connection: Connection,
    classes: Mapping[str, int],
    at: datetime,
    actor: str,
    *,
    appended: int = 0,
) -> None:
    """Says, in the transaction that did it or right behind it, how many lines of each class were
    applied; ``appended`` is how many the ledger did not have and has now."""
    certificate = {
        "id": str(uuid7(at)),
        "started_at": at.isoformat(),
        "finished_at": at.isoformat(),
        "counts": dict(classes),
        "forgotten_again": sum(classes.values()),
        "appended": appended,
    }
    connection.execute(
        insert(purges).values(
            id=certificate["id"],
            kind="forgotten",
            started_at=at,
            finished_at=at,
            certificate=certificate,
        )
    )
    target = f"purge:{certificate['id']}"
    append(connection, Entry(at, actor, "erasures.forget_again", target, None, certificate))


def certify_others(
    connection: Connection, applied: Iterable[Erasure], chosen: Sequence[Erasure]
) -> None:
    """In the transaction that applied lines for the sake of those ``chosen``: says how many were
    others'. A purge whose lines they are finds them applied and counts them no more."""
    own = {one.key for one in chosen}
    counts = Counter(one.data_class for one in applied if one.key not in own)
    classes = {name: counts[name] for name in _COUNTED if counts[name]}
    if classes:
        certify(connection, classes, chosen[0].at, "callguard")
