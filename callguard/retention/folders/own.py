"""What is callguard's own, in which nothing is governed."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from callguard.config import Folder, Settings
from callguard.retention.folders.root import Own


def own_places(settings: Settings, folder: Folder) -> tuple[Own, ...]:
    """By the settings; and other managed folders than this one, for what lies in two would be
    governed by both. One path may be given twice, with other names of files."""
    folders = {
        "callguard's data": settings.data,
        "the spool": settings.spool.folder,
        "the store of recordings": settings.object_folder,
        "the prompts": settings.prompt_folder,
        "the registries": settings.registry_folder,
        "the uploaded lists": settings.scrub_folder,
        "the exports": settings.export_folder,
    }
    return (
        *(Own(path, title) for title, path in folders.items()),
        *(
            Own(other.path, f"folder {other.name}")
            for other in settings.folders
            if other.path != folder.path
        ),
        *(Own(path, title, whole=False) for path, title in _files(settings)),
    )


def _files(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Which no folder to govern may hold: some are not changed for years, and would be due."""
    yield settings.master_key, "the master key"
    yield settings.api_token, "the token of the API"
    yield settings.sms_token, "the token of the text messages"
    if (database := make_url(settings.database_url).database) and Path(database).is_absolute():
        yield Path(database), "the database"
    yield from ((path, "a copy of the ledger") for path in settings.ledger.copies)
    yield from ((one.secret_file, "the manager's secret") for one in settings.asterisk)
