"""What stands, read from the table: the same whatever the pages, in any part of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callguard.optout.events import OptOutEvent, add, after
from callguard.optout.standing import every, newest, wishes
from callguard.storage.database import Database

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANN = "+442079460000"
SAID = OptOutEvent(ANN, "acme", True, "cli", "test", NOON)
LIFT = replace(SAID, standing=False, reason="asked", evidence="letter")


@pytest.fixture
def told(database: Database, tenant: str) -> list[tuple[int, OptOutEvent]]:
    """Many subjects who changed their minds often, one of them more often than a page is long."""
    events = [
        replace(
            LIFT if n % 5 == 4 else SAID,
            subject=f"+44207946{n * 7 % 11:04d}" if n % 3 else ANN,
            tenant=None if n % 4 == 0 else "acme",
            purposes=frozenset({"marketing", "service"} if n % 2 else ()),
            channels=frozenset({"sms"} if n % 7 == 0 else ()),
            at=NOON + timedelta(seconds=n),
        )
        for n in range(60)
    ]
    with database.writing() as connection:
        for event in events:
            add(connection, event)
    with database.reading() as connection:
        return after(connection, 0, 1_000)


@pytest.mark.parametrize("page", [1, 2, 7, 60, 1_000])
def test_all_that_stands_is_read_whole_by_pages_of_any_length(
    database: Database, told: list[tuple[int, OptOutEvent]], page: int
) -> None:
    found = list(every(database.reading, page))
    assert sorted(map(repr, found)) == sorted(map(repr, wishes(told)))
    subjects = [wish.event.subject for wish in found]
    assert subjects == sorted(subjects)


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_the_newest_are_told_with_all_that_stands_of_them(
    database: Database, told: list[tuple[int, OptOutEvent]], limit: int
) -> None:
    """Also of rows further back than was read."""
    last = {(w.event.subject, w.event.tenant): w.sequence for w in wishes(told)}
    order = sorted(last, key=lambda pair: last[pair])
    with database.reading() as connection:
        found, more = newest(connection, limit)
    pairs = [(wish.event.subject, wish.event.tenant) for wish in found]
    assert list(dict.fromkeys(pairs)) == order[-limit:]
    assert more == (len(order) > limit)
    for subject, tenant in order[-limit:]:
        for purpose in ("marketing", "survey"):
            for channel in ("voice", "sms"):
                ways = [
                    any(
                        (not w.event.purposes or purpose in w.event.purposes)
                        and (not w.event.channels or channel in w.event.channels)
                        for w in several
                        if (w.event.subject, w.event.tenant) == (subject, tenant)
                    )
                    for several in (found, wishes(told))
                ]
                assert ways[0] == ways[1]
