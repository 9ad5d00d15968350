"""Inserting many rows of one table in one statement: the rows travel as one JSON text, so that
the interpreter lock changes hands once and not once for each row."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    LargeBinary,
    Table,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)

from callguard.storage.types import to_micros


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, in order. Raises what the database raises."""
    for names, alike in groupby(rows, key=tuple):
        _insert(connection, table, names, list(alike))


def _insert(
    connection: Connection, table: Table, names: tuple[str, ...], rows: list[Mapping[str, Any]]
) -> None:
    if connection.dialect.name != "sqlite" or not _is_plain(table, names):
        connection.execute(insert(table), [dict(row) for row in rows])
        return
    text = json.dumps([[row[name] for name in names] for row in rows], default=_plain)
    connection.execute(_statement(table, names), {"rows": text})


@lru_cache(maxsize=64)
def _statement(table: Table, names: tuple[str, ...]) -> Insert:
    each = func.json_each(bindparam("rows")).table_valued("value", name="each_row")
    values = [
        func.json_extract(each.c.value, literal_column(f"'$[{index}]'"))
        for index in range(len(names))
    ]
    return insert(table).from_select(list(names), select(*values))


@lru_cache(maxsize=64)
def _is_plain(table: Table, names: tuple[str, ...]) -> bool:
    """Whether JSON can carry every value."""
    return not any(isinstance(table.c[name].type, LargeBinary) for name in names)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return to_micros(value)
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
