"""``python -m tests.recording.rekeying.rotation_child DATABASE PROCESSES``: one rotation, to be
killed. It says when it begins and ends."""

import asyncio
import sys

from callguard.clock import SystemClock
from callguard.recording.rekeying import rewrap
from callguard.recording.rekeying.rotation import rotate
from callguard.storage.database import Database
from tests.recording.rekeying.keyed_rows import means


def main() -> None:
    rewrap.MANY = 1
    database = Database(f"sqlite:///{sys.argv[1]}")
    print("begins", flush=True)
    rooms = means(database, SystemClock(), batch=5, processes=int(sys.argv[2]))
    asyncio.run(rotate(rooms, "acme", renew=True))
    print("ends", flush=True)
    database.close()


if __name__ == "__main__":
    main()
