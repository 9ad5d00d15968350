"""What the settings of a PBX say of its call records."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from callguard.cdr.source import source_of
from callguard.config import Asterisk
from tests.cdr.lines import line, master

FILE = Path("/var/log/asterisk/cdr.csv")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def of(**settings: object) -> Asterisk:
    known = {"secret_file": "/x", "cdr_file": FILE}
    return Asterisk.model_validate(known | settings)


def test_left_to_itself_it_is_the_file_of_asterisk_conf() -> None:
    source = source_of(of())
    assert (source.file, source.backlog, source.zone) == (FILE, True, UTC)
    assert source.layout(line(7)).sequence == 7


def test_master_csv_is_in_the_zone_of_the_clock_or_in_its_own() -> None:
    paris = {"cdr_format": "master", "time_zone": "Europe/Paris"}
    local = source_of(of(**paris, cdr_backlog=False))
    assert (local.zone, local.backlog) == (ZoneInfo("Europe/Paris"), False)
    shown = master(start="2026-11-20 13:00:00")
    assert local.layout(shown).started_at == NOON
    in_utc = source_of(of(**paris, cdr_time_zone="UTC"))
    assert in_utc.layout(master()).started_at == NOON


@pytest.mark.parametrize(
    "settings", [{"time_zone": "Paris"}, {"cdr_time_zone": "+02:00"}, {"cdr_format": "csv"}]
)
def test_what_is_no_zone_or_format_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        of(**settings)
