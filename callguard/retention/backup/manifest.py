"""What a backup says of itself. Pure; docs/backup.md has the layout."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from callguard.retention.erasures.lines import Mark

FORMAT = "callguard-backup"
VERSION = 1
LIMIT = 4 * 1024 * 1024
"""Bytes of the longest manifest that is read."""

MANIFEST = "manifest.json"
SEAL = "manifest.seal"
DATABASE = "callguard.db"
SEALED_DATABASE = "callguard.db.age"
OBJECT_LIST = "objects.jsonl"
SETTINGS = "settings.toml"
LEDGER = "erasures.ledger"
PROMPTS = "prompts"
PROGRESS_KEY = "progress.key"


class BackupError(RuntimeError):
    """A backup that cannot be made or is not to be trusted; one line that says why."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a backup."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of the audit log."""

    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Objects:
    """The sealed objects that the database refers to: how many, their bytes in all, and whether
    they lie beside the backup or only where the service keeps them."""

    count: int
    size: int
    copied: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """``database`` is the database as it is restored, unsealed; ``files`` are all files beside the
    manifest, by their path; ``in_progress`` the recordings that were not sealed yet, of which the
    backup has no audio; ``ledger`` the place up to which the erasure ledger was applied."""

    made_at: str
    callguard: str
    schema: str
    database: File
    sealed: bool
    audit: Head | None
    ledger: Mark | None
    objects: Objects
    in_progress: tuple[str, ...] = ()
    files: Mapping[str, File] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The one way in which it is written."""
        told = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(told, sort_keys=True, ensure_ascii=True, indent=1).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of the list: of which row it is, and what it must be."""

    data_class: str
    id: str
    name: str
    size: int
    sha256: str | None

    def encoded(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_manifest(raw: bytes) -> Manifest:
    """Raises BackupError."""
    try:
        told = json.loads(raw)
        if told["format"] != FORMAT:
            raise BackupError("it is not the manifest of a backup")
        if told["version"] != VERSION:
            raise BackupError(
                f"its version is {told['version']}, which this callguard does not read"
            )
        made = _manifest(told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BackupError("it is damaged") from error
    if made.encoded() != raw:
        raise BackupError("it is not in the one form")
    return made


def read_listed(raw: bytes) -> Listed:
    """Raises BackupError."""
    try:
        return Listed(**json.loads(raw))
    except (ValueError, TypeError, RecursionError) as error:
        raise BackupError("the list of objects is damaged") from error


def _manifest(told: dict[str, Any]) -> Manifest:
    files = {str(name): File(**one) for name, one in told["files"].items()}
    for name in files:
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise BackupError("it names a file outside of the backup")
    return Manifest(
        made_at=str(told["made_at"]),
        callguard=str(told["callguard"]),
        schema=str(told["schema"]),
        database=File(**told["database"]),
        sealed=bool(told["sealed"]),
        audit=Head(**told["audit"]) if told["audit"] else None,
        ledger=Mark(**told["ledger"]) if told["ledger"] else None,
        objects=Objects(**told["objects"]),
        in_progress=tuple(map(str, told["in_progress"])),
        files=files,
    )
