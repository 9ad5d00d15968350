"""A second before its date the doors of a running service show everything, and from that instant on
nothing, also where the clock is set back while it serves and after it starts anew."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from sqlalchemy import insert, update

from callguard.clock import _seen, latest
from callguard.contacts.contact import NOTHING_KNOWN
from callguard.contacts.store import EVER
from callguard.contacts.store import read as read_contact
from callguard.service import Service
from callguard.storage.database import Database
from callguard.storage.schema import (
    call_records,
    calls,
    clock_marks,
    consents,
    contacts,
    recording_events,
    recordings,
)
from callguard.web.token import new_token
from tests.harness.virtual import current_clock, real_io, virtual_time
from tests.house import furnish, serving, simulated_pbx
from tests.retention.rows import EVERY, put

CALL = "0199a0b0-0000-7000-8000-000000000001"
RECORDING = "0199a0b0-0000-7000-8000-000000000002"
NUMBER = "+442079460123"
API = "/api/v1"
SHORT = timedelta(seconds=20)
"""Within which the purge's sense of the clock does not look."""

DOORS = {
    "the status page": "/",
    "recordings": f"{API}/recordings?tenant=acme",
    "a recording": f"{API}/recordings/{RECORDING}",
    "call records": f"{API}/call-records?tenant=acme",
    "a call": f"{API}/call-records/{CALL}",
}


def fill(database: Database, over: datetime) -> None:
    """One row of every class about one call, all due at once."""
    for name in EVERY:
        put(database, name, 1, over, at=over - timedelta(hours=1))
    with database.writing() as connection:
        for table in (consents, recordings, recording_events, call_records):
            connection.execute(update(table).values(call_id=CALL))
        connection.execute(update(calls).values(id=CALL, subject=NUMBER, reasons=[CALL]))
        connection.execute(update(call_records).values(userfield=CALL, subject=NUMBER))
        connection.execute(update(contacts).values(subject=NUMBER, known={"region": "GB"}))
        connection.execute(update(recordings).values(id=RECORDING))


async def shown(service: Service, token: str) -> dict[str, bool]:
    """Which doors tell of anything."""
    found = {}
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        for name, path in DOORS.items():
            async with client.get(f"http://127.0.0.1:{service.web_port}{path}") as answer:
                text = await answer.text()
                assert answer.status in (200, 404), (path, answer.status, text)
                found[name] = CALL in text
    return found


@virtual_time
async def test_no_door_shows_what_has_expired(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    token = new_token()
    settings.api_token.write_text(token)
    settings.api_token.chmod(0o600)
    pbx, clock = simulated_pbx(tmp_path), current_clock()
    async with pbx:
        async with serving(settings, pbx) as service:
            over = clock.now() + SHORT
            fill(service.database, over)
            await asyncio.sleep((over - clock.now()).total_seconds() - 1)
            with real_io():
                before = await shown(service, token)
            await asyncio.sleep(1)
            assert clock.now() == over
            with real_io():
                at = await shown(service, token)
            clock.jump(-3600)
            with real_io():
                back = await shown(service, token)
        with service.database.writing() as connection:  # as the purge's sense of it had noted
            connection.execute(clock_marks.delete())
            connection.execute(insert(clock_marks).values(id=1, seen_at=over))
            assert read_contact(connection, "acme", NUMBER, clock.now()) == NOTHING_KNOWN
            assert read_contact(connection, "acme", NUMBER, EVER) != NOTHING_KNOWN
        assert clock.now() < over - timedelta(minutes=50)
        _seen.clear()  # another process
        async with serving(settings, pbx) as service:
            assert latest(clock) >= over
            with real_io():
                anew = await shown(service, token)
    assert before == dict.fromkeys(before, True)
    assert at == back == anew == dict.fromkeys(before, False)
