"""Call records that are only stored, because somebody in them has had processing restricted.

GDPR art. 18(2): personal data are then processed, but for storing them, only with consent, for
legal claims, or to protect the rights of another person. Numbers of such records are told only on
one of these grounds. Without one they come masked, whatever the reason: nobody is named, and calls
and seconds still add up.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from callguard.policy.numbers import key_of
from callguard.storage.schema import contacts
from callguard.tenants.region import home_regions

_AT_ONCE: Final = 500
_SHORTEST: Final = 5
"""Digits of a number that may be somebody's."""


def only_stored(connection: Connection, rows: Sequence[Row[Any]]) -> frozenset[int]:
    """The ids of those of these rows of ``call_records`` in which anybody is named whose processing
    their tenant has restricted: subject, caller or called."""
    regions = home_regions(connection, {row.tenant_id for row in rows if row.tenant_id})
    named: dict[str, dict[int, set[str]]] = {tenant: {} for tenant in regions}
    for row in rows:
        if row.tenant_id in named:
            named[row.tenant_id][row.id] = _named(row, regions[row.tenant_id])
    found: set[int] = set()
    for tenant, records in named.items():
        if hidden := restricted(connection, tenant, set().union(*records.values())):
            found.update(name for name, keys in records.items() if keys & hidden)
    return frozenset(found)


def restricted(connection: Connection, tenant: str, subjects: Iterable[str]) -> set[str]:
    """Those of these subjects whose processing is restricted, as long as that is kept at all."""
    asked, found = sorted(subjects), set[str]()
    since = contacts.c.known["restricted_since"].as_string()
    for start in range(0, len(asked), _AT_ONCE):
        some = contacts.c.subject.in_(asked[start : start + _AT_ONCE])
        found.update(
            connection.execute(
                select(contacts.c.subject).where(
                    contacts.c.tenant_id == tenant, some, since.is_not(None)
                )
            ).scalars()
        )
    return found


def _named(row: Row[Any], region: str) -> set[str]:
    named = {row.subject or "", _key(row.caller, region), _key(row.called, region)}
    return named - {"", row.own_number}


@lru_cache(maxsize=16_384)
def _key(text: str, region: str) -> str:
    if text[:1] == "+" and text[1:].isascii() and text[1:].isdigit():
        return text
    return key_of(text, region) if sum(map(str.isdigit, text)) >= _SHORTEST else ""
