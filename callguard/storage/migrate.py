"""Bringing a database to the schema of this version, with Alembic."""

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from callguard.storage.database import Database, DatabaseError


def _config() -> Config:
    config = Config()
    folder = resources.files("callguard.storage").joinpath("migrations")
    config.set_main_option("script_location", str(folder))
    return config


def upgrade(database: Database) -> None:
    """Creates or upgrades the schema. Raises sqlalchemy.exc.OperationalError if it cannot."""
    config = _config()
    database.make_private()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(database: Database) -> None:
    """Raises DatabaseError, in one line, unless the schema is exactly this version's."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with database.reading() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        raise DatabaseError("the database is empty; run callguard init")
    if current != head:
        raise DatabaseError(f"the database has schema {current}, not {head}; run callguard init")
