"""A CSV file of contacts, a line at a time: what is wrong with one spoils no other."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO, get_args

from callguard.cli.arguments import read_past, subject_of
from callguard.cli.surroundings import CommandError
from callguard.contacts.contact import Contact, ContactError
from callguard.contacts.exchange import Origin
from callguard.policy.facts import SubjectKind
from callguard.tenants.tenant import Tenant

COLUMNS = ("number", "region", "subdivision", "zone", "kind", "last_exchange")
KINDS: tuple[SubjectKind, ...] = get_args(SubjectKind)

ORIGINS: tuple[Origin, ...] = get_args(Origin)

MAX_LINE = 4_096
"""Longest line, in bytes."""


@dataclass(frozen=True, slots=True)
class Details:
    """Where a subject is and what they are; None where that is left as it was."""

    region: str | None = None
    subdivision: str | None = None
    zone: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be read."""

    number: int
    subject: str
    details: Details
    exchanged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that cannot be taken over, and why."""

    number: int
    told: str


def read_origin(text: str | None) -> Origin | None:
    """Raises CommandError."""
    if text is None:
        return None
    found = next((one for one in ORIGINS if one == text), None)
    if found is None:
        raise CommandError(f"{text!r} is no origin; known: {', '.join(ORIGINS)}")
    return found


def detailed(contact: Contact, details: Details) -> Contact:
    """With what is given set. Raises ContactError, also for a state of the United States that
    there is none: the rules of no state would be about its people."""
    region = details.region and details.region.upper()
    subdivision = details.subdivision and details.subdivision.upper()
    contact = contact.placed(region, subdivision, details.zone)
    if details.kind is None:
        return contact
    kind = next((kind for kind in KINDS if kind == details.kind.lower()), None)
    if kind is None:
        raise ContactError(f"{details.kind!r} is no kind of subject; known: {', '.join(KINDS)}")
    return replace(contact, kind=kind)


def read_lines(source: BinaryIO, tenant: Tenant, now: datetime) -> Iterator[Line | Fault]:
    """What each line says. Raises CommandError where the first does not name the columns."""
    columns: list[str] = []
    for number, text in enumerate(_texts(source), 1):
        if text is not None and not text.strip():
            continue
        try:
            if text is None:
                raise CommandError(f"it is longer than {MAX_LINE} bytes")
            cells = _cells(text)
            if columns:
                yield _line(number, columns, cells, tenant, now)
            else:
                columns = _columns(cells)
        except CommandError as error:
            if not columns:
                raise CommandError(f"line {number}: {error}") from error
            yield Fault(number, str(error))
    if not columns:
        raise CommandError("the file is empty: its first line names the columns")


def _texts(source: BinaryIO) -> Iterator[str | None]:
    """The lines; None for one that is too long. What is not UTF-8 stays visible as such, and no
    cell can be made of it."""
    while raw := source.readline(MAX_LINE + 1):
        if len(raw) > MAX_LINE:
            while raw and not raw.endswith(b"\n"):
                raw = source.readline(MAX_LINE)
            yield None
            continue
        yield raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff").rstrip("\r\n")


def _cells(text: str) -> list[str]:
    """Raises CommandError."""
    try:
        return [cell.strip() for cell in next(csv.reader([text], strict=True))]
    except csv.Error as error:
        raise CommandError(str(error)) from error


def _columns(cells: Sequence[str]) -> list[str]:
    names = [cell.lower() for cell in cells]
    if strange := [name for name in names if name not in COLUMNS]:
        raise CommandError(f"{strange[0]!r} is no column; known: {', '.join(COLUMNS)}")
    if "number" not in names or len(set(names)) != len(names):
        raise CommandError("the columns are to name number, and each column once")
    return names


def _line(
    number: int, columns: Sequence[str], cells: Sequence[str], tenant: Tenant, now: datetime
) -> Line:
    if len(cells) != len(columns):
        raise CommandError(f"it has {len(cells)} cells, the first line has {len(columns)}")
    given = {name: cell or None for name, cell in zip(columns, cells, strict=True)}
    subject = subject_of(given.pop("number") or "", tenant)
    last = given.pop("last_exchange", None)
    exchanged = None if last is None else read_past(last, now)
    return Line(number, subject, Details(**given), exchanged)
