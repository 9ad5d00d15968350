"""What Asterisk was told of each recording, and what it shall be told: one task for each Asterisk.

Level-triggered: it compares what is wished now with what Asterisk last confirmed, and goes on until
they agree, so that a wish that overtakes an action in flight is the one that holds. Each recording
is told for itself, silence first. A recording that cannot be silenced within a second is an alarm,
and is stopped if it can be.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from callguard.ami.errors import AmiDown, AmiError, AmiRefused
from callguard.ami.wire import LocalProtocolError
from callguard.clock import Clock
from callguard.gate.pbx import Pbx
from callguard.recording.recorder import OpenRecording

log = structlog.get_logger(__name__)

WITHIN_S = 1.0
"""How soon a recording is silent that must be, or it is stopped."""

RETRY_S = (0.1, 0.2, 0.4, 1.0, 5.0, 30.0)


class _NoChannelError(AmiError):
    """The channel is not among those that live, or not yet."""


@dataclass(slots=True, eq=False)
class _Followed:
    """A recording that runs. ``said`` is whether Asterisk confirmed that it is silent, None where
    that is not known; ``since`` when it should have become silent and is not known to be;
    ``disturbed`` is whether somebody else told Asterisk something meanwhile; ``noted`` the reasons
    that were last written down, None where that is not known."""

    recording: OpenRecording
    said: bool | None
    reasons: frozenset[str] = frozenset()
    since: float | None = None
    noted: frozenset[str] | None = None
    busy: bool = False
    disturbed: bool = False
    given_up: bool = False
    poked: asyncio.Event = field(default_factory=asyncio.Event)


class Silence:
    """The recordings of one Asterisk. ``on_told`` hears what Asterisk confirmed: the reasons for
    silence, none where the recording is heard again; ``stop`` ends one that stays audible;
    ``may_be_over`` is whether one may have stopped: what Asterisk then knows nothing of, has."""

    def __init__(
        self,
        pbx: Pbx,
        clock: Clock,
        *,
        on_told: Callable[[OpenRecording, frozenset[str]], None],
        stop: Callable[[OpenRecording], Awaitable[bool]],
        may_be_over: Callable[[OpenRecording], bool],
    ) -> None:
        self._pbx = pbx
        self._clock = clock
        self._on_told = on_told
        self._stop = stop
        self._may_be_over = may_be_over
        self._followed: dict[str, _Followed] = {}
        self._dirty: dict[str, _Followed] = {}
        self._to_stop: dict[str, OpenRecording] = {}
        self._expected: Counter[tuple[str, bool]] = Counter()
        self._wake = asyncio.Event()
        self._agreed: set[asyncio.Future[None]] = set()
        self._whole = False
        self._rebuilt = 0

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line for each recording that should be silent and is not known to be."""
        now = self._clock.monotonic()
        return tuple(
            f"{self._pbx.name}: recording {id_} should be silent and is not known to be"
            for id_, one in self._followed.items()
            if one.since is not None and now - one.since > WITHIN_S
        )

    def reasons(self, recording_id: str) -> frozenset[str]:
        """Why a recording is to be silent."""
        one = self._followed.get(recording_id)
        return one.reasons if one else frozenset()

    def follow(
        self, recording: OpenRecording, reasons: frozenset[str], *, begun_here: bool
    ) -> None:
        """A recording runs, or must be otherwise than before. One that this process ``begun_here``
        is heard until Asterisk is told otherwise; of another that is not known."""
        one = self._followed.get(recording.id)
        if one is None:
            one = _Followed(recording, said=None)
            if begun_here:
                one.said, one.noted = False, frozenset()
            self._followed[recording.id] = one
        one.recording, one.reasons = recording, reasons
        self._look(one)
        if recording.monitor is None or one.said is None:
            self._look_at_channel(recording.channel_uniqueid)

    def forget(self, recording_id: str) -> None:
        """A recording has ended."""
        one = self._followed.pop(recording_id, None)
        if one is not None:
            one.poked.set()
            uniqueid = one.recording.channel_uniqueid
            self._look_at_channel(uniqueid)
            if not self._on(uniqueid):
                for muted in (True, False):
                    self._expected.pop((uniqueid, muted), None)
            self._tell_waiting()

    def stop_soon(self, recording: OpenRecording) -> None:
        """Somebody's recording is stopped by the task that tells Asterisk."""
        self._to_stop[recording.id] = recording
        self._wake.set()

    def muted(self, uniqueid: str, muted: bool) -> None:
        """Asterisk says that recordings of a channel were silenced, or are heard again. What was
        not asked for here may have concerned any of them."""
        if self._expected[uniqueid, muted] > 0:
            self._expected[uniqueid, muted] -= 1
            return
        for one in self._on(uniqueid):
            one.disturbed, one.said = True, None
            self._look(one)

    def lost(self) -> None:
        """The connection is gone: nothing can be told, and what was under way is not known."""
        self._whole = False
        self._expected.clear()
        self._tell_waiting()

    def rebuilt(self) -> None:
        """The channels are known again. What must be silent is told so anew: who else may have
        told Asterisk something meanwhile is not known."""
        self._whole = True
        self._rebuilt += 1
        for one in self._followed.values():
            if self._wish(one):
                one.said = None
            self._look(one)

    async def silent(self, recording_ids: Collection[str], within: float) -> bool:
        """Whether all of these are silent, or have ended, within so many seconds."""

        def are_silent() -> bool:
            found = [self._followed.get(id_) for id_ in recording_ids]
            return all(one is None or (one.said is True and self._wish(one)) for one in found)

        try:
            async with asyncio.timeout(within):
                while not are_silent():
                    if not self._whole:
                        return False
                    agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._agreed.add(agreed)
                    await agreed
        except TimeoutError:
            return False
        return True

    async def settled(self, within: float) -> None:
        """Returns once nothing is left to tell, or after so many seconds."""
        try:
            async with asyncio.timeout(within):
                while any(one.said is not self._wish(one) for one in self._followed.values()):
                    agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._agreed.add(agreed)
                    await agreed
        except TimeoutError:
            log.warning("recordings_not_settled", pbx=self._pbx.name)

    async def run(self) -> None:
        """Tells for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                dirty, self._dirty = self._dirty, {}
                to_stop, self._to_stop = self._to_stop, {}
                for recording in to_stop.values():
                    group.create_task(self._ended(recording))
                for one in sorted(dirty.values(), key=self._wish, reverse=True):
                    if not one.busy:
                        one.busy = True
                        group.create_task(self._agree(one))

    async def _ended(self, recording: OpenRecording) -> None:
        await self._stop(recording)

    def _wish(self, one: _Followed) -> bool:
        """Whether it must be silent. Without its id Asterisk is told for the whole channel: then
        nothing there is heard while anything there must not be."""
        if one.reasons or one.recording.monitor is not None:
            return bool(one.reasons)
        return any(other.reasons for other in self._on(one.recording.channel_uniqueid))

    def _on(self, uniqueid: str) -> list[_Followed]:
        return [o for o in self._followed.values() if o.recording.channel_uniqueid == uniqueid]

    def _look_at_channel(self, uniqueid: str) -> None:
        for one in self._on(uniqueid):
            self._look(one)

    def _look(self, one: _Followed) -> None:
        wish = self._wish(one)
        if not wish or one.said is True:
            one.since, one.given_up = None, False
        elif one.since is None:
            one.since = self._clock.monotonic()
        if one.said is wish:
            self._note(one)
            self._tell_waiting()
        elif self._whole:
            one.poked.set()
            self._dirty[one.recording.id] = one
            self._wake.set()

    def _note(self, one: _Followed) -> None:
        reasons = one.reasons
        if one.said is not None and one.noted != reasons:
            one.noted = reasons
            self._on_told(one.recording, reasons)

    def _tell_waiting(self) -> None:
        waiting, self._agreed = self._agreed, set()
        for agreed in waiting:
            if not agreed.done():
                agreed.set_result(None)

    async def _agree(self, one: _Followed) -> None:
        failures = 0
        try:
            while self._is_due(one):
                one.poked.clear()
                wish, rebuilt = self._wish(one), self._rebuilt
                try:
                    await self._say(one, wish)
                except AmiDown:
                    if rebuilt == self._rebuilt:  # else this was the connection of before
                        self.lost()
                except (AmiError, LocalProtocolError) as error:
                    if self._is_due(one):  # it may have ended meanwhile
                        await self._failed(one, wish, failures, error)
                    failures += 1
                else:
                    failures = 0
        finally:
            one.busy = False
            if self._is_due(one):
                self._look(one)

    def _is_due(self, one: _Followed) -> bool:
        here = self._followed.get(one.recording.id) is one
        return self._whole and here and one.said is not self._wish(one)

    async def _say(self, one: _Followed, wish: bool) -> None:
        """Raises AmiError, LocalProtocolError."""
        uniqueid = one.recording.channel_uniqueid
        channel = self._pbx.live.channels.get(uniqueid)
        if channel is None:
            raise _NoChannelError(f"its channel {uniqueid} is not known")
        one.said, one.disturbed = None, False
        monitor = one.recording.monitor
        which = [("MixMonitorID", monitor)] if monitor else []
        state = ("State", "1" if wish else "0")
        self._expected[uniqueid, wish] += 1
        try:
            await self._pbx.session.action(
                "MixMonitorMute",
                ("Channel", channel.name),
                *which,
                ("Direction", "both"),
                state,
                timeout=WITHIN_S,
            )
        except (AmiError, LocalProtocolError):
            self._expected[uniqueid, wish] = max(0, self._expected[uniqueid, wish] - 1)
            raise
        one.said = None if one.disturbed else wish
        if monitor is None:
            self._told_for_all(one, wish)
        self._look(one)

    def _told_for_all(self, told: _Followed, wish: bool) -> None:
        """Asterisk was told for the whole channel."""
        for one in self._on(told.recording.channel_uniqueid):
            if one is not told:
                one.said, one.disturbed = (None, True) if one.busy else (wish, False)
                self._look(one)

    async def _failed(self, one: _Followed, wish: bool, failures: int, error: Exception) -> None:
        """Waits before the next attempt, no longer than until something else is wished."""
        if isinstance(error, AmiRefused) and self._may_be_over(one.recording):
            self.forget(one.recording.id)
            return
        log.error("recording_not_told", recording=one.recording.id, silent=wish, reason=str(error))
        pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
        if one.since is not None and not one.given_up:
            left = one.since + WITHIN_S - self._clock.monotonic()
            if left <= 0:
                one.given_up = True
                log.error("alarm", reason=f"recording {one.recording.id} could not be silenced")
                if await self._stop(one.recording):
                    return
            else:
                pause = min(pause, left)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await one.poked.wait()
