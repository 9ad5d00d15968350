"""All sections together, read from their file."""

import tomllib
from pathlib import Path
from typing import Self

from phonenumbers import SUPPORTED_REGIONS
from pydantic import ValidationError, field_validator

from callguard.config.asterisk import API, Asterisk
from callguard.config.gate import Agi, Limits
from callguard.config.policy import Policy, Registries
from callguard.config.recording import Keys, Objects, Spool
from callguard.config.retention import Folder, Ledger, Purge
from callguard.config.section import ConfigError, Section
from callguard.config.web import Scrubs, Sms, Web


class Settings(Section):
    """Everything callguard needs to know of the machine it stands on."""

    data: Path = Path("/var/lib/callguard")
    home_region: str = "GB"
    database: str | None = None
    master_key_file: Path | None = None
    prompts: Path | None = None
    asterisk: tuple[Asterisk, ...] = ()
    agi: Agi = Agi()
    web: Web = Web()
    sms: Sms = Sms()
    scrubs: Scrubs = Scrubs()
    spool: Spool = Spool()
    objects: Objects = Objects()
    keys: Keys = Keys()
    purge: Purge = Purge()
    ledger: Ledger = Ledger()
    folders: tuple[Folder, ...] = ()
    policy: Policy = Policy()
    registries: Registries = Registries()
    limits: Limits = Limits()

    @field_validator("data")
    @classmethod
    def _data(cls, value: Path) -> Path:
        if "?" in str(value):
            raise ValueError(f"{value} has a ? in it, which the database's address cannot have")
        return value

    @field_validator("home_region")
    @classmethod
    def _region(cls, value: str) -> str:
        if value not in SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is not a region of the telephone numbering plans")
        return value

    @field_validator("folders")
    @classmethod
    def _folders_differ(cls, value: tuple[Folder, ...]) -> tuple[Folder, ...]:
        names = [folder.name for folder in value]
        if len(set(names)) != len(names):
            raise ValueError("two folders have one name")
        return value

    @field_validator("asterisk")
    @classmethod
    def _names_differ(cls, value: tuple[Asterisk, ...]) -> tuple[Asterisk, ...]:
        names = [pbx.name for pbx in value]
        if len(set(names)) != len(names):
            raise ValueError("two Asterisks have one name")
        if API in names:
            raise ValueError(f"no Asterisk is called {API!r}: so are calls that the API counted")
        return value

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data / 'callguard.db'}"

    @property
    def master_key(self) -> Path:
        return self.master_key_file or self.data / "master.key"

    @property
    def api_token(self) -> Path:
        return self.web.api_token_file or self.data / "api.token"

    @property
    def sms_token(self) -> Path:
        return self.sms.token_file or self.data / "sms.token"

    @property
    def prompt_folder(self) -> Path:
        return self.prompts or self.data / "prompts"

    @property
    def registry_folder(self) -> Path:
        return self.registries.folder or self.data / "registries"

    @property
    def scrub_folder(self) -> Path:
        return self.data / "scrubs"

    @property
    def object_folder(self) -> Path:
        return self.objects.folder or self.data / "objects"

    @property
    def erasure_ledger(self) -> Path:
        """Outside of the database, so that a restored one forgets again."""
        return self.data / "erasures.ledger"

    @property
    def export_folder(self) -> Path:
        return self.data / "exports"

    def pbx(self, name: str) -> Asterisk | None:
        """The Asterisk of that name."""
        return next((pbx for pbx in self.asterisk if pbx.name == name), None)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads the file. Raises ConfigError, in one line that names the file and the key."""
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
            return cls.model_validate(data)
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: {error}") from error
        except RecursionError as error:
            raise ConfigError(f"{file}: it is nested too deeply") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "settings"
            said = " ".join(f"{key}: {first['msg']}".split())  # what is quoted may hold line breaks
            raise ConfigError(f"{file}: {said}") from error
