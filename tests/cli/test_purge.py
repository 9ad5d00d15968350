"""``callguard purge``."""

from datetime import UTC, datetime, timedelta

from callguard.storage.database import Database
from tests.cli.conftest import CommandLine
from tests.retention.rows import CLASSES, certified, left, put


def test_a_purge_takes_what_is_due_and_nothing_the_second_time(acme: CommandLine) -> None:
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    now = datetime.now(UTC)
    for number, data_class in enumerate(CLASSES):
        put(database, data_class, number, now)
        put(database, data_class, number + 10, now + timedelta(days=1))
    due = acme("purge", "--dry-run", "--json").json()
    assert isinstance(due, list)
    assert {row["class"]: row["count"] for row in due} == dict.fromkeys(CLASSES, 1)
    assert left(database) == dict.fromkeys(CLASSES, 2)
    first = acme("purge", "--json").json()
    assert isinstance(first, dict)
    assert first["counts"] == dict.fromkeys(CLASSES, 1)
    second = acme("purge")
    assert (second.code, second.err) == (0, "")
    assert second.out.startswith("purged 0 rows; certificate ")
    assert left(database) == certified(database) == dict.fromkeys(CLASSES, 1)
    assert acme("purge", "--dry-run", "--json").json() == []
    assert "Due" in acme("purge", "--dry-run").out
    database.close()


def test_what_was_purged_is_in_no_file_of_the_database(acme: CommandLine) -> None:
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    put(database, "consent", 424242, datetime.now(UTC))
    database.checkpoint()
    database.close()
    needle = b"consent-424242"

    def found() -> bool:
        return any(needle in path.read_bytes() for path in acme.data.glob("callguard.db*"))

    assert found()
    assert acme("purge").code == 0
    assert not found()


def test_a_store_that_is_in_the_way_is_one_line(acme: CommandLine) -> None:
    objects = acme.data / "objects"
    for path in sorted(objects.rglob("*"), reverse=True):
        path.rmdir()
    objects.rmdir()
    objects.write_text("a file")
    acme("purge").refused("store")
