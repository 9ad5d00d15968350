"""``callguard purge``."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, update

from callguard.retention.purging.leader import PURGE, take
from callguard.storage.database import Database
from callguard.storage.schema import archives, clock_marks, holds
from tests.cli.conftest import CommandLine, Said
from tests.retention.rows import EVERY, certified, left, put


def test_a_purge_takes_what_is_due_and_nothing_the_second_time(acme: CommandLine) -> None:
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    now = datetime.now(UTC)
    for number, data_class in enumerate(EVERY):
        put(database, data_class, number, now)
        put(database, data_class, number + 20, now + timedelta(days=1), at=now)
    with database.writing() as connection:
        connection.execute(update(archives).values(header=None))  # none has a real one
    due = acme("purge", "--dry-run", "--json").json()
    assert isinstance(due, list)
    assert {row["class"]: row["count"] for row in due} == dict.fromkeys(EVERY, 1)
    assert left(database, EVERY) == dict.fromkeys(EVERY, 2)
    first = acme("purge", "--json").json()
    assert isinstance(first, dict)
    assert first["counts"] == dict.fromkeys(EVERY, 1)
    second = acme("purge")
    assert (second.code, second.err) == (0, "")
    assert second.out.startswith("purged 0 rows; certificate ")
    assert left(database, EVERY) == certified(database) == dict.fromkeys(EVERY, 1)
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


def rows(said: Said) -> list[dict[str, object]]:
    found = said.json()
    assert isinstance(found, list)
    return found


def test_certificates_are_listed_and_shown(acme: CommandLine) -> None:
    assert acme("purge", "--list", "--json").json() == []
    made = acme("purge", "--json").json()
    assert isinstance(made, dict)
    [row] = rows(acme("purge", "--list", "--json"))
    assert (row["id"], row["kind"], row["gone"]) == (made["id"], "purge", 0)
    shown = acme("purge", "--show", made["id"], "--json").json()
    assert shown == {"kind": "purge", **made}
    assert f"id: {made['id']}" in acme("purge", "--show", made["id"]).out
    assert "Certificates" in acme("purge", "--list").out
    acme("purge", "--show", "nonsense").refused("there is no certificate nonsense")


def test_what_is_held_is_counted_apart(acme: CommandLine) -> None:
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    now = datetime.now(UTC)
    put(database, "consent", 1, now)
    said = {"id": "h", "tenant_id": "acme", "reason": "r", "author": "a", "at": now}
    with database.writing() as connection:
        connection.execute(insert(holds).values(said))
    database.close()
    [row] = rows(acme("purge", "--dry-run", "--json"))
    assert (row["class"], row["count"], row["held"]) == ("consent", 1, True)


def test_who_purges_just_now_is_one_line(acme: CommandLine) -> None:
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    with database.writing() as connection:
        take(connection, PURGE, "callguard on east, process 7", datetime.now(UTC))
    database.close()
    acme("purge").refused("somebody else purges just now: callguard on east, process 7")


def test_a_clock_that_is_not_believed_is_refused_until_it_is_confirmed(acme: CommandLine) -> None:
    acme("purge", "--confirm-clock", "--reason", "x").refused("nothing to confirm")
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    ahead = datetime.now(UTC) + timedelta(days=3)
    with database.writing() as connection:
        connection.execute(delete(clock_marks))
        connection.execute(insert(clock_marks).values(id=1, seen_at=ahead))
    database.close()
    acme("purge").refused("callguard purge --confirm-clock")
    assert acme("purge", "--confirm-clock").code == 2
    said = acme("purge", "--confirm-clock", "--reason", "compared with a watch", "--json").json()
    assert isinstance(said, dict)
    assert "before" in said["fault"]
    assert acme("purge").code == 0


def test_two_wishes_at_once_are_none(acme: CommandLine) -> None:
    assert acme("purge", "--dry-run", "--list").code == 2
