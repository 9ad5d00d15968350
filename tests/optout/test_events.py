"""Opt-outs as rows: all of what was said comes back, and nothing is lifted or narrowed silently."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from callguard.audit.log import first_broken
from callguard.optout.events import OptOutError, OptOutEvent, add, after
from callguard.optout.image import OptOutImage
from callguard.optout.standing import after as changes_after
from callguard.policy.facts import CHANNELS, PURPOSES, OptOut
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
LIFT = replace(
    EVENT,
    standing=False,
    purposes=frozenset(),
    reason="she wrote",
    evidence="her letter",
)


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
    assert {
        purpose: {wish.tenant for wish in wishes_of(database) if wish.covers(purpose, "voice")}
        for purpose in PURPOSES
    } == {
        purpose: {None} & {event.tenant for event in events}
        | ({tenant} if not left or purpose in left else set())
        for purpose in PURPOSES
    }


def wishes_of(database: Database) -> tuple[OptOut, ...]:
    image = OptOutImage()
    with database.reading() as connection:
        image.follow(changes_after(connection, 0, 100))
    return image.of(EVENT.subject, "acme")


def test_a_wish_against_everyone_is_not_narrowed_either(database: Database) -> None:
    put(database, replace(purposes(), tenant=None), replace(purposes("survey"), tenant=None))
    assert all(
        any(wish.covers(purpose, "voice") for wish in wishes_of(database)) for purpose in PURPOSES
    )


@pytest.mark.parametrize("evidence", [None, "", "  "])
def test_an_opt_out_is_not_lifted_without_evidence(
    database: Database, tenant: str, evidence: str | None
) -> None:
    with pytest.raises(OptOutError, match="only with evidence"):
        put(database, replace(LIFT, evidence=evidence))
    assert rows(database) == []


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (replace(EVENT, way="fax"), "'fax' is no way to opt out; known: call, "),
        (purposes("fun"), "'fun' is no purpose; known: marketing, "),
        (replace(EVENT, channels=frozenset({"fax"})), "'fax' is no channel; known: voice, sms"),
        (replace(EVENT, subject=""), "this one has none"),
    ],
)
def test_what_could_never_bind_is_refused(
    database: Database, tenant: str, event: OptOutEvent, told: str
) -> None:
    with pytest.raises(OptOutError, match=told):
        put(database, event)
    assert rows(database) == []


def test_two_wishes_cover_what_was_said_and_not_what_lies_across(
    database: Database, tenant: str
) -> None:
    put(
        database,
        replace(purposes("marketing"), channels=frozenset({"sms"})),
        replace(purposes("service"), channels=frozenset({"voice"})),
    )
    covered = {
        (purpose, channel)
        for purpose in PURPOSES
        for channel in CHANNELS
        if any(wish.covers(purpose, channel) for wish in wishes_of(database))
    }
    assert covered == {("marketing", "sms"), ("service", "voice")}


def test_what_is_opted_into_again_is_lifted_and_the_rest_stands(
    database: Database, tenant: str
) -> None:
    put(database, purposes(), replace(LIFT, purposes=frozenset({"service"})))
    said = wishes_of(database)
    for purpose in PURPOSES:
        assert any(w.covers(purpose, "voice") for w in said) == (purpose != "service")
    assert len(rows(database)) == 2


def test_opting_in_with_one_tenant_leaves_a_wish_against_all(
    database: Database, tenant: str
) -> None:
    put(database, replace(purposes(), tenant=None), purposes(), LIFT)
    assert [wish.tenant for wish in wishes_of(database)] == [None]
