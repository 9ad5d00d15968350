"""A database of today's schema without the time that its migrations take: they run once in a
process, and what they made is copied. tests/storage runs the migrations themselves."""

import tempfile
from functools import cache
from pathlib import Path

from callguard.storage import migrate
from callguard.storage.database import Database


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "callguard.db"
        database = Database(f"sqlite:///{file}")
        migrate.upgrade(database)
        database.close()
        assert not file.with_name(f"{file.name}-wal").exists(), "all of it is in the file"
        return file.read_bytes()


def upgrade(database: Database) -> None:
    """As ``callguard.storage.migrate.upgrade`` does. One with something in it is migrated."""
    file = Path(database.url.database or "")
    if file.exists() and file.stat().st_size:
        migrate.upgrade(database)
        return
    database.make_private()
    file.write_bytes(_migrated())
