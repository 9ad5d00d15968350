"""The journal: every call-time write goes through one writer with group commit.

Writers await their own commit. While one group is being committed the next one gathers, so a
commit's fsync is shared by all who came meanwhile. What fails in a group is tried again alone,
so that one bad row never takes its neighbours down.
"""

from callguard.storage.journal.journal import Journal, JournalState
from callguard.storage.journal.waiting import NotDurableError, Row

__all__ = ["Journal", "JournalState", "NotDurableError", "Row"]
