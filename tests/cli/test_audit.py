"""``callguard audit verify``."""

import sqlite3

from tests.cli.conftest import CommandLine


def test_a_whole_log_is_whole(acme: CommandLine) -> None:
    assert acme("audit", "verify", "--json").json() == {"whole": True}
    assert acme("audit", "verify").out == "the audit log is whole\n"


def test_a_row_that_was_changed_is_named(acme: CommandLine) -> None:
    with sqlite3.connect(acme.data / "callguard.db") as other:
        other.execute("UPDATE audit SET actor='somebody else' WHERE seq=1")
    other.close()
    acme("audit", "verify").refused("the audit log is broken at row 1")


def test_the_database_is_for_its_owner_alone(acme: CommandLine) -> None:
    assert (acme.data / "callguard.db").stat().st_mode & 0o777 == 0o600
