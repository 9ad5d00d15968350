"""The poller and its listeners, step by step."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from callguard.web.app import HUB, WebLimits, build_app
from callguard.web.language import ENGLISH
from callguard.web.live import HEARTBEAT, Listener, ListenerLimitError, LiveHub, LiveLimits, pump
from callguard.web.pages import look
from tests.web.state import BUSY, LEEDS, LONDON, NOON, NoonClock, ToldSource


@pytest.fixture
def source() -> ToldSource:
    return ToldSource()


@pytest.fixture
async def hub(source: ToldSource) -> LiveHub:
    return build_app(source, clock=NoonClock())[HUB]


async def test_a_listener_who_does_not_read_keeps_only_the_last_state(
    hub: LiveHub, source: ToldSource
) -> None:
    slow, quick = hub.join(ENGLISH), hub.join(ENGLISH)
    for number in range(100):
        source.now = replace(source.now, opt_outs=number)
        await hub.poll()
        assert await quick.next() is not None
    last = await slow.next()
    assert last is not None
    assert "<dd>99</dd>" in (last.html or "")
    assert slow._waiting is None


async def test_a_time_that_overtakes_a_change_does_not_lose_it(
    hub: LiveHub, source: ToldSource
) -> None:
    listener = hub.join(ENGLISH)
    for second in range(12):
        source.now = replace(source.now, at=NOON + timedelta(seconds=second))
        await hub.poll()
    update = await listener.next()
    assert update is not None
    assert update.html is not None
    assert update.at == NOON + timedelta(seconds=10)


async def test_who_joins_later_is_told_the_whole_state_without_a_change(hub: LiveHub) -> None:
    first = hub.join(ENGLISH)
    await hub.poll()
    await first.next()
    second = hub.join(ENGLISH)
    await hub.poll()
    update = await second.next()
    assert update is not None
    assert update.html is not None


async def test_a_closed_hub_ends_its_listeners_and_takes_no_more(hub: LiveHub) -> None:
    listener = hub.join(ENGLISH)
    hub.close()
    assert await listener.next() is None
    with pytest.raises(ListenerLimitError):
        hub.join(ENGLISH)


async def test_what_a_failed_poll_did_not_tell_is_told_by_the_next(
    hub: LiveHub, source: ToldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_status: object, _language: object) -> str:
        raise RuntimeError("a template that fails")

    listener = hub.join(ENGLISH)
    await hub.poll()
    await listener.next()
    source.now = BUSY
    with monkeypatch.context() as patch:
        patch.setattr(hub._pages, "parts", broken)
        with pytest.raises(RuntimeError):
            await hub.poll()
    await hub.poll()
    update = await listener.next()
    assert update is not None
    assert "+4420" in (update.html or "")


async def test_one_poll_serves_all_listeners(hub: LiveHub, source: ToldSource) -> None:
    for _ in range(32):
        hub.join(ENGLISH)
    await hub.poll()
    assert source.asked == 1


async def test_nothing_is_asked_while_nobody_listens(source: ToldSource) -> None:
    limits = WebLimits(live=LiveLimits(poll=0.0))
    hub = build_app(source, clock=NoonClock(), limits=limits)[HUB]
    running = asyncio.create_task(hub.run())
    await many_turns()
    assert source.asked == 0
    listener = hub.join(ENGLISH)
    await listener.next()
    hub.leave(listener)
    asked = source.asked
    await many_turns()
    assert source.asked <= asked + 1  # one may have been under way
    running.cancel()


async def many_turns() -> None:
    """Lets every task that can run do so, many times over."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_a_write_that_hangs_is_given_up() -> None:
    async def hang(_data: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await pump(Listener(ENGLISH), hang, LiveLimits(write_timeout=0.001))


async def test_silence_is_filled_with_comments() -> None:
    written: list[bytes] = []
    listener = Listener(ENGLISH)

    def writing(end: int) -> Callable[[bytes], Awaitable[None]]:
        async def write(data: bytes) -> None:
            written.append(data)
            if len(written) == end:
                listener.close()

        return write

    await pump(listener, writing(3), LiveLimits(heartbeat=0.001))
    assert written[1:] == [HEARTBEAT, HEARTBEAT]


def test_a_second_that_passes_changes_nothing_to_see() -> None:
    later = replace(
        BUSY,
        at=NOON + timedelta(seconds=1),
        pbxs=(replace(LONDON, lease_age_s=1.3),),
    )
    assert look(later) == look(BUSY)


def test_what_is_shown_counts_as_a_change() -> None:
    seen = look(BUSY)
    stale = replace(BUSY, pbxs=(replace(LONDON, lease_age_s=4.0),))
    assert look(stale) != seen
    assert look(replace(BUSY, pbxs=(replace(LONDON, lease_age_s=None),))) != seen
    assert look(replace(BUSY, pbxs=(LONDON, LEEDS))) != seen
    assert look(replace(BUSY, at=NOON + timedelta(days=1))) != seen
    assert look(replace(BUSY, next_purge=NOON - timedelta(seconds=1))) != seen
