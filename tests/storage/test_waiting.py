"""Which group is written next: calls before work in the background, and nothing for nobody."""

import asyncio

import pytest

from callguard.storage.journal import NotDurableError, waiting
from callguard.storage.journal.waiting import Waiting, Write


def call() -> Write[object]:
    return Write(asyncio.get_running_loop().create_future())


def work(until: float) -> Write[object]:
    return Write(
        asyncio.get_running_loop().create_future(), work=lambda _: None, behind_until=until
    )


def queue_of(*writes: Write[object]) -> Waiting:
    queue = Waiting()
    for write in writes:
        queue.add(write)
    return queue


async def test_calls_go_together_and_before_work_until_it_has_waited() -> None:
    behind, first, second = work(until=10.0), call(), call()
    queue = queue_of(behind, first, second)
    assert queue.next_group(9.9) == [first, second]
    queue.add(third := call())
    assert queue.next_group(10.0) == [behind]
    assert queue.next_group(10.0) == [third]
    assert (queue.next_group(10.0), len(queue)) == ([], 0)


async def test_work_waits_for_the_work_before_it_and_calls_do_not() -> None:
    behind, one = work(until=0.0), call()
    queue = queue_of(behind, one)
    assert queue.next_group(5.0, behind=False) == [one]
    assert queue.next_group(5.0, behind=False) == []
    assert queue.next_group(5.0) == [behind]


async def test_work_goes_at_once_where_every_call_was_given_up() -> None:
    behind, given_up = work(until=10.0), call()
    queue = queue_of(given_up, behind)
    given_up.done.cancel()
    assert queue.next_group(0.0) == [behind]


async def test_who_gave_up_is_in_no_group() -> None:
    writes = [call() for _ in range(4)]
    behind = [work(until=0.0), work(until=0.0)]
    queue = queue_of(*writes, *behind)
    for write in (writes[0], writes[2], behind[0]):
        write.done.cancel()
    assert queue.next_group(0.0) == [behind[1]]
    assert queue.next_group(0.0) == [writes[1], writes[3]]
    assert len(queue) == 0


async def test_a_group_has_an_end_and_so_has_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "GROUP", 2)
    monkeypatch.setattr(waiting, "PENDING", 3)
    writes = [call(), call(), work(until=9.0)]
    queue = queue_of(*writes)
    for refused in (call(), work(until=0.0)):
        with pytest.raises(NotDurableError, match="full"):
            queue.add(refused)
    assert queue.next_group(0.0) == writes[:2]
    queue.add(call())
