"""Contracts that end, as commands carry them on: with the managed folders, so that none is
certified while a file of the tenant is left."""

from callguard.cli.arguments import law_of
from callguard.cli.surroundings import actor
from callguard.clock import Clock
from callguard.config import Settings
from callguard.recording.erasure import Write, tidy
from callguard.recording.keyring import open_keyring
from callguard.recording.store.opening import open_store
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.folders.governing import ManagedFolders
from callguard.retention.purging.clock_sense import ClockSense
from callguard.retention.termination.surroundings import Places
from callguard.retention.termination.termination import Terminations
from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory


def terminations(
    settings: Settings, database: Database, write: Write, clock: Clock
) -> Terminations:
    """All of them, as in a service."""
    tenants = TenantDirectory(law_of(settings))
    return Terminations(
        database,
        write,
        open_store(settings),
        open_ledger(settings),
        open_keyring(settings).identities,
        tenants,
        Places(settings.export_folder, settings.scrub_folder),
        clock_fault=ClockSense(clock, settings.purge.max_gap_days).look,
        tidy=lambda: tidy(database.tidy),
        elsewhere=ManagedFolders(settings, database, write, tenants.get, clock, actor=actor()),
    )
