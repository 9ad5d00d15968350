"""An installation that is there is brought on with everything in it."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text

from callguard.storage import migrate
from callguard.storage.database import Database, DatabaseError
from callguard.storage.schema import attempts, calls, consents, opt_outs

FIRST = (
    "INSERT INTO tenants VALUES ('acme', 'Acme', '{}', 1, 1)",
    """INSERT INTO calls (id, tenant_id, pbx, uniqueid, direction, purpose, subject, caller, called,
       verdict, reasons, obligations, findings, decided_at, expires_at)
       VALUES ('call-1', 'acme', 'p', 'u', 'outbound', 'service', '+44', '1', '+44', 'allow',
       '["a"]', '[]', '[{"rule": "x"}]', 1700000000000001, NULL)""",
    """INSERT INTO consents (id, tenant_id, call_id, subject, purpose, state, prompt, language,
       heard_ms, length_ms, answer, at, expires_at)
       VALUES ('c-1', 'acme', 'call-1', '+44', 'recording', 'granted', 'p', 'en', 1, 2, NULL, 5,
       6)""",
    """INSERT INTO opt_outs (seq, tenant_id, subject, standing, purposes, channel, actor, at)
       VALUES (7, 'acme', '+44', 1, '[]', 'cli', 'me', 5)""",
)


@pytest.fixture
def first(tmp_path: Path) -> Database:
    """A database of the first schema with a row of each table that was altered."""
    database = Database(f"sqlite:///{tmp_path / 'first.db'}")
    database.make_private()
    config = Config()
    config.set_main_option("script_location", "callguard:storage/migrations")
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with database.writing() as connection:
        for row in FIRST:
            connection.execute(text(row))
    return database


def test_the_schema_that_is_asked_for_is_that_of_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(migrate.config_of_migrations())
    assert scripts.get_current_head() == migrate.HEAD


def test_a_database_of_the_first_schema_is_refused_until_it_is_brought_on(first: Database) -> None:
    with pytest.raises(DatabaseError, match="schema 0001"):
        migrate.check(first)
    migrate.upgrade(first)
    migrate.check(first)
    first.close()


def test_every_row_is_there_afterwards_and_new_ones_follow(first: Database) -> None:
    migrate.upgrade(first)
    with first.writing() as connection:
        (call,) = connection.execute(select(calls)).all()
        assert (call.id, call.channel, call.debt, call.findings) == (
            "call-1",
            "voice",
            None,
            [{"rule": "x"}],
        )
        (consent,) = connection.execute(select(consents)).all()
        assert (consent.call_id, consent.heard_ms, consent.proof) == ("call-1", 1, None)
        wish = {"tenant_id": "acme", "subject": "+1", "standing": True, "purposes": []}
        said = {"way": "cli", "actor": "me", "at": call.decided_at}
        connection.execute(insert(opt_outs).values(**wish, **said))
        assert [row.seq for row in connection.execute(select(opt_outs))] == [7, 8]
    first.close()


def test_tables_of_call_time_are_still_clustered_by_their_key(first: Database) -> None:
    migrate.upgrade(first)
    with first.reading() as connection:
        for table in (calls, consents, attempts):
            made = connection.execute(
                text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table.name}
            ).scalar_one()
            assert "WITHOUT ROWID" in made
    first.close()
