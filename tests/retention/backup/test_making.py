"""A backup taken while calls are decided is one moment of them all."""

import sqlite3
import threading
import time
from pathlib import Path

from sqlalchemy import func, insert, select

from callguard.audit.log import Entry, append, first_broken
from callguard.retention.backup.snapshot import head_of, looking_into, take
from callguard.storage.schema import audit, contacts
from tests.clock import HandClock
from tests.retention.backup.scene import Scene

EVERY_S = 0.005


def test_a_backup_during_200_writes_a_second_is_consistent(tmp_path: Path) -> None:
    scene = Scene(tmp_path, HandClock()).build(0)
    database, now = scene.database(), scene.clock.now()
    stop, slowest = threading.Event(), 0.0

    def write() -> None:
        nonlocal slowest
        number = 0
        while not stop.is_set():
            began = time.monotonic()
            with database.writing() as connection:
                row = {"tenant_id": "acme", "known": {}, "updated_at": now}
                connection.execute(insert(contacts).values(subject=f"+{number}", **row))
                append(connection, Entry(now, "test", "contact.add", f"contact:{number}"))
            slowest = max(slowest, time.monotonic() - began)
            number += 1
            stop.wait(max(0.0, EVERY_S - (time.monotonic() - began)))

    writer = threading.Thread(target=write)
    writer.start()
    begun = _entries(scene)
    try:
        for number in range(3):
            take(database, tmp_path / f"copy-{number}.db")
    finally:
        stop.set()
        writer.join()
    database.close()
    found = [begun]
    for number in range(3):
        with looking_into(tmp_path / f"copy-{number}.db") as connection:
            entries = connection.execute(
                select(func.count()).select_from(audit).where(audit.c.action == "contact.add")
            ).scalar_one()
            rows = connection.execute(select(func.count()).select_from(contacts)).scalar_one()
            head = head_of(connection)
            assert rows == entries
            assert first_broken(connection) is None
            assert head is not None
        found.append(entries)
    assert found == sorted(found)
    assert found[-1] > found[0]
    assert slowest < 1.0


def _entries(scene: Scene) -> int:
    connection = sqlite3.connect(scene.settings.data / "callguard.db")
    try:
        counted: int = connection.execute(
            "SELECT count(*) FROM audit WHERE action = 'contact.add'"
        ).fetchone()[0]
    finally:
        connection.close()
    return counted


def test_what_was_deleted_is_not_in_the_copy(tmp_path: Path) -> None:
    scene = Scene(tmp_path, HandClock()).build(0)
    database = scene.database()
    row = {"tenant_id": "acme", "known": {"name": "Gone Forever"}, "updated_at": scene.clock.now()}
    with database.writing() as connection:
        connection.execute(insert(contacts).values(subject="+1", **row))
    with database.writing() as connection:
        connection.execute(contacts.delete())
    take(database, tmp_path / "copy.db")
    database.close()
    assert b"Gone Forever" not in (tmp_path / "copy.db").read_bytes()
