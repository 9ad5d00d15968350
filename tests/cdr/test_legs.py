"""The legs of one call: what Asterisk linked, and nothing of anybody else's."""

from datetime import timedelta

from callguard.cdr.columns import NAMES, Told
from callguard.cdr.legs import as_value, legs_of, read_call
from callguard.storage.database import Database
from tests.cdr.told import (
    NOON,
    SUBJECT,
    put_call,
    put_consent,
    put_record,
    put_recording,
)
from tests.clock import HandClock
from tests.databases import add_tenant

LATER = NOON + timedelta(days=1)
LINK = "1700000000.1"


def legs(database: Database, call: str, tenant: str | None = None) -> list[object]:
    with database.reading() as connection:
        return [_of(leg, "sequence") for leg in legs_of(connection, call, LATER, tenant)]


def _of(leg: Told, name: str) -> object:
    return leg[NAMES.index(name)]


def test_a_transfer_is_one_call_of_several_legs_in_the_order_they_began(
    database: Database, tenant: str
) -> None:
    call = put_call(database)
    put_record(database, 30, call_id=call, linkedid=LINK)
    put_record(database, 20, linkedid=LINK, started_at=NOON)
    put_record(database, 10, linkedid=LINK, started_at=NOON - timedelta(minutes=5))
    put_record(database, 40)
    assert legs(database, call) == [10, 30, 20]


def test_the_same_linked_id_elsewhere_or_long_ago_is_another_conversation(
    database: Database, tenant: str
) -> None:
    call = put_call(database)
    put_record(database, 1, call_id=call, linkedid=LINK)
    put_record(database, 2, linkedid=LINK, pbx="west")
    put_record(database, 3, linkedid=LINK, ended_at=NOON - timedelta(days=3))
    put_record(database, 4, linkedid=LINK, ended_at=NOON + timedelta(days=3))
    put_record(database, 5, linkedid=LINK, ended_at=NOON + timedelta(days=1, hours=23))
    assert legs(database, call) == [1, 5]


def test_an_expired_leg_is_not_told(database: Database, tenant: str) -> None:
    call = put_call(database)
    put_record(database, 1, call_id=call, linkedid=LINK)
    put_record(database, 2, linkedid=LINK, expires_at=LATER)
    assert legs(database, call) == [1]


def test_a_tenant_sees_its_own_legs_and_nobodys_only_where_no_other_has_a_part(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "beta")
    call = put_call(database)
    put_record(database, 1, call_id=call, linkedid=LINK)
    put_record(database, 2, linkedid=LINK, tenant_id=None)
    assert legs(database, call, "acme") == [1, 2]
    put_record(database, 3, linkedid=LINK, tenant_id="beta")
    assert legs(database, call, "acme") == [1]
    assert legs(database, call) == [1, 2, 3]
    assert legs(database, call, "beta") == []


def test_one_view_has_verdict_consent_recording_and_legs(database: Database, tenant: str) -> None:
    call = put_call(database, reasons=["allowed"])
    consent = put_consent(database, call, "granted")
    recording = put_recording(database, call, "sealed")
    put_record(database, 1, call_id=call)
    with database.reading() as connection:
        found = read_call(connection, call, LATER)
        assert read_call(connection, call, LATER, "beta") is None
    assert found is not None
    told = as_value(found, numbers=False)
    assert (told["tenant"], told["verdict"], told["verdict_reasons"]) == (
        "acme", "allow", ["allowed"],
    )  # fmt: skip
    assert [one["id"] for one in _list(told["consents"])] == [consent]
    assert [one["id"] for one in _list(told["recordings"])] == [recording]
    assert [one["unique_id"] for one in _list(told["legs"])] == [LINK]
    assert SUBJECT not in repr(told)
    assert SUBJECT in repr(as_value(found, numbers=True))


def test_a_call_that_was_blocked_has_no_legs_and_is_told_all_the_same(
    database: Database, tenant: str
) -> None:
    call = put_call(database, verdict="block")
    with database.reading() as connection:
        found = read_call(connection, call, LATER)
    assert found is not None
    assert (found.tenant, list(found.legs)) == ("acme", [])


def test_of_a_call_whose_verdict_is_gone_the_rest_is_told(database: Database, tenant: str) -> None:
    call = put_call(database, expires_at=NOON)
    put_record(database, 1, call_id=call)
    with database.reading() as connection:
        found = read_call(connection, call, LATER)
        assert found is not None
        assert (found.call, found.tenant, len(found.legs)) == (None, "acme", 1)
        assert read_call(connection, "no such call", LATER) is None


def _list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value
