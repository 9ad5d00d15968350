"""Telling each who waits what became of its write; and whether the database writes."""

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.storage.dictation import ScribeError
from callguard.storage.faults import one_line
from callguard.storage.journal.committing import Group, Outcome, is_failing
from callguard.storage.journal.waiting import NotDurableError

log = structlog.get_logger(__name__)


class Settling:
    """Since the start: ``commits`` of groups, ``writes`` that were kept, ``failures`` that somebody
    was told of. ``failing`` is why the database does not write."""

    def __init__(self) -> None:
        self.commits = self.writes = self.failures = 0
        self.failing: str | None = None

    def settle(self, group: Group, outcome: Outcome) -> None:
        """That the disk takes writes again is known only where something was written."""
        failed: Exception | None = None
        for write, result in zip(group, outcome.results, strict=True):
            if is_failing(result):
                failed = result
            if not isinstance(result, Exception):
                self.writes += 1
                if not write.done.done():
                    write.done.set_result(result)
            elif not write.done.done():  # who gave up has counted it
                self.failures += 1
                write.done.set_exception(_told(result))
        if failed is None:
            self.commits += 1
            if self.failing is not None and outcome.wrote:
                log.info("database_writes_again")
                self.failing = None
        else:
            if self.failing is None:
                log.error("database_does_not_write", reason=one_line(failed))
            self.failing = one_line(failed)


def _told(error: Exception) -> Exception:
    if is_failing(error) or isinstance(error, (SQLAlchemyError, ScribeError)):
        return NotDurableError(one_line(error))
    return error
