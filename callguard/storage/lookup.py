"""Selects that are asked for every call, made ready once."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

_DIALECT = sqlite.dialect()


class Lookup:
    """A select whose text and types are worked out beforehand; on SQLite the driver is asked
    itself, which costs a fifth."""

    def __init__(self, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        assert compiled.positiontup is not None
        self._statement = statement
        self._sql = str(compiled)
        self._names = tuple(compiled.positiontup)
        self._fixed = dict(compiled.params)
        self._columns = tuple(_reader(column.type) for column in statement.selected_columns)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows, each a tuple in the order of the select. Raises SQLAlchemyError, or ValueError
        for a value that cannot be read."""
        if connection.dialect.name != "sqlite":
            return [tuple(row) for row in connection.execute(self._statement, dict(values))]
        given = {**self._fixed, **values}
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._sql, [given[name] for name in self._names])
            found = cursor.fetchall()
        except sqlite3.Error as error:
            raise OperationalError(self._sql, None, error, hide_parameters=True) from error
        finally:
            cursor.close()
        if not found:
            return []
        return [
            tuple(
                read(value) if read is not None else value
                for read, value in zip(self._columns, row, strict=True)
            )
            for row in found
        ]


def _reader(kind: Any) -> Callable[[Any], Any] | None:
    found: Callable[[Any], Any] | None = kind.dialect_impl(_DIALECT).result_processor(
        _DIALECT, None
    )
    return found
