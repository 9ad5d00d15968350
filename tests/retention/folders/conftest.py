"""Managed folders on a disk of the test's own, and everything around them watched."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select

from callguard.config import Asterisk, Folder, Objects, Settings, Spool
from callguard.policy.span import Span
from callguard.retention.folders.governing import ManagedFolders
from callguard.storage.database import Database
from callguard.storage.schema import purges
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.clock import HandClock
from tests.databases import add_tenant, clock, database

__all__ = ["clock", "database"]

T = TypeVar("T")
KEPT = Span(days=30)
WRITTEN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
"""When the files of these tests were written; what they do with time comes after."""

DUE = WRITTEN + timedelta(days=30)
SECOND = timedelta(seconds=1)
CLASSES = ("voicemail", "fax", "transcript", "recording", "call_record")


def put(path: Path, text: bytes = b"voice", at: datetime = WRITTEN) -> Path:
    """A file that was changed then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def put_message(
    mailbox: Path, number: int, at: datetime = WRITTEN, caller: str = "+33612345678"
) -> list[Path]:
    """A voice message as Asterisk leaves one, in two formats; the files were copied since."""
    later = WRITTEN + timedelta(seconds=30)
    text = (
        f';\n; Message Information file\n;\n[message]\norigmailbox=100\ncallerid="Ann" <{caller}>\n'
        f"origtime={int(at.timestamp())}\ncategory=\nmsg_id=1-0\nflag=\nduration=4\n"
    )
    name = f"msg{number:04d}"
    return [
        put(mailbox / f"{name}.gsm", at=later),
        put(mailbox / f"{name}.txt", text.encode(), later),
        put(mailbox / f"{name}.wav", at=later),
    ]


def pictured(folder: Path) -> dict[str, object]:
    """All that is there: kinds, contents, modes and times."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*"), key=os.fsencode):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, content)
    return found


@dataclass
class Rooms:
    """The folders of a callguard, and how its purge sees them."""

    base: Path
    database: Database
    tenants: dict[str, Tenant] = field(default_factory=dict)
    folders: list[Folder] = field(default_factory=list)
    asterisk: list[Asterisk] = field(default_factory=list)
    before_write: Callable[[], object] = lambda: None
    """What somebody else does just before the evidence is written, once."""

    def __post_init__(self) -> None:
        self.outside = self.base / "outside"
        put(self.outside / "secret.txt", b"nobody's business")
        put(self.outside / "deep" / "down.txt", b"nor this")

    def tenant(self, name: str, **changes: Any) -> Tenant:
        add_tenant(self.database, HandClock(), name)
        kept = dict.fromkeys(CLASSES, KEPT)
        made = Tenant(name, name, TenantSettings(), (), kept, (), ())
        self.tenants[name] = replace(made, **changes)
        return self.tenants[name]

    def folder(self, name: str = "fax", data_class: str = "fax", **more: Any) -> Path:
        """A folder of acme's, and where it is."""
        path = self.base / "managed" / name
        path.mkdir(parents=True, exist_ok=True)
        owners = {} if "tenants" in more else {"tenant": "acme"}
        settings = {"name": name, "path": path, "data_class": data_class, **owners, **more}
        self.folders.append(Folder.model_validate(settings))
        return Path(settings["path"])

    @property
    def settings(self) -> Settings:
        return Settings(
            data=self.base / "data",
            spool=Spool(folder=self.base / "spool"),
            objects=Objects(folder=self.base / "objects"),
            folders=tuple(self.folders),
            asterisk=tuple(self.asterisk),
        )

    def made(self) -> ManagedFolders:
        async def write(work: Callable[[Connection], T], /) -> T:
            meanwhile, self.before_write = self.before_write, lambda: None
            meanwhile()
            with self.database.writing() as connection:
                return work(connection)

        get = self.tenants.get
        return ManagedFolders(
            self.settings, self.database, write, get, HandClock(DUE), actor="test"
        )

    async def take(self, at: datetime = DUE) -> dict[str, int]:
        """As the purge does; nothing outside is touched, whatever happens."""
        before = pictured(self.outside)
        try:
            return await self.made().take(at)
        finally:
            assert pictured(self.outside) == before

    async def faults(self, at: datetime = DUE) -> list[str]:
        """What is in the way, in all folders."""
        found = await self.made().look(at)
        return [line for one in found for line in [*one.faults.lines, *filter(None, [one.closed])]]

    def certificates(self) -> list[dict[str, Any]]:
        with self.database.reading() as connection:
            rows = connection.execute(select(purges).where(purges.c.kind == "folder")).all()
        return [{**row.certificate, "finished": row.finished_at is not None} for row in rows]


@pytest.fixture
def rooms(tmp_path: Path, database: Database) -> Iterator[Rooms]:
    """With the tenant acme, which keeps everything for 30 days."""
    made = Rooms(tmp_path, database)
    made.tenant("acme")
    yield made
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


def names(folder: Path) -> list[str]:
    """The files below a folder."""
    found = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return sorted(str(p.relative_to(folder)) for p in found)
