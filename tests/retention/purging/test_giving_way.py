"""How a purge gives way."""

import asyncio
import threading

from callguard.retention.purging.giving_way import LOG_S, GivingWay


async def test_the_log_is_moved_while_all_of_a_purge_stands_still() -> None:
    moving, may = threading.Event(), threading.Event()

    def move_log() -> int:
        moving.set()
        return 0 if may.wait(60) else 1

    way = GivingWay(move_log=move_log)
    first = asyncio.create_task(way.rest(LOG_S))
    await asyncio.to_thread(moving.wait, 60)
    second = asyncio.create_task(way.rest(0.0))
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    may.set()
    await asyncio.gather(first, second)
