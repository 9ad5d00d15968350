"""Call records as Parquet, by pyarrow, which is imported only here and only when asked for."""

import io
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, Final

from callguard.cdr.columns import COLUMNS, VERSION, Column, Told
from callguard.cdr.export.contract import ExportError

GROUP: Final = 20_000
"""Records of one row group, which are in memory at once."""

COMPRESSION: Final = "zstd"


def parquet_pieces(pages: Iterable[Sequence[Told]]) -> Iterator[bytes]:
    """The file, a row group at a time. Raises ExportError without pyarrow."""
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise ExportError("Parquet needs pyarrow: pip install callguard[parquet]") from error
    schema = arrow.schema(
        [arrow.field(column.name, _type(arrow, column)) for column in COLUMNS],
        metadata={"callguard.call-records": str(VERSION)},
    )
    sink = _Sink()
    writer = parquet.ParquetWriter(sink, schema, compression=COMPRESSION)
    try:
        for group in _groups(pages):
            columns = [
                arrow.array(values, field.type)
                for values, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(arrow.table(columns, schema=schema), row_group_size=GROUP)
            yield sink.drain()
    finally:
        writer.close()
    yield sink.drain()


def _type(arrow: Any, column: Column) -> Any:
    match column.kind:
        case "whole":
            return arrow.int64()
        case "moment":
            return arrow.timestamp("us", tz="UTC")
        case "texts":
            return arrow.list_(arrow.string())
        case _:
            return arrow.string()


def _groups(pages: Iterable[Sequence[Told]]) -> Iterator[list[Told]]:
    group: list[Told] = []
    for page in pages:
        group += page
        if len(group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


class _Sink(io.RawIOBase):
    """What is written waits to be taken; nothing is read back, nothing sought."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        size = memoryview(data).nbytes
        self._at += size
        return size

    def tell(self) -> int:
        return self._at

    def drain(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken
