"""What was erased is in no byte of the database's files, however its rows were moved about."""

import random
from pathlib import Path

import pytest
from sqlalchemy import event, insert, select, update

from callguard.ids import uuid7
from callguard.recording import tombstones
from callguard.recording.closing import End, _enter_length, mark_sealed
from callguard.recording.ending import Sealed
from callguard.recording.recorder import RESERVED
from callguard.retention.erasures.ledger import RECORDING, Erasure
from callguard.storage.database import Database
from callguard.storage.schema import recordings
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.schema import upgrade

WINDOW = 24


@pytest.mark.parametrize(("header_bytes", "seed"), [(250, 0), (500, 2), (700, 5), (1700, 0)])
def test_no_byte_of_an_erased_header_is_left(
    header_bytes: int, seed: int, tmp_path: Path, clock: HandClock
) -> None:
    chance, headers = random.Random(seed), dict[str, list[bytes]]()
    database = Database(f"sqlite:///{tmp_path / 'callguard.db'}")
    event.listen(database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    upgrade(database)
    add_tenant(database, clock)

    def fresh(recording: str) -> bytes:
        made = chance.randbytes(header_bytes + chance.randrange(3))
        headers.setdefault(recording, []).append(made)
        return made

    def begin() -> str:
        clock.advance(0.01)
        recording = str(uuid7(clock.now()))
        connection.execute(
            insert(recordings).values(
                id=recording,
                tenant_id="acme",
                call_id=recording,
                pbx="east",
                channel_uniqueid="1.1",
                state="recording",
                spool_name=f"{recording}.sln",
                encoding="pcm-8000-1",
                header=fresh(recording),
                keyed_for="0" * 64,
                wrapped_file_key=chance.randbytes(56),
                reserved=bytes(RESERVED),
                started_at=clock.now(),
            )
        )
        return recording

    def seal(recording: str) -> None:
        now, plain = clock.now(), 1_000_000_000
        assert _enter_length(connection, recording, None, plain, 70_000)
        row = connection.execute(select(recordings).where(recordings.c.id == recording)).one()
        end = End(Sealed(recording, plain, plain, "5a" * 32), missing=70_000)
        assert mark_sealed(connection, row, end, now, now, now)

    running: list[str] = []
    for _ in range(40):
        with database.writing() as connection:
            running += [begin() for _ in range(10)]
        with database.writing() as connection:
            chance.shuffle(running)
            while len(running) > 30:
                seal(running.pop())
    with database.writing() as connection:
        for one in running:
            seal(one)
    for turn in range(2):
        with database.writing() as connection:
            for recording in headers:
                connection.execute(
                    update(recordings)
                    .where(recordings.c.id == recording)
                    .values(header=fresh(recording), keyed_for=f"{turn}" * 64)
                )
    with database.writing() as connection:
        ids = sorted(headers, key=lambda _: chance.random())
        tombstones._erase(connection, [Erasure(RECORDING, one, one, clock.now()) for one in ids])
    database.checkpoint()
    database.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    left = [
        recording
        for recording, made in headers.items()
        for header in made
        if any(
            header[at : at + WINDOW] in files
            for at in range(0, len(header) - WINDOW, len(header) // 4)
        )
    ]
    assert left == []
