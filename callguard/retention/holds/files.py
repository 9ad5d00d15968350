"""Whether a hold covers a file that another program wrote. What a file is about is told only by its
tenant, its time and the digits in its name, so a doubt keeps it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from unicodedata import digit

import phonenumbers
from sqlalchemy import Connection, Row, select

from callguard.retention.holds.covering import standing
from callguard.storage.schema import call_records, calls

LEAST = 5
"""Fewest digits by which a call is known: an agent's extension would be in every other name."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """``digits`` are those of which one must occur; None asks for none."""

    tenant: str | None
    from_at: datetime | None
    to_at: datetime | None
    digits: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class FileHolds:
    """The holds that stand, read once for many files."""

    holds: Sequence[_Hold]

    def cover(
        self, tenant: str | None, at: datetime, digits: str | Iterable[str], *,
        until: datetime | None = None,
    ) -> bool:  # fmt: skip
        """Whether one covers a file of that tenant (None: nobody knows whose, so any) and time.
        ``digits`` are those in its name and in what is known of it, in one text or several;
        ``until`` is its last time where it has a first and a last."""
        texts = [digits] if isinstance(digits, str) else list(digits)
        plain = list(map(_digits, texts))
        return any(_is_covered(hold, tenant, at, until or at, plain) for hold in self.holds)


def read_file_holds(connection: Connection) -> FileHolds:
    """The holds that stand."""
    return FileHolds([_read(connection, row) for row in standing(connection)])


def covers_file(
    connection: Connection, tenant: str | None, at: datetime, digits: str | Iterable[str]
) -> bool:
    """As ``FileHolds.cover``, for one file."""
    return read_file_holds(connection).cover(tenant, at, digits)


def _is_covered(
    hold: _Hold, tenant: str | None, first: datetime, last: datetime, texts: Sequence[str]
) -> bool:
    if hold.tenant is not None and tenant is not None and hold.tenant != tenant:
        return False
    if hold.from_at is not None and last < hold.from_at:
        return False
    if hold.to_at is not None and first >= hold.to_at:
        return False
    return hold.digits is None or any(one in text for one in hold.digits for text in texts)


def _read(connection: Connection, row: Row[tuple[object, ...]]) -> _Hold:
    digits: tuple[str, ...] | None = None
    if row.call_id is not None:
        digits = _of_call(connection, row.call_id)
    if row.subject is not None:
        # Where both are named, either is enough: files seldom name both.
        digits = (*(digits or ()), *_national(row.subject))
    return _Hold(row.tenant_id, row.from_at, row.to_at, digits)


def _of_call(connection: Connection, call_id: str) -> tuple[str, ...]:
    """By which digits a file of a call may be known: its numbers, and the ids that Asterisk and
    callguard gave it."""
    found = {_digits(call_id)}
    columns = ("uniqueid", "caller", "called", "subject")
    for table, key in ((calls, calls.c.id), (call_records, call_records.c.call_id)):
        wanted = select(*(table.c[name] for name in columns)).where(key == call_id)
        for row in connection.execute(wanted):
            found.add(_digits(row.uniqueid))
            for number in (row.caller, row.called, row.subject):
                found.update(_national(number or ""))
    return tuple(sorted(one for one in found if len(one) >= LEAST))


def _national(subject: str) -> tuple[str, ...]:
    """The digits that every way of writing a number ends in; none of what is no number."""
    if "@" in subject:
        return ()
    try:
        number = phonenumbers.parse(subject)
        # Where a leading nought belongs to the number, it may be left out all the same.
        digits = str(number.national_number)
    except phonenumbers.NumberParseException:
        digits = _digits(subject).lstrip("0")
    return (digits,) if digits else ()


def _digits(text: str) -> str:
    """In whatever script they are written."""
    return "".join(str(digit(one)) for one in text if one.isdigit())
