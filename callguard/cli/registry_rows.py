"""What ``callguard registry list`` tells of each registry."""

from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from callguard.config import Settings
from callguard.gate.policy import Policy
from callguard.optout.registry.contract import Manifest, RegistryError
from callguard.optout.registry.freshness import stale_from
from callguard.optout.registry.records import REFUSED, TAKEN, last, row_of
from callguard.optout.registry.snapshot import Snapshot, current
from callguard.policy.packs import all_packs
from callguard.storage.schema import registry_imports
from callguard.tenants.directory import TenantDirectory

COLUMNS = (
    "registry",
    "list_date",
    "age_days",
    "count",
    "coverage",
    "digest",
    "in_use_since",
    "stale_on",
    "stale",
    "fault",
    "refused",
)


def rows_of(connection: Connection, settings: Settings, now: datetime) -> list[dict[str, object]]:
    """A row for each registry that was ever imported or lies there, by name. Raises PackError."""
    folder, today = settings.registry_folder, now.date()
    directory = TenantDirectory()
    directory.refresh(connection)
    packs = all_packs(settings.policy.packs, settings.policy.leave_out)
    policy = Policy(rule for pack in packs for rule in pack.rules)
    ages = policy.strictest_ages(directory.all(), today)
    rows: list[dict[str, object]] = []
    for name in _names(connection, folder):
        manifest, fault = _in_use(folder / name)
        row: dict[str, object] = dict.fromkeys(COLUMNS)
        row |= {"registry": name, "fault": fault, "refused": _refused(connection, name)}
        if manifest is not None:
            entered = row_of(connection, name, manifest.digest)
            max_age = ages.get(name)
            stale = None if max_age is None else stale_from(manifest.list_date, max_age)
            row |= {
                "list_date": manifest.list_date.isoformat(),
                "age_days": (today - manifest.list_date).days,
                "count": manifest.count,
                "coverage": list(manifest.coverage.prefixes),
                "digest": manifest.digest,
                "in_use_since": entered.at.isoformat(timespec="seconds") if entered else None,
                "stale_on": stale.isoformat() if stale else None,
                "stale": None if stale is None else stale <= today,
            }
        rows.append(row)
    return rows


def _names(connection: Connection, folder: Path) -> list[str]:
    names = set(connection.execute(select(registry_imports.c.registry).distinct()).scalars())
    if folder.is_dir():
        names |= {path.parent.name for path in folder.glob("*/current")}
    return sorted(names)


def _in_use(registry: Path) -> tuple[Manifest | None, str | None]:
    try:
        digest = current(registry)
        if digest is None:
            return None, "it is not imported"
        snapshot = Snapshot.open_of(registry, digest)
    except RegistryError as error:
        return None, str(error)
    snapshot.close()
    return snapshot.manifest, None


def _refused(connection: Connection, name: str) -> dict[str, object] | None:
    """The last list that was refused, if none was taken since."""
    refused, taken = last(connection, name, REFUSED), last(connection, name, TAKEN)
    if refused is None or (taken is not None and taken.at > refused.at):
        return None
    return {"at": refused.at.isoformat(timespec="seconds"), "reason": refused.reason}
