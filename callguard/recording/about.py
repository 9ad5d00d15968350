"""Whom recordings are about, by the verdicts on their calls: the law asks it of how long they and
their evidence are kept."""

from typing import Any, Final

from callguard.storage.schema import calls, recordings
from callguard.tenants.keeping import Concern

ABOUT: Final = (calls.c.subject, calls.c.purpose, calls.c.direction)
"""What ``concern_of`` reads."""

ITS_CALL: Final = calls.c.id == recordings.c.call_id
"""What joins them, from the outside: a recording outlives its verdict."""


def concern_of(row: Any) -> Concern:
    """Whom a row is about; nobody where its call's verdict is gone."""
    return Concern(row.subject or "", row.purpose or "", row.direction or "")
