"""The audit chain: whatever is done to its rows afterwards, the first broken one is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import StaticPool

from callguard.audit.log import GENESIS, Entry, append, canonical, digest, first_broken
from callguard.storage.database import Database
from callguard.storage.schema import audit, audit_beginning, metadata

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ROWS = 5
COLUMNS = ("seq", "at", "actor", "action", "tenant", "target", "details", "previous", "digest")
Raw = tuple[object, ...]


def entry(number: int) -> Entry:
    return Entry(
        NOON + timedelta(seconds=number),
        "cli:ann",
        "recording.export",
        f"recording:{number}",
        "acme" if number % 2 else None,
        {"reason": f"dispute {number}", "bytes": number},
    )


@cache
def _engine() -> Engine:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine, tables=[audit, audit_beginning])
    return engine


@cache
def _whole() -> tuple[Raw, ...]:
    with _engine().begin() as connection:
        connection.execute(audit.delete())
        for number in range(ROWS):
            append(connection, entry(number))
        return tuple(tuple(row) for row in connection.execute(text("SELECT * FROM audit")))


def judged(rows: list[Raw]) -> int | None:
    """What ``first_broken`` says of rows that somebody put there."""
    marks = ", ".join(f":{name}" for name in COLUMNS)
    with _engine().begin() as connection:
        connection.execute(audit.delete())
        for row in rows:
            values = dict(zip(COLUMNS, row, strict=True))
            connection.execute(text(f"INSERT INTO audit VALUES ({marks})"), values)  # noqa: S608 - fixed names
        return first_broken(connection)


def changed(row: Raw, column: str, value: object) -> Raw:
    at = COLUMNS.index(column)
    return (*row[:at], value, *row[at + 1 :])


def test_a_whole_chain_and_an_empty_one_are_not_broken() -> None:
    assert judged(list(_whole())) is None
    assert judged([]) is None


def test_the_first_row_follows_from_the_genesis_and_each_from_the_one_before() -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in _whole()]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["previous"] for row in rows] == [GENESIS, *(row["digest"] for row in rows[:-1])]
    assert rows[2]["digest"] == digest(str(rows[1]["digest"]), entry(2))


@given(
    st.integers(0, ROWS - 1),
    st.sampled_from(COLUMNS[1:]),
    st.one_of(st.text(max_size=20), st.integers(-(2**40), 2**62), st.none()),
)
def test_any_changed_field_is_found(number: int, column: str, value: object) -> None:
    rows = list(_whole())
    altered = changed(rows[number], column, value)
    nullable = column == "tenant"
    if altered == rows[number] or (value is None and not nullable):
        return
    rows[number] = altered
    assert judged(rows) == number + 1


@pytest.mark.parametrize(
    "details",
    ["", "no JSON", "[]", "3", '{"bytes": 2, "reason": "dispute 2"}', '{"bytes":2', "null"],
)
def test_details_that_are_written_otherwise_are_found(details: str) -> None:
    rows = list(_whole())
    rows[2] = changed(rows[2], "details", details)
    assert judged(rows) == 3


def test_an_instant_that_is_none_is_found_and_breaks_nothing() -> None:
    for value in (2**62, "yesterday", -(2**62)):
        rows = list(_whole())
        rows[1] = changed(rows[1], "at", value)
        assert judged(rows) == 2


@given(st.integers(0, ROWS - 2))
def test_a_removed_row_is_found(number: int) -> None:
    rows = list(_whole())
    del rows[number]
    assert judged(rows) == number + 2


@given(st.integers(0, ROWS - 2))
def test_a_removed_row_is_found_when_those_after_it_are_numbered_anew(number: int) -> None:
    rows = list(_whole())
    del rows[number]
    assert judged([changed(row, "seq", at + 1) for at, row in enumerate(rows)]) == number + 1


@given(st.permutations(range(ROWS)))
def test_rows_in_another_order_are_found(order: list[int]) -> None:
    whole = _whole()
    rows = [changed(whole[row], "seq", at + 1) for at, row in enumerate(order)]
    broken = next((at + 1 for at, row in enumerate(order) if at != row), None)
    assert judged(rows) == broken


@given(st.integers(1, ROWS - 1))  # after the last one, it would be a row like any other
def test_an_inserted_row_is_found_even_with_a_right_digest_of_its_own(place: int) -> None:
    whole = list(_whole())
    before = str(whole[place - 1][-1])
    forged = replace(entry(9), target="recording:forged")
    row = (
        place + 1,
        1_795_176_009_000_000,
        forged.actor,
        forged.action,
        forged.tenant,
        forged.target,
        canonical(forged.details),
        before,
        digest(before, replace(forged, at=NOON + timedelta(seconds=9))),
    )
    after = [changed(r, "seq", int(str(r[0])) + 1) for r in whole[place:]]
    assert judged([*whole[:place], row, *after]) == place + 2


def test_a_gap_in_the_numbers_is_found() -> None:
    rows = list(_whole())
    rows[-1] = changed(rows[-1], "seq", 50)
    assert judged(rows) == 50


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.booleans())))
def test_details_have_one_writing_whatever_their_order(details: dict[str, object]) -> None:
    backwards = dict(reversed(list(details.items())))
    written = canonical(details)
    assert canonical(backwards) == written
    assert written.isascii()
    assert json.loads(written) == details


def test_no_details_are_an_empty_object() -> None:
    assert canonical(None) == canonical({}) == "{}"
    assert canonical({"b": 1, "a": "שלום"}) == '{"a":"\\u05e9\\u05dc\\u05d5\\u05dd","b":1}'


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, at=e.at + timedelta(microseconds=1)),
        lambda e: replace(e, actor="x"),
        lambda e: replace(e, action="x"),
        lambda e: replace(e, target="x"),
        lambda e: replace(e, tenant="x"),
        lambda e: replace(e, details={}),
    ],
)
def test_every_field_is_in_the_digest(change: Callable[[Entry], Entry]) -> None:
    assert digest(GENESIS, change(entry(1))) != digest(GENESIS, entry(1))
    assert digest("1" * 64, entry(1)) != digest(GENESIS, entry(1))


def test_an_act_that_fails_leaves_no_row_and_no_gap(database: Database) -> None:
    def act(connection: Connection) -> None:
        append(connection, entry(1))
        raise LookupError("the act failed")

    with database.writing() as connection:
        append(connection, entry(0))
    with pytest.raises(LookupError), database.writing() as connection:
        act(connection)
    with database.writing() as connection:
        append(connection, entry(2))
    with database.reading() as connection:
        assert first_broken(connection) is None
        assert connection.execute(text("SELECT max(seq) FROM audit")).scalar() == 2


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        digest(GENESIS, replace(entry(1), at=datetime(2026, 1, 1)))  # noqa: DTZ001 - naive on purpose
