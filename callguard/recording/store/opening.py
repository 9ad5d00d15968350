"""The object store that the settings name."""

from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStore
from callguard.recording.store.s3 import S3Bucket
from callguard.recording.store.staged import StagedStore


def open_store(settings: Settings) -> ObjectStore:
    """Asks no bucket anything yet. Raises ObjectStoreError."""
    objects = settings.objects
    folder = FolderStore(settings.object_folder, reserve=objects.reserve_bytes)
    if objects.s3 is None:
        return folder
    return StagedStore(
        folder,
        S3Bucket(objects.s3),
        SystemClock(),
        part_bytes=objects.s3.part_bytes,
        queue_bytes=objects.queue_bytes,
    )
