"""Parquet read by its own library, which ships no types."""

import io
from importlib import import_module
from typing import Any


def table_of(data: bytes) -> Any:
    parquet: Any = import_module("pyarrow.parquet")
    return parquet.read_table(io.BytesIO(data))


def row_groups(data: bytes) -> int:
    parquet: Any = import_module("pyarrow.parquet")
    return int(parquet.ParquetFile(io.BytesIO(data)).metadata.num_row_groups)
