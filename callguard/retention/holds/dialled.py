"""Whether a call record has a number, which it names as it was dialled, as SQL."""

from typing import Any, Final

from sqlalchemy import and_, case, func, literal, null, or_
from sqlalchemy.sql import ColumnElement

from callguard.storage.schema import call_records

TAIL: Final = 7
"""Digits at the end of a number by which one is known in a call record of which nobody knows whom
it is about."""


def is_dialled(subject: Any) -> ColumnElement[bool]:
    """Whether a call record has this number, as it is known, as one that called or was called."""
    number = subject if isinstance(subject, ColumnElement) else literal(subject)
    return number.in_([call_records.c.caller, call_records.c.called])


def ends_alike(subject: Any) -> ColumnElement[bool]:
    """Whether a call record that is about nobody, which is one without a verdict, has a number that
    may be this one, written in any way."""
    number = subject if isinstance(subject, ColumnElement) else literal(subject)
    return and_(number.startswith("+"), or_(*(tail_of(number) == one for one in tails())))


def tails() -> list[ColumnElement[str]]:
    return [tail_of(_digits(one)) for one in (call_records.c.caller, call_records.c.called)]


def tail_of(digits: ColumnElement[str]) -> ColumnElement[str]:
    """None of fewer digits: an extension would be at the end of every other number."""
    long = func.length(digits)
    return case((long >= TAIL, func.substr(digits, long - TAIL + 1)), else_=null())


def _digits(number: ColumnElement[str]) -> ColumnElement[str]:
    """A number without what people put between its digits."""
    for between in "+ -.()":
        number = func.replace(number, between, "")
    return number
