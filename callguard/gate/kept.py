"""Of whom anything is kept, among very many numbers; and what it is, read for many at once."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Text, select, type_coerce

from callguard.policy.facts import Attempt
from callguard.storage.alive import alive
from callguard.storage.schema import attempts, contacts
from callguard.storage.types import to_micros

_AT_ONCE: Final = 500
_PAGE: Final = 50_000
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)


class Kept:
    """What a tenant's calls are decided by beside the rules. ``wished``, ``contacts`` and
    ``called`` are sorted numbers: of whom a wish, a contact or a late call is kept."""

    def __init__(
        self,
        connection: Connection,
        tenant: str,
        wished: NDArray[np.int64],
        since: datetime | None,
        at: datetime,
    ) -> None:
        """``since`` is from when on calls count; None where none do. ``at`` is the moment for which
        is asked: of contacts that have expired by then nothing is kept. Raises SQLAlchemyError."""
        self._connection, self._since = connection, since
        self._known = (contacts.c.tenant_id == tenant) & alive(contacts, at)
        self.wished = wished
        self.contacts = _subjects(connection, contacts.c.subject, self._known)
        self.called = (
            _subjects(connection, attempts.c.subject, _later(since))
            if since is not None
            else np.zeros(0, np.int64)
        )
        self._sieve = _Sieve(np.concatenate((wished, self.contacts, self.called)))

    def find(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of those of whom anything is kept."""
        return self._sieve.find(numbers)

    def read_contacts(self, numbers: NDArray[np.int64]) -> dict[int, str]:
        """What is stored of contacts. Raises SQLAlchemyError."""
        columns = select(contacts.c.subject, type_coerce(contacts.c.known, Text))
        mine = columns.where(self._known)
        found = {}
        for subjects in _keys(numbers):
            rows = self._connection.execute(mine.where(contacts.c.subject.in_(subjects))).all()
            found.update({int(subject[1:]): kept for subject, kept in rows})
        return found

    def read_attempts(self, numbers: NDArray[np.int64]) -> dict[int, tuple[Attempt, ...]]:
        """The late calls, the newest first. Raises SQLAlchemyError."""
        found: dict[int, list[Attempt]] = {}
        if self._since is None:
            return {}
        for subjects in _keys(numbers):
            asked = _ATTEMPTS.where(attempts.c.subject.in_(subjects), _later(self._since))
            for subject, *rest in self._connection.execute(asked).all():
                found.setdefault(int(subject[1:]), []).append(Attempt(*rest))
        return {number: tuple(calls) for number, calls in found.items()}


_ATTEMPTS = select(
    attempts.c.subject,
    attempts.c.at,
    attempts.c.tenant_id,
    attempts.c.purpose,
    attempts.c.channel,
    attempts.c.campaign,
    attempts.c.debt,
    attempts.c.answered_at,
).order_by(attempts.c.subject, attempts.c.at.desc())


def _keys(numbers: NDArray[np.int64]) -> Iterator[list[str]]:
    subjects = [f"+{number}" for number in dict.fromkeys(numbers.tolist())]
    for first in range(0, len(subjects), _AT_ONCE):
        yield subjects[first : first + _AT_ONCE]


def _subjects(
    connection: Connection, subject: Column[str], where: ColumnElement[bool]
) -> NDArray[np.int64]:
    """The numbers among the subjects of some rows, sorted; read a page at a time."""
    asked = select(subject).where(where).distinct().order_by(subject).limit(_PAGE)
    parts = [np.zeros(0, np.int64)]
    last = ""
    while page := connection.execute(asked.where(subject > last)).scalars().all():
        last = page[-1]
        found = [int(one[1:]) for one in page if one[:1] == "+" and one[1:].isdecimal()]
        parts.append(np.array(found, np.int64))
    return np.unique(np.concatenate(parts))


def _later(since: datetime) -> ColumnElement[bool]:
    """Whether an attempt was made after that."""
    return type_coerce(attempts.c.at, BigInteger) > to_micros(since)


def among(numbers: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which numbers are among those that are sorted."""
    if not len(ordered):
        return np.zeros(len(numbers), np.bool_)
    at = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[at] == numbers
    return found


class _Sieve:
    """Finds those of many numbers that are among a few, most of the time at one look each."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self._ordered = np.unique(numbers)
        bits = min(26, max(12, int(16 * len(self._ordered)).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._marks = np.zeros(1 << bits, np.bool_)
        self._marks[self._slots(self._ordered)] = True

    def _slots(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        slots = (numbers.view(np.uint64) * _MIX) >> self._shift
        return slots.view(np.int64)

    def find(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of those that are among them."""
        if not len(self._ordered):
            return np.zeros(0, np.int64)
        maybe = np.flatnonzero(self._marks.take(self._slots(numbers)))
        return maybe[among(numbers[maybe], self._ordered)]
