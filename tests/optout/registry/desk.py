"""A desk at which lists are imported: files, a folder of registries, records, a clock."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import select

from callguard.audit.log import first_broken
from callguard.config import Registries, RegistryList
from callguard.optout.registry.contract import Format
from callguard.optout.registry.importing import apply_changes, import_list
from callguard.optout.registry.outcome import Outcome
from callguard.optout.registry.reading import Asked, Told
from callguard.optout.registry.records import Records
from callguard.optout.registry.snapshot import Snapshot, current
from callguard.storage.database import Database
from callguard.storage.schema import audit, registry_imports
from tests.clock import HandClock

DAY = date(2026, 11, 15)
UK = RegistryList(covers=("+44",))


@dataclass
class Desk:
    """One registry, and what is done with it."""

    folder: Path
    database: Database
    clock: HandClock
    name: str = "gb-tps"
    limits: Registries = field(default_factory=Registries)

    @property
    def registry(self) -> Path:
        return self.folder / "registries" / self.name

    @property
    def records(self) -> Records:
        return Records(self.database, "cli:ann")

    def file(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def listed(self, numbers: Iterable[int], name: str = "list.txt") -> Path:
        """A file of E.164 numbers."""
        return self.file(name, "".join(f"+{number}\n" for number in numbers))

    def changes(self, changes: Iterable[tuple[int, str]], name: str = "changes.csv") -> Path:
        return self.file(name, "".join(f"+{number},{word}\n" for number, word in changes))

    def asked(
        self,
        *files: Path,
        list_format: Format = "e164",
        settings: RegistryList = UK,
        day: date | None = DAY,
        **more: Any,
    ) -> Asked:
        return Asked(files, list_format, settings, self.limits, day, **more)

    def imports(self, *files: Path, told: Told | None = None, **more: Any) -> Outcome:
        asked = self.asked(*files, **more)
        return import_list(self.registry, asked, ledger=self.records, clock=self.clock, told=told)

    def applies(self, *files: Path, told: Told | None = None, **more: Any) -> Outcome:
        asked = self.asked(*files, **more)
        return apply_changes(self.registry, asked, ledger=self.records, clock=self.clock, told=told)

    def in_use(self) -> str | None:
        return current(self.registry)

    def numbers(self) -> set[int]:
        """All numbers of the list in use, which is whole and entered."""
        digest = self.in_use()
        assert digest is not None
        with closing(Snapshot.open(self.registry / digest)) as snapshot:
            snapshot.verify()
            return {
                int(number)
                for bitmap in snapshot.bitmaps.values()
                for group in bitmap.counts()
                for number in bitmap.numbers(group)
            }

    def rows(self) -> list[Any]:
        with self.database.reading() as connection:
            return list(
                connection.execute(
                    select(registry_imports).order_by(registry_imports.c.at, registry_imports.c.id)
                )
            )

    def acts(self) -> list[str]:
        """What the audit log tells of registries; its chain holds."""
        with self.database.reading() as connection:
            assert first_broken(connection) is None
            found = connection.execute(
                select(audit.c.action)
                .where(audit.c.action.like("registry.%"))
                .order_by(audit.c.seq)
            )
            return list(found.scalars())

    def left_over(self) -> set[str]:
        """What lies in the registry's folder beside the snapshots that were taken."""
        taken = {row.digest for row in self.rows() if row.state == "taken"}
        return {path.name for path in self.registry.iterdir()} - taken

    def at(self, name: str) -> "Desk":
        return replace(self, name=name)
