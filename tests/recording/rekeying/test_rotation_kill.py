"""A rotation killed at random moments: every header opens at every moment, and under the newest
key once a rotation was let finish. ``CALLGUARD_KILLS`` is how often it is killed."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from callguard.recording.rekeying.rotation import rotate
from callguard.storage.database import Database
from tests.clock import HandClock
from tests.recording.rekeying.keyed_rows import add_keyed, keys_of, means, opened, put

KILLS = int(os.environ.get("CALLGUARD_KILLS", "2"))
COUNT = 200
LONGEST_S = 0.25
ROOT = Path(__file__).parents[3]


def kill_one(path: str, after_s: float, processes: int) -> bool:
    """Whether it was killed in the middle."""
    command = [
        sys.executable,
        "-m",
        "tests.recording.rekeying.rotation_child",
        path,
        str(processes),
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout is not None
    assert child.stdout.readline() == b"begins\n"
    time.sleep(after_s)
    child.kill()
    with child.stdout:
        ended = child.stdout.read() == b"ends\n"
    child.wait()
    return not ended


def test_a_rotation_killed_at_random_loses_nothing(database: Database, clock: HandClock) -> None:
    add_keyed(database, clock)
    before = put(database, clock, COUNT)
    path, chance = str(database.url.database), random.Random(6)
    halfway = 0
    for turn in range(KILLS):
        kill_one(path, chance.uniform(0, LONGEST_S), processes=turn % 2 + 1)
        assert opened(database, newest=False) == before
        keys = keys_of(database)
        halfway += bool(keys.replaced)
        assert len(keys.replaced) <= 1, "a rotation that was cut off is gone on with"
    asyncio.run(rotate(means(database, clock, batch=100), "acme", renew=False))
    assert opened(database) == before
    assert not keys_of(database).replaced
    print(f"{halfway} of {KILLS} were killed between the new version and the last header")
