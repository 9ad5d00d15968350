"""Opt-outs as rows: all of what was said comes back, and nothing is lifted or narrowed silently."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from callguard.audit.log import first_broken
from callguard.optout.events import OptOutError, OptOutEvent, add, after
from callguard.optout.image import OptOutImage
from callguard.storage.database import Database
from callguard.storage.schema import audit

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENT = OptOutEvent(
    subject="+442079460000",
    tenant="acme",
    standing=True,
    way="call",
    actor="subject",
    at=NOON,
    purposes=frozenset({"marketing", "survey"}),
    call_id="017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    prompt="notice v1 he sha256:0",
    reason="ביקשה",
)
LIFT = replace(EVENT, standing=False, reason="she wrote")


def put(database: Database, *events: OptOutEvent) -> list[int]:
    with database.writing() as connection:
        return [add(connection, event) for event in events]


def rows(database: Database, sequence: int = 0, limit: int = 100) -> list[tuple[int, OptOutEvent]]:
    with database.reading() as connection:
        return after(connection, sequence, limit)


def test_what_was_said_comes_back_whole(database: Database, tenant: str) -> None:
    everyone = replace(EVENT, tenant=None, purposes=frozenset(), call_id=None, reason=None)
    numbers = put(database, EVENT, everyone)
    assert rows(database) == list(zip(numbers, [EVENT, everyone], strict=True))


def test_pages_follow_one_another_without_gap_or_overlap(database: Database, tenant: str) -> None:
    numbers = put(database, *[replace(EVENT, subject=f"+44{n}") for n in range(7)])
    seen, found = 0, []
    while page := rows(database, seen, 3):
        found += [number for number, _ in page]
        seen = found[-1]
    assert found == numbers == sorted(numbers)


@pytest.mark.parametrize("reason", [None, ""])
def test_an_opt_out_is_not_lifted_without_a_reason(
    database: Database, tenant: str, reason: str | None
) -> None:
    with pytest.raises(OptOutError, match="only with a reason"):
        put(database, replace(LIFT, reason=reason))
    assert rows(database) == []


def test_every_event_is_audited_without_the_number(database: Database, tenant: str) -> None:
    put(database, EVENT, LIFT)
    with database.reading() as connection:
        found = connection.execute(select(audit).where(audit.c.action.like("optout.%"))).all()
        assert [row.action for row in found] == ["optout.add", "optout.lift"]
        assert EVENT.subject not in str(found)
        assert first_broken(connection) is None


def purposes(*names: str) -> OptOutEvent:
    return replace(EVENT, purposes=frozenset(names))


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ([purposes(), purposes("survey")], frozenset()),
        ([purposes("survey"), purposes("marketing")], frozenset({"marketing", "survey"})),
        ([purposes("survey"), purposes()], frozenset()),
        ([purposes(), LIFT, purposes("survey")], frozenset({"survey"})),
        (
            [replace(purposes(), tenant=None), purposes("survey")],
            frozenset({"survey"}),
        ),
        (
            [replace(purposes(), subject="+442079460001"), purposes("survey")],
            frozenset({"survey"}),
        ),
    ],
)
def test_a_later_opt_out_never_narrows_the_one_that_stands(
    database: Database, tenant: str, events: list[OptOutEvent], left: frozenset[str]
) -> None:
    put(database, *events)
    image = OptOutImage()
    image.follow(rows(database))
    wishes = [wish for wish in image.of(EVENT.subject, tenant) if wish.tenant == tenant]
    assert [wish.purposes for wish in wishes] == [left]


def test_a_wish_against_everyone_is_not_narrowed_either(database: Database) -> None:
    put(database, replace(purposes(), tenant=None), replace(purposes("survey"), tenant=None))
    image = OptOutImage()
    image.follow(rows(database))
    assert [wish.purposes for wish in image.of(EVENT.subject, "acme")] == [frozenset()]
