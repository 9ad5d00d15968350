"""The tables: one address for all of them, and the migrations make them to the letter."""

import ast
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, DefaultClause, Table, inspect, text

import callguard
from callguard.storage import schema
from callguard.storage.database import Database

ADDRESS = "callguard.storage.schema"
NAMED = frozenset(schema.__all__)
ROOTS = (Path(callguard.__file__).parent, Path(__file__).parents[1])


def past_the_address(source: str) -> set[str]:
    """The modules behind the one address that are imported past it."""
    found: set[str] = set()
    if "storage.schema" not in source:
        return found
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=module, names=names) if module == ADDRESS:
                found |= {f"{ADDRESS}.{one.name}" for one in names if one.name not in NAMED}
            case ast.ImportFrom(module=str(module)):
                found.add(module)
            case ast.Import(names=names):
                found |= {one.name for one in names}
    return {name for name in found if name.startswith(f"{ADDRESS}.")}


def test_every_table_is_asked_for_by_the_one_address() -> None:
    """What tests/test_hiding.py looks for is found under that name only."""
    assert past_the_address(f"from {ADDRESS} import scrubs") == set()
    for how in (f"from {ADDRESS}.lists import scrubs", f"from {ADDRESS} import lists as tables"):
        assert past_the_address(how) == {f"{ADDRESS}.lists"}
    assert past_the_address(f"import {ADDRESS}.lists as tables") == {f"{ADDRESS}.lists"}
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            if not path.relative_to(root).as_posix().startswith("storage/schema/"):
                assert past_the_address(path.read_text("utf-8")) == set(), path


def test_the_one_address_names_every_table() -> None:
    named = {name: getattr(schema, name) for name in schema.__all__}
    tables = {name: one for name, one in named.items() if isinstance(one, Table)}
    assert tables == dict(schema.metadata.tables)


def test_the_migrations_make_every_type_index_and_constraint(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_migrations_make_its_key_its_defaults_and_its_cluster(
    database: Database, table: Table
) -> None:
    with database.reading() as connection:
        found = inspect(connection)
        key = found.get_pk_constraint(table.name)["constrained_columns"]
        defaults = {column["name"]: column["default"] for column in found.get_columns(table.name)}
        asked = text("SELECT sql FROM sqlite_master WHERE name = :name")
        made = connection.execute(asked, {"name": table.name}).scalar_one()
    assert key == [column.name for column in table.primary_key]
    assert defaults == {column.name: default_of(column) for column in table.columns}
    clustered = table.dialect_options["sqlite"]["with_rowid"] is False
    assert ("WITHOUT ROWID" in made) is clustered


def default_of(column: Column[Any]) -> str | None:
    """As SQLite tells it; Alembic takes an empty text for another than its own."""
    default = column.server_default
    return f"'{default.arg}'" if isinstance(default, DefaultClause) else None
