"""A second before its date everything is shown, and a second after it nothing is, by every command
and door that shows rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from callguard.clock import latest, not_before
from callguard.config import Settings
from callguard.consent.chain_rows import read_chain
from callguard.consent.ledger import evidence_of
from callguard.contacts.contact import NOTHING_KNOWN
from callguard.contacts.store import read as read_contact
from callguard.overview import _last_verdicts
from callguard.recording.delivery import store
from callguard.recording.playback.access import Asked, Reader
from callguard.recording.playback.admission import Admitted, consider
from callguard.recording.playback.reading import listed
from callguard.storage.alive import alive, time_seen
from callguard.storage.database import Database
from callguard.storage.schema import (
    call_records,
    calls,
    clock_marks,
    consents,
    contacts,
    deliveries,
    recording_events,
    recordings,
)
from tests.cli.conftest import CommandLine, acme, blank, callguard
from tests.clock import HandClock
from tests.retention.rows import EVERY, put

__all__ = ["acme", "blank", "callguard"]

NUMBER = "+442079460123"
SECOND = timedelta(seconds=1)
OVER = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CALL = "0199a0b0-0000-7000-8000-000000000001"
RECORDING = "0199a0b0-0000-7000-8000-000000000002"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """What the clock of every command says."""
    moment = [OVER - SECOND]
    monkeypatch.setattr("callguard.clock.SystemClock.now", lambda _: moment[0])
    return moment


def fill(database: Database) -> None:
    """One row of every table with a date, all about one call and due at once."""
    for name in EVERY:
        put(database, name, 1, OVER, at=OVER - timedelta(hours=1))
    with database.writing() as connection:
        for table in (consents, recordings, recording_events, call_records):
            connection.execute(update(table).values(call_id=CALL))
        connection.execute(update(calls).values(id=CALL, subject=NUMBER))
        connection.execute(update(call_records).values(userfield=CALL, subject=NUMBER))
        connection.execute(update(contacts).values(subject=NUMBER, known={"region": "GB"}))
        connection.execute(update(consents).values(subject=NUMBER, mode="notice"))
        connection.execute(update(recordings).values(id=RECORDING))
        connection.execute(update(recording_events).values(recording_id=RECORDING))
        connection.execute(update(deliveries).values(recording_id=RECORDING, state="sent"))
        given: dict[str, Any] = {"purpose": "recording", "state": "granted", "expires_at": OVER}
        connection.execute(
            insert(consents).values(
                id="given", tenant_id="acme", subject=NUMBER, at=OVER - 2 * SECOND, **given
            )
        )


COMMANDS: dict[str, tuple[str, ...]] = {
    "recordings": ("recording", "list"),
    "a recording": ("recording", "show", RECORDING),
    "the ledger of a subject": ("consent", "show", NUMBER, "--tenant", "acme"),
    "a call that was decided": ("explain", "--call", CALL),
    "where a recording went": ("delivery", "show", RECORDING),
    "call records": ("cdr", "list", "--tenant", "acme"),
    "a call with its legs": ("cdr", "show", CALL),
    "a contact": ("contact", "show", NUMBER, "--tenant", "acme"),
}


def shown(acme: CommandLine, arguments: tuple[str, ...]) -> bool:
    """Whether the command tells of anything."""
    said = acme(*arguments, "--json")
    assert "Traceback" not in said.err
    if said.code:
        assert "there is no" in said.err, said.err
        return False
    told = said.json()
    if isinstance(told, dict):
        return bool(told.get("rows", told.get("known", told)))
    return bool(told)


def test_no_command_shows_what_has_expired(acme: CommandLine, now: list[datetime]) -> None:
    database = Database(Settings.load(acme.config).database_url)
    fill(database)
    before = {name: shown(acme, arguments) for name, arguments in COMMANDS.items()}
    chain = acme("consent", "show", "--call", CALL, "--json")
    now[0] = OVER
    after = {name: shown(acme, arguments) for name, arguments in COMMANDS.items()}
    assert before == dict.fromkeys(COMMANDS, True)
    assert after == dict.fromkeys(COMMANDS, False)
    assert chain.out
    acme("consent", "show", "--call", CALL).refused("nothing is kept of a call")
    now[0] = OVER - timedelta(days=1)  # the clock was set back, and another process had seen more
    with database.writing() as connection:
        connection.execute(clock_marks.delete())
        connection.execute(insert(clock_marks).values(id=1, seen_at=OVER))
    again = {name: shown(acme, arguments) for name, arguments in COMMANDS.items()}
    assert again == dict.fromkeys(COMMANDS, False)


def test_no_reader_finds_what_has_expired(acme: CommandLine) -> None:
    database = Database(Settings.load(acme.config).database_url)
    fill(database)
    for moment, there in ((OVER - SECOND, True), (OVER, False)):
        with database.reading() as connection:
            seen = {
                "verdicts on the page": bool(_last_verdicts(connection, moment)),
                "a chain": read_chain(connection, CALL, moment) is not None,
                "evidence": evidence_of(connection, "acme", NUMBER, moment) is not None,
                "recordings": bool(listed(connection, now=moment, limit=9)),
                "deliveries": bool(store.of_recording(connection, RECORDING, moment)),
                "counts of deliveries": bool(store.standing(connection, None, moment)),
                "contact": read_contact(connection, "acme", NUMBER, moment) != NOTHING_KNOWN,
                "a supervisor": isinstance(
                    consider(
                        connection,
                        Asked(Reader("dana", "supervisor", "acme"), "metadata"),
                        RECORDING,
                        moment,
                    ),
                    Admitted,
                ),
            }
            for name, table in EVERY.items():
                rows = connection.execute(table.select().where(alive(table, moment))).all()
                assert bool(rows) is there, name
        assert seen == dict.fromkeys(seen, there)


def test_what_had_expired_stays_so_when_the_clock_is_set_back() -> None:
    clock = HandClock()
    began = latest(clock)
    clock.advance(10)
    assert latest(clock) == began + 10 * SECOND
    clock._now -= timedelta(days=1)  # a person, or a time server
    assert latest(clock) == began + 10 * SECOND
    clock.advance(5)
    assert latest(clock) == began + 15 * SECOND  # by the clock that never goes back
    clock._now += timedelta(days=2)
    assert latest(clock) == clock.now()
    not_before(clock, clock.now() + timedelta(hours=1))
    clock.advance(1)
    assert latest(clock) == clock.now() + timedelta(hours=1)
    assert latest(HandClock()) == began  # of another clock nothing is known


def test_the_time_that_a_database_has_seen_is_not_undone(acme: CommandLine) -> None:
    database = Database(Settings.load(acme.config).database_url)
    put(database, "verdict", 1, OVER)
    with database.writing() as connection:
        connection.execute(clock_marks.delete())
        for seen, there in ((OVER - SECOND, 1), (OVER, 0)):
            connection.execute(clock_marks.delete())
            connection.execute(insert(clock_marks).values(id=1, seen_at=seen))
            wanted = calls.select().where(alive(calls, OVER - timedelta(days=9)))
            assert len(connection.execute(wanted).all()) == there
            assert time_seen(connection, OVER - timedelta(days=9)) == seen
        assert time_seen(connection, OVER + SECOND) == OVER + SECOND
