"""Call records as a file: CSV, JSON Lines or Parquet, a piece at a time, sealed where asked."""

from callguard.cdr.export.contract import ExportError, Form, Format, read_format
from callguard.cdr.export.export import Tally, exported
from callguard.cdr.export.whole_file import check_place, write_whole

__all__ = [
    "ExportError",
    "Form",
    "Format",
    "Tally",
    "check_place",
    "exported",
    "read_format",
    "write_whole",
]
