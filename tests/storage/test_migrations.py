"""An installation that is there is brought on with everything in it."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text

from callguard.storage import migrate
from callguard.storage.database import Database, DatabaseError
from callguard.storage.schema import attempts, calls, consents, opt_outs, recording_events
from callguard.storage.types import to_micros

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


THIRD = (
    FIRST[0],
    """INSERT INTO consents (id, tenant_id, call_id, subject, purpose, state, prompt, language,
       heard_ms, length_ms, answer, proof, actor, at, until, expires_at)
       VALUES ('c-2', 'acme', 'call-1', '+44', 'recording', 'refused', 'notice v1', 'he', 2990,
       3000, '9', 'p', 'a', 1700000000000001, 7, NULL)""",
    """INSERT INTO consents (id, tenant_id, subject, purpose, state, proof, at)
       VALUES ('c-1', 'acme', 'a@b', 'marketing', 'granted', 'טופס 7', 5)""",
)


def at_schema(folder: Path, revision: str, rows: Iterable[str]) -> Database:
    """A database as that version left it."""
    database = Database(f"sqlite:///{folder / 'old.db'}")
    database.make_private()
    config = Config()
    config.set_main_option("script_location", "callguard:storage/migrations")
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    with database.writing() as connection:
        for row in rows:
            connection.execute(text(row))
    return database


@pytest.fixture
def first(tmp_path: Path) -> Database:
    """A database of the first schema with a row of each table that was altered."""
    return at_schema(tmp_path, "0001", FIRST)


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


def test_the_ledger_of_the_third_schema_keeps_its_rows_and_takes_what_is_new(
    tmp_path: Path,
) -> None:
    database = at_schema(tmp_path, "0003", THIRD)
    migrate.upgrade(database)
    with database.writing() as connection:
        given, said = connection.execute(select(consents).order_by(consents.c.id)).all()
        assert (given.proof, given.call_id, given.until) == ("טופס 7", None, None)
        old = ("refused", "notice v1", "he", 2990, 3000, "9", "p", "a")
        assert (
            *(said.state, said.prompt, said.language, said.heard_ms, said.length_ms),
            *(said.answer, said.proof, said.actor),
        ) == old
        assert to_micros(said.at) == 1700000000000001
        new = ("mode", "rules", "pbx", "channel_uniqueid", "words", "asked")
        assert {said._mapping[name] for name in new} == {None}
        values = {**said._mapping, "id": "c-3", "words": "השיחה מוקלטת", "rules": ["a: b"]}
        connection.execute(insert(consents).values(values))
        event = {"id": "e", "recording_id": "r", "call_id": "c", "tenant_id": "acme"}
        event |= {"kind": "paused", "by": "agent"}
        connection.execute(insert(recording_events).values(**event, at=said.at))
        words = select(consents.c.words, consents.c.rules).where(consents.c.id == "c-3")
        assert connection.execute(words).one() == ("השיחה מוקלטת", ["a: b"])
        found = inspect(connection)
        for table in (consents, recording_events):
            there = {tuple(index["column_names"]) for index in found.get_indexes(table.name)}
            assert there == {tuple(index.columns.keys()) for index in table.indexes}
            kept = [column["name"] for column in found.get_columns(table.name)]
            assert set(kept) == set(table.columns.keys())
    database.close()
