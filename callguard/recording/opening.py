"""The object store that the settings name."""

from callguard.config import Settings
from callguard.recording.objects import FolderStore, ObjectStore


def open_store(settings: Settings) -> ObjectStore:
    """Raises ObjectStoreError."""
    return FolderStore(settings.object_folder, reserve=settings.objects.reserve_bytes)
