"""Records of what was erased: of the whole call, of a part of it, of its legs, of one alone."""

from datetime import timedelta

import pytest
from sqlalchemy import insert

from callguard.cdr import erased
from callguard.cdr.erased import ErasedLinks
from callguard.cdr.record import CallRecord, from_event, from_line
from callguard.cdr.store import Kept
from callguard.recording.traces import record_id
from callguard.storage.database import Database
from callguard.storage.schema import erasures, holds
from tests.cdr.kept import house, kept, put
from tests.cdr.lines import CALL_ID, OTHER_CALL_ID, at, event, line

FILE = from_line(line())
AMI = from_event(dict(event().headers))
LEG = from_line(line(2, userfield="", linkedid=FILE.linkedid))
OTHER = from_line(line(3, userfield=OTHER_CALL_ID, linkedid="1795176000.3"))


def erase(database: Database, data_class: str, name: str) -> None:
    with database.writing() as connection:
        tomb = {"data_class": data_class, "object_id": name, "at": at(0)}
        connection.execute(insert(erasures).values(**tomb))


def test_records_of_an_erased_call_are_not_entered_and_neither_are_its_legs(
    database: Database,
) -> None:
    erase(database, "call", CALL_ID)
    erase(database, "recording", OTHER_CALL_ID)
    assert put(database, FILE, LEG, OTHER) == Kept(added=1, erased=2)
    assert kept(database) == [3]


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ("consent", Kept(erased=1)),
        ("recording", Kept(erased=1)),
        ("consent+recording", Kept(erased=1)),
        ("call_record", Kept(added=1)),
        ("call_record+consent", Kept(added=1)),
    ],
)
def test_of_a_call_that_was_erased_in_part_its_records_come_only_where_they_stay(
    database: Database, parts: str, found: Kept
) -> None:
    erase(database, "call_part", f"{CALL_ID}/{parts}")
    assert put(database, FILE) == found


def test_a_record_that_was_erased_alone_is_not_entered_again_from_either_source(
    database: Database,
) -> None:
    assert FILE.sequence is not None
    erase(database, "call_record", record_id("east", FILE.uniqueid, FILE.sequence))
    assert put(database, AMI, FILE, OTHER) == Kept(added=1, erased=2)


@pytest.mark.parametrize("order", [[FILE, LEG, OTHER], [LEG, OTHER, FILE]])
def test_a_leg_that_comes_in_another_piece_than_its_erased_call_goes_with_it(
    database: Database, order: list[CallRecord]
) -> None:
    erase(database, "call", CALL_ID)
    within = house()
    found = [put(database, one, within=within) for one in order]
    assert sum(one.erased for one in found) == 2
    assert kept(database) == [3]


def test_the_same_leg_of_another_asterisk_stays(database: Database) -> None:
    erase(database, "call", CALL_ID)
    within = house()
    put(database, LEG, pbx="west", within=within)
    put(database, FILE, within=within)
    assert put(database, from_line(line(4, userfield="")), pbx="west", within=within).added == 1


def test_a_leg_that_a_hold_keeps_stays(database: Database) -> None:
    with database.writing() as connection:
        said = {"id": "h", "reason": "a claim", "author": "test", "at": at(0)}
        connection.execute(insert(holds).values(**said, from_at=at(0) - timedelta(days=1)))
    put(database, LEG)
    erase(database, "call", CALL_ID)
    put(database, FILE)
    assert kept(database) == [2]


def test_no_more_linked_ids_are_remembered_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erased, "MOST", 2)
    links = ErasedLinks()
    for one in ("a", "b", "a", "c"):
        links.add("east", [one])
    assert links.among("east", "abc") == {"a", "c"}
