"""What is callguard's own, in which nothing is governed."""

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
        Own(settings.master_key, "the master key", whole=False),
        *(Own(path, "a copy of the ledger", whole=False) for path in settings.ledger.copies),
    )
