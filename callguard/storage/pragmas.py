"""How every connection to SQLite is set up. Needs nothing but the standard library."""

import sqlite3

BUSY_MS = 1_500
"""How long SQLite waits for another writer; below the 2 s in which a verdict must be durable."""


def set_up(connection: sqlite3.Connection) -> None:
    """Makes commits durable, readers independent of the writer, and what is purged overwritten."""
    connection.isolation_level = None  # transactions are begun in so many words
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
        "secure_delete=ON",  # what is purged is overwritten, not only unlinked
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
