"""What is wrong with the machine or the settings for as long as the service runs."""

import structlog

from callguard.config import Settings
from callguard.gate.lease import FILE as LEASE_FILE
from callguard.storage.database import Database
from callguard.vault import Vault

log = structlog.get_logger(__name__)


def standing_alarms(
    settings: Settings, database: Database, vault: Vault, prompt_faults: tuple[str, ...]
) -> tuple[str, ...]:
    """A line each, and each into the log. ``prompt_faults`` are only logged: prompts are followed,
    and what is wrong with them may be mended."""
    alarms = []
    if not database.is_private():
        alarms.append("the database can be read by other users of this machine")
    if not vault.spool.is_in_memory():
        alarms.append(f"the spool {vault.spool.folder} is on a disk: plaintext reaches it")
    alarms += [
        f"{pbx.name}: no trunks are named, so only those whose lines a tenant names count as "
        "the tenant's own people (docs/install.md)"
        for pbx in settings.asterisk
        if not pbx.trunks
    ]
    known = {recording.spool_name for recording in vault.recorder.in_progress()}
    orphans = vault.spool.orphans({*known, LEASE_FILE})
    if orphans:
        alarms.append(f"{len(orphans)} spool entries belong to no recording in progress")
    for alarm in (*(f"prompt: {fault}" for fault in prompt_faults), *alarms):
        log.warning("alarm", reason=alarm)
    return tuple(alarms)
