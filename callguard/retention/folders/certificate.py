"""What was taken from a managed folder, written down before it is taken.

One row of ``purges`` a run and folder (kind ``folder``): how many things, files and bytes, and one
SHA-256 over the digests of all files in the order in which they went. While the run lasts it names
the batch under way by its digests: who takes up a run that was killed does not count those again.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from callguard.audit.log import Entry, append
from callguard.retention.folders.items import Item, digest
from callguard.storage.schema import purges

KIND = "folder"


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run has written down so far. ``chain`` is the SHA-256 of the one before it and the
    digest of each file, and so on."""

    items: Counter[str] = field(default_factory=Counter)
    files: int = 0
    bytes: int = 0
    chain: str = "0" * 64

    def with_(self, items: Sequence[Item]) -> "Tally":
        chain = self.chain
        for item in items:
            for file in item.files:
                link = bytes.fromhex(chain) + digest(item.where, file)
                chain = hashlib.sha256(link).hexdigest()
        return Tally(
            self.items + Counter(item.tenant or "" for item in items),
            self.files + sum(len(item.files) for item in items),
            self.bytes + sum(item.bytes for item in items),
            chain,
        )

    def without(self, items: Sequence[Item]) -> "Tally":
        """Less what did not go after all; the chain goes on, for it says what was meant."""
        return Tally(
            self.items - Counter(item.tenant or "" for item in items),
            self.files - sum(len(item.files) for item in items),
            self.bytes - sum(item.bytes for item in items),
            self.chain,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run over one folder."""

    id: str
    folder: str
    data_class: str
    at: datetime
    actor: str

    def begin(self, connection: Connection) -> None:
        row = {"id": self.id, "kind": KIND, "started_at": self.at}
        connection.execute(insert(purges).values(row | {"certificate": self._json(Tally(), ())}))

    def note(self, connection: Connection, tally: Tally, batch: Sequence[Item]) -> None:
        """That this batch goes now; ``tally`` has it in already."""
        self._write(connection, tally, [item.mark for item in batch])

    def end(self, connection: Connection, tally: Tally, at: datetime) -> None:
        """What went, and that no more does; into the audit log too."""
        certificate = self._json(tally, ())
        connection.execute(
            update(purges)
            .where(purges.c.id == self.id)
            .values(finished_at=at, certificate=certificate)
        )
        target = f"folder:{self.folder}"
        append(connection, Entry(at, self.actor, "purge.folder", target, None, certificate))

    def _write(self, connection: Connection, tally: Tally, marks: Sequence[str]) -> None:
        certificate = self._json(tally, marks)
        connection.execute(
            update(purges).where(purges.c.id == self.id).values(certificate=certificate)
        )

    def _json(self, tally: Tally, marks: Sequence[str]) -> dict[str, object]:
        found: dict[str, object] = {
            "id": self.id,
            "folder": self.folder,
            "class": self.data_class,
            "tenants": dict(tally.items),
            "taken": tally.items.total(),
            "files": tally.files,
            "bytes": tally.bytes,
            "sha256": tally.chain,
        }
        return found | ({"under_way": list(marks)} if marks else {})


def cut_short(connection: Connection, folder: str) -> tuple[list[str], set[str]]:
    """The runs over a folder that were killed, and the marks of what they had counted last."""
    rows = connection.execute(
        select(purges.c.id, purges.c.certificate).where(
            purges.c.kind == KIND, purges.c.finished_at.is_(None)
        )
    ).all()
    ours = [row for row in rows if row.certificate.get("folder") == folder]
    marks = {mark for row in ours for mark in row.certificate.get("under_way", ())}
    return [row.id for row in ours], marks


def close(
    connection: Connection, ids: Sequence[str], at: datetime, still: Mapping[str, Item]
) -> None:
    """Those runs are over: what they had counted last is gone, but for what is ``still`` there, by
    its mark: it was held or written to meanwhile."""
    for row in connection.execute(select(purges).where(purges.c.id.in_(ids))).all():
        certificate = dict(row.certificate)
        left = [still[mark] for mark in certificate.pop("under_way", ()) if mark in still]
        owners: Counter[str] = Counter(certificate["tenants"])
        owners -= Counter(item.tenant or "" for item in left)
        corrected = {
            "tenants": dict(owners),
            "taken": certificate["taken"] - len(left),
            "files": certificate["files"] - sum(len(item.files) for item in left),
            "bytes": certificate["bytes"] - sum(item.bytes for item in left),
            "cut_short": True,
        }
        connection.execute(
            update(purges)
            .where(purges.c.id == row.id)
            .values(finished_at=at, certificate={**certificate, **corrected})
        )
