"""Where a backup is restored to: the settings that then count, and who opens its seal."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from callguard.config import Settings
from callguard.recording.keyring import Followed
from callguard.recording.keys import KeyWrapper, MasterKey
from callguard.recording.transit import TransitWrapper
from callguard.retention.backup.manifest import SETTINGS, BackupError

CONFIG = "callguard.toml"
"""In a folder that is restored into: its own settings."""


@dataclass(frozen=True, slots=True)
class Place:
    """The settings that count once it is restored, and the text of their file where it is to be
    written. ``left_out`` names what it does not have of those that it was made from."""

    settings: Settings
    config: Path
    text: str | None
    left_out: str = ""

    @property
    def database(self) -> Path:
        """The file of the database. Raises BackupError where it is none."""
        url = make_url(self.settings.database_url)
        if url.get_backend_name() != "sqlite" or not url.database:
            raise BackupError("the database of the settings is no file: it cannot be restored to")
        return Path(url.database)


def place_of(
    folder: Path, config: Path, into: Path | None, master_key: Path | None, *, copied: bool
) -> Place:
    """Without ``into`` all lies where the settings say. With it all lies in that folder, with
    settings of its own, made from ``config``, or from the backup's where there is no such file;
    then ``master_key`` must be named. ``copied`` is whether objects come with the backup.

    Raises BackupError, ConfigError.
    """
    if into is None:
        return Place(Settings.load(config), config, None)
    source = config if config.exists() else folder / SETTINGS
    settings = Settings.load(source)
    if source != config and (settings.keys.vault is not None or master_key is None):
        # What the backup says of itself is not believed before its seal was opened.
        raise BackupError(
            f"{config} is missing: name the master key with --master-key, or, where a KMS keeps "
            "it, the settings with --config"
        )
    into = into.absolute()
    told = dict(tomllib.loads(source.read_text(encoding="utf-8")))
    told["data"] = str(into)
    told["master_key_file"] = str((master_key or settings.master_key).absolute())
    told.pop("database", None)
    told.pop("prompts", None)
    objects = dict(told.get("objects", {}))
    # These go on being those of the callguard that runs: two that purge there, with holds of their
    # own, would take from each other.
    left_out = [name for name in ("ledger", "folders") if told.pop(name, None)]
    if copied and objects.pop("s3", None):
        left_out.append("objects.s3")
    objects["folder"] = str(into / "objects" if copied else settings.object_folder.absolute())
    told["objects"] = objects
    registries = dict(told.get("registries", {}))
    registries["folder"] = str(settings.registry_folder.absolute())
    told["registries"] = registries
    text = "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in told.items())
    made = Settings.model_validate(tomllib.loads(text))
    return Place(made, into / CONFIG, text, ", ".join(left_out))


def wrapper_of(settings: Settings) -> KeyWrapper:
    """Who opens the seal of a backup. Raises KeyStoreError."""
    if settings.keys.vault is None:
        return MasterKey.load(settings.master_key)
    vault = TransitWrapper(settings.keys.vault)
    if not settings.master_key.exists():
        return vault
    return Followed(vault, MasterKey.load(settings.master_key))


def _toml(value: object) -> str:
    """A value of TOML, in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)
