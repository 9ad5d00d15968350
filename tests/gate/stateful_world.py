"""The whole house with everything that can happen to it: people, phones, operators and faults.

Each move is told which of the possible ones is meant by a number, so that any list of moves can be
played on any state; one that is not possible does nothing.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callguard.config import Settings
from callguard.gate.mid_call import act
from callguard.gate.mid_call_rules import Action
from callguard.service import Service
from tests.harness.channels import Channel, State
from tests.harness.legs import Leg
from tests.harness.playbook import Pbx
from tests.harness.virtual import current_clock
from tests.house import DID

NUMBERS = ("+442079460123", "+4930123456", "+12025550143", "+33142685300")
CODES = ("*91", "*92", "*93", "*94", "*95")
GAPS = (0.0, 0.004, 0.012, 0.1)
"""Seconds between two moves: within the way of an event, and beyond."""
WAITS = (0.02, 0.3, 1.2, 3.1, 6.0)
ACTS: tuple[Action, ...] = ("pause", "resume", "stop", "withdraw")
DELAY_S = 0.005
"""How long an event or an answer of AMI is under way."""


@dataclass(slots=True)
class World:
    """One house, alive."""

    settings: Settings
    pbx: Pbx
    folder: Path
    service: Service | None = None
    down: list[list[float]] = field(default_factory=list)
    """From when to when callguard did not run."""
    _running: asyncio.Task[None] | None = None
    _locker: sqlite3.Connection | None = None
    _acts: list[tuple[Service, asyncio.Task[Any]]] = field(default_factory=list)

    # --- callguard itself ---------------------------------------------------------------------

    async def start(self) -> None:
        """Runs callguard, if it does not run, until it is ready."""
        if self.service is not None:
            return
        service = Service(self.settings, current_clock(), connect=self.pbx.network.ami_connect)
        self.pbx.network.serve_agi = service.agi.serve_connection
        self.pbx.network.start()
        ready = asyncio.Event()
        self._running = asyncio.create_task(service.run(ready=lambda _: ready.set()))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([self._running, waiting], return_when="FIRST_COMPLETED")
        waiting.cancel()
        if self._running.done():
            await self._running
        self.service = service
        if self.down:
            self.down[-1][1] = asyncio.get_running_loop().time()

    async def stop(self, *, crashing: bool) -> None:
        """Ends callguard in order, or with nothing that it does reaching anybody any more."""
        service, running = self.service, self._running
        if service is None or running is None:
            return
        self._unlock()
        self.down.append([asyncio.get_running_loop().time(), float("inf")])
        self.service = self._running = None
        if crashing:
            self.pbx.network.stop()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await service._close_doors()
        else:
            service.stop()
            await running
            self.pbx.network.stop()

    def _lock(self) -> None:
        if self._locker is None:
            locker = sqlite3.connect(self.folder / "callguard.db", isolation_level=None)
            locker.execute("BEGIN IMMEDIATE")
            self._locker = locker

    def _unlock(self) -> None:
        if self._locker is not None:
            self._locker.execute("ROLLBACK")
            self._locker.close()
            self._locker = None

    async def heal(self) -> None:
        """Everything works again, and time has passed for it to be noticed."""
        self._unlock()
        self.pbx.manager.refuse_logins = False
        await self.start()
        await asyncio.sleep(17)  # longer than the longest pause before it connects again

    async def end(self) -> None:
        """Everybody hangs up, and what was begun is finished."""
        for channel in list(self.pbx.asterisk.channels):
            channel.hang_up(16)
        await self.pbx.asterisk.until(lambda: not self.pbx.asterisk.channels, "end of all calls")
        done = await asyncio.gather(*(doing for _, doing in self._acts), return_exceptions=True)
        for (service, _), outcome in zip(self._acts, done, strict=True):
            # What the end of a process cut short may have failed.
            if service is self.service and isinstance(outcome, BaseException):
                raise outcome
        assert self.service is not None
        async with asyncio.timeout(120):
            while self.service.vault.recorder.in_progress():
                await asyncio.sleep(0.5)
        await asyncio.sleep(2)

    @property
    def names(self) -> dict[str, str]:
        """The name of every channel that there was, by its Uniqueid."""
        return {c.uniqueid: c.name for c in self.pbx.asterisk.everyone}

    # --- who is there -------------------------------------------------------------------------

    def people(self) -> list[Channel]:
        """The living channels on which somebody is."""
        channels = self.pbx.asterisk.channels
        return [c for c in channels if not c.is_local and not c.hung_up and c.state is State.UP]

    def phones_in_calls_of_two(self) -> list[Channel]:
        """The operator's phones that talk with one other channel."""
        return [
            channel
            for channel in self.people()
            if self.pbx.asterisk.is_agent(channel)
            and channel.bridge is not None
            and channel.bridge.kind == "basic"
            and len(channel.bridge.channels) == 2
            and not channel.bridge.consulting
        ]

    def ringing(self) -> list[Channel]:
        """Those who could answer."""
        invited = {invite.channel for invite in self.pbx.asterisk.invites}
        return [
            channel
            for channel in self.pbx.asterisk.channels
            if channel in invited and channel.state is not State.UP and not channel.hung_up
        ]


def _pick(number: int, among: Sequence[Any]) -> Any | None:
    return among[number % len(among)] if among else None


async def play(world: World, move: tuple[str, int, int]) -> None:
    """Plays one move: its name, and two numbers that say whom and what."""
    name, one, two = move
    await MOVES[name](world, one, two)
    await asyncio.sleep(GAPS[two // 8 % len(GAPS)])


async def _calls_out(world: World, one: int, two: int) -> None:
    number = NUMBERS[one % len(NUMBERS)]
    agent = f"PJSIP/agent{two % 2 + 1}"
    world.pbx.outbound(number, tenant="acme", purpose="service", agent=agent)


async def _calls_in(world: World, one: int, two: int) -> None:
    world.pbx.inbound(NUMBERS[one % len(NUMBERS)], did=DID, agent=f"agent{two % 2 + 1}")


async def _converses(world: World, one: int, two: int) -> None:
    """A whole call until the two are connected, in which whoever is asked says yes."""
    asterisk = world.pbx.asterisk
    there = set(asterisk.channels)
    calls = _calls_out if two % 2 else _calls_in
    await calls(world, one, two // 2)
    for _ in range(3):
        await asyncio.sleep(0.1)
        for channel in [c for c in world.ringing() if c not in there]:
            asterisk.remote(channel, "answer")
        await asyncio.sleep(3.1)
        for channel in [c for c in world.people() if c not in there and c.bridge is None]:
            asterisk.media.press(channel, "1")


async def _answers(world: World, one: int, two: int) -> None:
    channel = _pick(one, world.ringing())
    if channel is not None:
        channel.machine = two % 8 == 7
        world.pbx.asterisk.remote(channel, "answer")


async def _waits(world: World, one: int, two: int) -> None:
    await asyncio.sleep(WAITS[one % len(WAITS)])


async def _digit(world: World, one: int, two: int) -> None:
    channel = _pick(one, world.people())
    if channel is not None:
        world.pbx.asterisk.media.press(channel, "1295"[two % 4])


async def _code(world: World, one: int, two: int) -> None:
    channel = _pick(one, [c for c in world.people() if c.bridge is not None])
    if channel is not None:
        feature = world.pbx.features.find(channel, CODES[two % len(CODES)])
        if feature is not None:
            world.pbx.asterisk.feature(channel, feature.target)


async def _hangs_up(world: World, one: int, two: int) -> None:
    channels = [c for c in world.pbx.asterisk.channels if not c.is_local and not c.hung_up]
    channel = _pick(one, channels)
    if channel is not None:
        channel.hang_up(16)


async def _blind(world: World, one: int, two: int) -> None:
    channel = _pick(one, world.phones_in_calls_of_two())
    if channel is not None:
        number = NUMBERS[(one // 4) % len(NUMBERS)]
        to, context = (
            (number, "from-agents"),
            (number, "unguarded"),
            ("agent3", "inside"),
            (f"kept{number}", "unguarded"),
            (f"optimised{number}", "unguarded"),
            (f"rogue{number}", "unguarded"),
            ("600", "inside"),
        )[two % 7]
        await Leg(world.pbx, channel).blind_transfer(to, context=context)


async def _attended(world: World, one: int, two: int) -> None:
    first = _pick(one, world.phones_in_calls_of_two())
    others = [c for c in world.phones_in_calls_of_two() if first and c.bridge is not first.bridge]
    second = _pick(two, others)
    if first is not None and second is not None:
        await Leg(world.pbx, first).attended_transfer(Leg(world.pbx, second))


async def _consults(world: World, one: int, two: int) -> None:
    channel = _pick(one, world.phones_in_calls_of_two())
    if channel is not None:
        number = NUMBERS[(one // 4) % len(NUMBERS)]
        to, context = ((number, "unguarded"), (number, "from-agents"), ("agent3", "inside"))[
            two % 3
        ]
        await Leg(world.pbx, channel).consults(to, context=context)


async def _joins(world: World, one: int, two: int) -> None:
    endpoint = ("agent3", "carrier")[two % 2]
    world.pbx.dials(endpoint, "600", context="inside")


async def _parks(world: World, one: int, two: int) -> None:
    channel = _pick(one, world.phones_in_calls_of_two())
    if channel is not None:
        await Leg(world.pbx, channel).parks()


async def _fetches(world: World, one: int, two: int) -> None:
    endpoint = ("agent3", "carrier")[two % 4 == 3]
    world.pbx.dials(endpoint, str(701 + one % 2))


async def _holds(world: World, one: int, two: int) -> None:
    channel = _pick(one, [c for c in world.people() if c.bridge is not None])
    if channel is not None:
        world.pbx.asterisk.media.hold(channel, held=two % 2 == 0, music="default")


async def _records(world: World, one: int, two: int) -> None:
    """Somebody else's recording begins."""
    channel = _pick(one, world.people())
    if channel is not None:
        world.pbx.records(Leg(world.pbx, channel), bridged_only=two % 2 == 0)


async def _unmutes(world: World, one: int, two: int) -> None:
    """Somebody else tells Asterisk that everything recorded on a channel is to be heard."""
    asterisk = world.pbx.asterisk
    running = [r for r in asterisk.media.recorders if r.running]
    recorder = _pick(one, [r for r in running if r.muted] or running)
    if recorder is not None:
        asterisk.media.mute_recording(recorder.channel, "both", muted=False)


async def _asks(world: World, one: int, two: int) -> None:
    """Page or API."""
    service = world.service
    if service is None:
        return
    calls = list(service.gate.calls._calls.values())
    call = _pick(one, calls)
    if call is not None:
        doing = act(service.gate, call, ACTS[two % len(ACTS)], ("page", "api")[one % 2])
        world._acts.append((service, asyncio.create_task(doing)))


async def _loses_ami(world: World, one: int, two: int) -> None:
    if two % 2:
        world.pbx.manager.refuse_logins = True
    world.pbx.network.drop_ami()


async def _finds_ami(world: World, one: int, two: int) -> None:
    world.pbx.manager.refuse_logins = False


async def _restarts(world: World, one: int, two: int) -> None:
    await world.stop(crashing=two % 2 == 0)
    await asyncio.sleep(WAITS[one % len(WAITS)])
    await world.start()


async def _locks(world: World, one: int, two: int) -> None:
    world._lock()


async def _unlocks(world: World, one: int, two: int) -> None:
    world._unlock()


MOVES = {
    "converses": _converses,
    "calls out": _calls_out,
    "calls in": _calls_in,
    "answers": _answers,
    "waits": _waits,
    "digit": _digit,
    "code": _code,
    "hangs up": _hangs_up,
    "blind transfer": _blind,
    "attended transfer": _attended,
    "consults": _consults,
    "joins conference": _joins,
    "parks": _parks,
    "fetches": _fetches,
    "holds": _holds,
    "records": _records,
    "unmutes": _unmutes,
    "asks": _asks,
    "loses AMI": _loses_ami,
    "finds AMI": _finds_ami,
    "restarts": _restarts,
    "locks database": _locks,
    "unlocks database": _unlocks,
}
