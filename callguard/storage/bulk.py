"""Many rows in few statements."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, LargeBinary, Table, insert
from sqlalchemy.dialects import sqlite

Statement = tuple[str, str]
"""SQL for one row, and the rows that go into it as a JSON list of lists."""

_DIALECT = sqlite.dialect()


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, in order. Raises what the database raises."""
    # One statement of the driver takes its columns from its first row.
    for _, alike in groupby(rows, key=tuple):
        connection.execute(insert(table), [dict(row) for row in alike])


def as_statements(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Statement] | None:
    """The same for a connection of SQLite that is not ours; None where the rows hold bytes, which
    JSON cannot carry."""
    found = []
    for names, alike in groupby(rows, key=tuple):
        prepared = _prepared(table, names)
        if prepared is None:
            return None
        sql, columns = prepared
        values = [[bind(row[name]) for name, bind in columns] for row in alike]
        found.append((sql, json.dumps(values)))
    return found


@lru_cache(maxsize=64)
def _prepared(
    table: Table, names: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, Callable[[Any], Any]], ...]] | None:
    """The statement, and how a value of each column is given to SQLite; None for columns of
    bytes."""
    if any(isinstance(table.c[name].type, LargeBinary) for name in names):
        return None
    compiled = insert(table).compile(dialect=_DIALECT, column_keys=list(names))
    assert compiled.positiontup is not None
    columns = []
    for name in compiled.positiontup:
        kind = table.c[name].type.dialect_impl(_DIALECT)
        columns.append((name, kind.bind_processor(_DIALECT) or _as_it_is))
    return str(compiled), tuple(columns)


def _as_it_is(value: object) -> object:
    return value
