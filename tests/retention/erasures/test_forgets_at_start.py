"""The service forgets again before its doors open; without its ledger it starts, and says so."""

from pathlib import Path

from sqlalchemy import Row, select

from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.recording.tombstones import not_remembering
from callguard.retention.erasures.ledger import RECORDING, Erasure, ErasureLedger
from callguard.service import Service
from callguard.storage.database import Database
from callguard.storage.schema import recordings
from tests.harness.virtual import virtual_time
from tests.house import furnish
from tests.retention.rows import put


def recorded(settings: Settings) -> str:
    database = Database(settings.database_url)
    name = put(database, "recording", 1, None, at=SystemClock().now())
    database.close()
    return name


async def started(
    settings: Settings,
) -> tuple[Row[tuple[object, ...]], str | None, tuple[str, ...]]:
    """The recording's row, what is not remembered and the alarms, once the service is built."""
    service = Service(settings, SystemClock())
    with service.database.reading() as connection:
        row = connection.execute(select(recordings)).one()
        fault = not_remembering(connection)
    alarms = (await service.overview.status()).alarms
    service._reader.close()
    service.database.close()
    return row, fault, alarms


@virtual_time
async def test_what_only_the_ledger_knows_is_erased_before_a_door_opens(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    name = recorded(settings)
    erasure = Erasure(RECORDING, name, name, SystemClock().now())
    ErasureLedger(settings.erasure_ledger).append([erasure], None)
    row, fault, alarms = await started(settings)
    assert (row.state, row.header, fault) == ("erasing", None, None)
    assert not any("erased" in alarm for alarm in alarms)


@virtual_time
async def test_without_its_ledger_the_service_starts_and_reads_nothing(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    recorded(settings)
    settings.erasure_ledger.write_bytes(b"not a ledger\n")
    row, fault, alarms = await started(settings)
    assert row.state == "sealed"
    assert fault is not None
    assert any("no recording is read or erased" in alarm for alarm in alarms)
