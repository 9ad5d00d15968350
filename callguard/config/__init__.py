"""The settings of one callguard, from one TOML file.

Secrets are named by file, never written here, so that the settings can be shown and backed up.
"""

from callguard.config.asterisk import API, Asterisk
from callguard.config.gate import Agi, Limits
from callguard.config.policy import Policy, Registries, RegistryList
from callguard.config.recording import S3, Keys, Objects, Spool, Vault
from callguard.config.retention import Folder, Ledger, Purge
from callguard.config.section import ConfigError
from callguard.config.settings import Settings
from callguard.config.web import Scrubs, Sms, Web

__all__ = [
    "API",
    "S3",
    "Agi",
    "Asterisk",
    "ConfigError",
    "Folder",
    "Keys",
    "Ledger",
    "Limits",
    "Objects",
    "Policy",
    "Purge",
    "Registries",
    "RegistryList",
    "Scrubs",
    "Settings",
    "Sms",
    "Spool",
    "Vault",
    "Web",
]
