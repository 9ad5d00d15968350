"""kill -9 at any step of erasing a subject: nothing of anybody else goes, what went stands in the
ledger first, and the same again takes the rest; certificates add up."""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.recording import durable
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures import ledger
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.subject import erasing
from callguard.storage.database import Database
from callguard.storage.schema import calls, erasures, purges
from tests.clock import HandClock
from tests.killing import killed_at
from tests.retention.backup.scene import in_a_child
from tests.retention.subject.test_subject import ANN, BOB, ONE_CALL, House

RUNS = int(os.environ.get("CALLGUARD_KILLS", "4"))
CALLS = 3
STEPS = 60
PLACES = (
    (ledger, "write_lines"),
    (os, "fsync"),
    (os, "pwrite"),
    (durable, "sync_folder"),
    (ErasureLedger, "enter"),
    (erasing, "forget"),
    (erasing, "note"),
    (erasing, "end_erasures"),
    (erasing, "certify"),
    (erasing, "_shorten"),
    (FolderStore, "delete"),
    (Path, "unlink"),
    (Database, "writing"),
)


@pytest.mark.parametrize("run", range(RUNS))
def test_one_that_is_killed_is_completed_by_the_same_again(
    database: Database, clock: HandClock, tenant: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, run: int,
) -> None:  # fmt: skip
    assert tenant == "acme"
    monkeypatch.setattr(erasing, "CALLS", 1)
    drawn, house = random.Random(run), House(database, clock, tmp_path)
    for number in range(CALLS):
        house.call(f"ann-{number}", ANN)
    house.call("bob", BOB)
    house.record("loose", caller="02079460001")
    house.contact(ANN, id="contact-1")
    database.close()

    def once(step: int) -> None:
        own = House(Database(str(database.url)), clock, tmp_path)
        with killed_at(step, PLACES):
            forget_again(own.database, own.ledger, clock, actor="t")
            asyncio.run(own.erase())

    for step in sorted(drawn.sample(range(1, STEPS), 3)):
        in_a_child(lambda step=step: once(step))  # type: ignore[misc]
        _ledger_knows_what_went(house)
    forget_again(house.database, house.ledger, clock, actor="t")
    asyncio.run(house.erase())
    left = house.left()
    recordings = left.pop("recording")  # their rows and some payloads are the next purge's
    assert 1 <= recordings <= CALLS + 1
    assert left == {name: 1 for name in ONE_CALL if name != "recording"}
    assert "bob-r" in set(house.store.names())
    assert _certified(house) == CALLS


def _ledger_knows_what_went(house: House) -> None:
    with house.database.reading() as connection:
        there = set(connection.execute(select(calls.c.id)).scalars())
        stones = set(connection.execute(select(erasures.c.object_id)).scalars())
    named = {line.erasure.object_id for line in house.ledger.lines()}
    assert "bob" in there
    assert {f"ann-{number}" for number in range(CALLS)} - there <= named
    assert stones <= named


def _certified(house: House) -> int:
    """How many calls all certificates say are gone."""
    counts = Counter[str]()
    with house.database.reading() as connection:
        for row in connection.execute(select(purges.c.kind, purges.c.certificate)):
            told = Counter(row.certificate.get("counts", {}))
            counts["verdict"] += told["verdict" if row.kind == "erase" else "call"]
    return counts["verdict"]
