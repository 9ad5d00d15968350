"""A contact that has expired is nobody's for a list either."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from callguard.gate.kept import Kept
from callguard.storage.database import Database
from callguard.storage.schema import contacts
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.schema import upgrade

OVER = datetime(2026, 11, 20, tzinfo=UTC)
NUMBER = 442079460123


def test_a_list_is_ruled_as_if_an_expired_contact_were_not_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'callguard.db'}")
    upgrade(database)
    add_tenant(database, HandClock())
    row = {"tenant_id": "acme", "subject": f"+{NUMBER}", "known": {}, "id": "c"}
    with database.writing() as connection:
        connection.execute(insert(contacts).values(**row, updated_at=OVER, expires_at=OVER))
    with database.reading() as connection:
        for at, there in ((OVER - timedelta(microseconds=1), [NUMBER]), (OVER, [])):
            kept = Kept(connection, "acme", np.zeros(0, np.int64), None, at)
            assert list(kept.contacts) == there
            assert list(kept.read_contacts(np.array([NUMBER]))) == there
    database.close()
