"""What one Asterisk writes its call records into, and how they are read."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from callguard.cdr.lines import Layout
from callguard.cdr.master import from_master
from callguard.cdr.record import from_line
from callguard.config import Asterisk


@dataclass(frozen=True, slots=True)
class CallRecordSource:
    """Its file, if it has one, and the reader of its lines; whether what was rotated away before
    the first look is read too; and the zone of that Asterisk's own clock, in which AMI tells
    times."""

    file: Path | None
    layout: Layout = from_line
    backlog: bool = True
    zone: tzinfo = UTC


def source_of(pbx: Asterisk) -> CallRecordSource:
    """As the settings have it."""
    zone = _zone(pbx.time_zone)
    layout: Layout = from_line
    if pbx.cdr_format == "master":
        of_file = zone if pbx.cdr_time_zone is None else _zone(pbx.cdr_time_zone)
        layout = partial(from_master, zone=of_file)
    return CallRecordSource(pbx.cdr_file, layout, pbx.cdr_backlog, zone)


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
