"""Why the service cannot start or go on."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from callguard.config import ConfigError
from callguard.policy.packs import PackError
from callguard.recording.keys import KeyStoreError
from callguard.recording.spool import SpoolError
from callguard.recording.store.objects import ObjectStoreError
from callguard.storage.database import DatabaseError
from callguard.storage.faults import one_line


class ServiceError(RuntimeError):
    """The service cannot start or go on; one line that says why."""


@contextmanager
def service_errors() -> Iterator[None]:
    """Whatever a room cannot be built for becomes a ServiceError."""
    try:
        yield
    except (
        DatabaseError,
        KeyStoreError,
        SpoolError,
        ObjectStoreError,
        ConfigError,
        PackError,
        OSError,
    ) as error:
        raise ServiceError(str(error)) from error
    except SQLAlchemyError as error:
        raise ServiceError(f"the database cannot be read: {one_line(error)}") from error
