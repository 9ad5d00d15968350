"""A file in the data folder that says that a restore was begun and is not done: until then nothing
else opens what is there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from callguard.config import Settings
from callguard.recording.durable import sync_folder
from callguard.retention.backup.files import copy_into_place
from callguard.retention.backup.manifest import BackupError

RESTORING = "restoring"


@dataclass(frozen=True, slots=True)
class Marker:
    """Which restore: its id, which its certificate bears, and the SHA-256 of the manifest of its
    backup; whether it knows only that backup's own ledger, which by now may lie in its place."""

    restore: str
    manifest: str
    begun_at: str
    ledger_of_backup: bool = False


def require_not_restoring(settings: Settings) -> None:
    """Raises BackupError while a restore is not done."""
    if (settings.data / RESTORING).exists():
        raise BackupError(
            f"{settings.data} is being restored from a backup; "
            "if that was cut off, give the same callguard restore again"
        )


def read_marker(data: Path) -> Marker | None:
    """The restore under way in a data folder. Raises BackupError where it cannot be read."""
    try:
        told: Mapping[str, object] = json.loads((data / RESTORING).read_bytes())
        return Marker(
            str(told["restore"]),
            str(told["manifest"]),
            str(told["begun_at"]),
            bool(told.get("ledger_of_backup")),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{data / RESTORING} cannot be read") from error


def begin(data: Path, marker: Marker) -> None:
    """From here on nothing else opens the folder. Raises OSError."""
    copy_into_place([json.dumps(asdict(marker)).encode()], data / RESTORING)
    sync_folder(data)


def end(data: Path) -> None:
    """It is done. Raises OSError."""
    (data / RESTORING).unlink()
    sync_folder(data)
