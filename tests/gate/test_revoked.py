"""Whoever withdraws on the web or by letter while they are on the telephone is recorded no more."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from callguard.consent import given
from callguard.consent.chain_rows import read_chain
from callguard.consent.given import About
from callguard.consent.statement import recorded_with_consent
from callguard.gate.told import read_told
from callguard.ids import uuid7
from callguard.retention.schedule import for_days
from callguard.storage.database import Database
from callguard.storage.schema import calls, consents, recording_events
from tests.clock import HandClock
from tests.databases import add_tenant, clock, database
from tests.harness.virtual import current_clock, virtual_time
from tests.house import PARTY, House, house
from tests.law import DEBTS, YEARS

__all__ = ["clock", "database"]

OTHER = "+442079460124"
WITHIN_S = 1.0


def consent(home: House, subject: str, purpose: str = "recording") -> None:
    now = current_clock().now()
    about = About("acme", subject, purpose)
    with home.service.database.writing() as connection:
        given.record(
            connection,
            about,
            proof="form",
            granted_at=now,
            at=now,
            actor="cli:ann",
            keep=for_days(9),
        )


def withdraw(home: House, subject: str, purpose: str = "recording") -> None:
    about = About("acme", subject, purpose)
    now = current_clock().now()
    with home.service.database.writing() as connection:
        given.withdraw(connection, about, reason="web", at=now, actor="cli:ann", keep=for_days(9))


@pytest.mark.parametrize(
    ("tenant", "subject", "purpose", "seconds", "state"),
    [
        ("acme", PARTY, "recording", 1, "withdrawn"),
        ("acme", PARTY, "recording", 0, "withdrawn"),
        ("acme", PARTY, "recording", -1, "granted"),
        ("acme", OTHER, "recording", 1, "granted"),
        ("two", PARTY, "recording", 1, "granted"),
        ("acme", PARTY, "marketing", 1, "granted"),
    ],
)
def test_after_a_restart_it_is_known_who_withdrew_meanwhile(
    database: Database,
    clock: HandClock,
    tenant: str,
    subject: str,
    purpose: str,
    seconds: int,
    state: str,
) -> None:
    for name in ("acme", "two"):
        add_tenant(database, clock, name)
    said_at = clock.now()
    row = {"tenant_id": "acme", "subject": PARTY, "purpose": "recording", "state": "granted"}
    other = {"tenant_id": tenant, "subject": subject, "purpose": purpose, "state": "withdrawn"}
    here = {"pbx": "east", "channel_uniqueid": "1.2", "call_id": "call"}
    with database.writing() as connection:
        said = insert(consents).values(id=str(uuid7(said_at)), at=said_at, **row, **here)
        connection.execute(said)
        at = said_at + timedelta(seconds=seconds)
        connection.execute(insert(consents).values(id=str(uuid7(at)), at=at, **other))
    with database.reading() as connection:
        told = read_told(connection, "east", ["1.2", "1.3"], said_at)
    assert {uniqueid: one.state for uniqueid, one in told.items()} == {"1.2": state}


@pytest.mark.parametrize(
    ("call", "until_s", "state"),
    [("call", None, "withdrawn"), ("next", None, "granted"), ("next", 9, "expired")],
)
def test_who_withdrew_in_a_call_is_asked_again_in_the_next_alone(
    database: Database, clock: HandClock, call: str, until_s: int | None, state: str
) -> None:
    add_tenant(database, clock, "acme")
    now = clock.now()
    ends = None if until_s is None else now + timedelta(seconds=until_s)
    with database.writing() as connection:
        for seconds, said, of, until in (
            (0, "withdrawn", "call", None),
            (1, "granted", call, ends),
        ):
            at = now + timedelta(seconds=seconds)
            row = {"tenant_id": "acme", "subject": PARTY, "purpose": "recording", "until": until}
            here = {"pbx": "east", "channel_uniqueid": "1.2", "call_id": of, "state": said}
            connection.execute(insert(consents).values(id=str(uuid7(at)), at=at, **row, **here))
    with database.reading() as connection:
        told = read_told(connection, "east", ["1.2"], now + timedelta(seconds=9))
    assert told["1.2"].state == state


@virtual_time
async def test_a_withdrawal_elsewhere_ends_the_recording_of_a_call_that_goes_on(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, recording_mode="silent") as home:
        for subject in (PARTY, OTHER):
            consent(home, subject)
        consent(home, OTHER, "marketing")
        talking = {}
        for subject in (PARTY, OTHER):
            call = home.pbx.outbound(subject, tenant="acme", purpose="service")
            await call.carrier_answers()
            await call.talk(seconds=3)
            talking[subject] = call
        directory = home.service.tenants
        acme = directory.get("acme")
        assert acme is not None
        law = replace(DEBTS, purposes=frozenset({"service"}))
        directory._image.tenants["acme"] = replace(acme, limits=(law,))
        begun = {row["subject"]: row["id"] for row in home.rows(calls)}
        assert {row["mode"] for row in home.rows(consents) if row["call_id"]} == {"prior"}
        withdrawn_at = current_clock().now()
        withdraw(home, PARTY)
        withdraw(home, OTHER, "marketing")
        await asyncio.sleep(WITHIN_S)
        running = [one.call_id for one in home.service.vault.recorder.in_progress()]
        stopped = [e for e in home.rows(recording_events) if e["kind"] == "stopped"]
        assert [event["call_id"] for event in stopped] == [begun[PARTY]]
        assert begun[OTHER] in running
        (ended,) = [
            row
            for row in home.rows(consents)
            if (row["state"], row["call_id"]) == ("withdrawn", begun[PARTY])
        ]
        assert (ended["actor"], ended["proof"][:8]) == ("cli:ann", "consent:")
        kept = {ended["expires_at"].year, *(event["expires_at"].year for event in stopped)}
        assert kept == {withdrawn_at.year + YEARS}
        for call in talking.values():
            await call.talk(seconds=3)
            await call.hangs_up("party")
            await call.ended()
        await home.settled()
        now = current_clock().now()
        with home.service.database.reading() as connection:
            for subject in (PARTY, OTHER):
                chain = read_chain(connection, begun[subject], now)
                assert chain is not None
                said = recorded_with_consent(chain, now)
                assert (said.holds, said.recordings) == (True, 1)
                (recording,) = chain.recordings
                assert recording.ended_at is not None
                late = recording.ended_at - withdrawn_at
                assert (late.total_seconds() < WITHIN_S) is (subject == PARTY)
