"""What agent, subject, page and API do in the middle of a call: one door for all of them.

Silence comes first, and waits for no disk; then what is durable; then what is said. Whatever is
reported as done is so.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import structlog

from callguard.agi.session import AgiSession
from callguard.agi.wire import AgiError
from callguard.consent.states import ConsentState
from callguard.gate.acts import Acts
from callguard.gate.announce import MONITOR
from callguard.gate.callbook import Call
from callguard.gate.mid_call_rules import ENDING, Action, Standing, Step, Who, step
from callguard.gate.opt_out import enter_new
from callguard.gate.room import Gate
from callguard.gate.withdrawals import Ended, Withdrawal
from callguard.ids import uuid7
from callguard.optout.events import OptOutEvent
from callguard.recording.erasure import Fate
from callguard.recording.recorder import OpenRecording
from callguard.tenants.keeping import keeping_evidence
from callguard.tenants.tenant import TenantSettings

log = structlog.get_logger(__name__)

WAYS: Final[dict[Who, str]] = {
    "agent": "feature_code",
    "subject": "feature_code",
    "page": "page",
    "api": "api",
}
"""By which way each of them speaks."""


class Result(StrEnum):
    """What came of an action. ``PENDING``: nothing more is recorded, but the rest of what was asked
    for is not durable yet; it is tried again until it is."""

    DONE = "done"
    REFUSED = "refused"
    NOTHING_RECORDED = "nothing_recorded"
    PENDING = "pending"
    FAILED = "failed"


class Now(StrEnum):
    """How it is afterwards, in what is said of it."""

    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"
    ERASED = "erased"
    OPTED_OUT = "opted_out"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action, and how it is now."""

    result: Result
    now: Now = Now.UNCHANGED


async def act(
    gate: Gate,
    call: Call,
    action: Action,
    who: Who,
    *,
    session: AgiSession | None = None,
    name: str = "",
) -> Outcome:
    """Does it; ``session`` is the channel that pressed a code, ``name`` who asked for it where
    that is known. Whoever asked may leave meanwhile: what was begun is finished."""
    acting = _acting(gate, call, who, session, name)
    return await gate.acts.finish(acting.act(action), f"mid-call-{action}")


def _acting(gate: Gate, call: Call, who: Who, session: AgiSession | None, name: str) -> "_Acting":
    acts = gate.acts.begun(call.id)
    here = session.env.uniqueid if session else call.uniqueid
    found = gate.recordings.in_progress(call, here)
    ended = gate.recordings.has_ended
    running = tuple(one for one in found if one.id not in acts.stopped and not ended(one))
    return _Acting(gate, acts, call, who, session, name or who, running)


_DEFAULT: Final = TenantSettings()
"""What holds in a call whose tenant is gone."""

_AFTER: Final[dict[Action, Now]] = {
    "pause": Now.PAUSED,
    "resume": Now.RESUMED,
    "stop": Now.STOPPED,
    "withdraw": Now.ERASED,
    "optout": Now.OPTED_OUT,
}


@dataclass(frozen=True, slots=True)
class _Acting:
    """One action on one call. ``running`` are the recordings of the conversation that are not
    known to have stopped."""

    gate: Gate
    acts: Acts
    call: Call
    who: Who
    session: AgiSession | None
    actor: str
    running: tuple[OpenRecording, ...]

    async def act(self, action: Action) -> Outcome:
        tenant = self.gate.tenants.get(self.call.tenant)
        match step(action, self.who, self._standing(), tenant.settings if tenant else _DEFAULT):
            case Step.REFUSED:
                outcome = Outcome(Result.REFUSED)
            case Step.NOTHING:
                # What has not begun yet does not begin any more.
                self.acts.ended = self.acts.ended or action == "stop"
                outcome = Outcome(Result.NOTHING_RECORDED)
            case Step.ALREADY:
                outcome = Outcome(Result.DONE, _AFTER[action])
            case Step.DO:
                outcome = await self._do(action)
        result = outcome.result.value
        log.info("mid_call", call=self.call.id, action=action, by=self.who, result=result)
        return outcome

    def _standing(self) -> Standing:
        told = self.gate.told.of_call(self.call.id)
        here = self.session.env.uniqueid if self.session else None
        if self.who == "subject":
            withdrawn = self.acts.withdrawn(here)
        else:
            withdrawn = bool(self.acts.withdrawals) or any(
                one.state is ConsentState.WITHDRAWN for _, _, one in told
            )
        return Standing(
            recorded=bool(self.running),
            paused=any(self.gate.recordings.paused(one) for one in self.running),
            ended=self.acts.ended,
            withdrawn=withdrawn,
            erased=self.acts.erased,
        )

    async def _do(self, action: Action) -> Outcome:
        if action in ENDING:
            self.acts.silence()
        match action:
            case "pause":
                return await self._pause()
            case "resume":
                return await self._resume()
            case "stop":
                return await self._stop()
            case "withdraw":
                return await self._withdraw()
            case "optout":
                return await self._opt_out()

    async def _pause(self) -> Outcome:
        """What cannot be made silent from here is ended, where it can be: a gap, and no words."""
        done = await _each(self.gate.recordings.pause(one, by=self.who) for one in self.running)
        loud = [one for one, silent in zip(self.running, done, strict=True) if not silent]
        if await self._stop_here(loud):
            return self._failed("recording_not_paused")
        ended = bool(loud) and len(loud) == len(self.running)
        return Outcome(Result.DONE, Now.STOPPED if ended else Now.PAUSED)

    async def _resume(self) -> Outcome:
        """Durable first; whoever silences it meanwhile goes before."""
        paused = [one for one in self.running if self.gate.recordings.paused(one)]
        resuming = asyncio.gather(
            *(self.gate.recordings.resume(one, by=self.who) for one in paused)
        )
        self.acts.resuming.add(resuming)
        try:
            done = await resuming
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return Outcome(Result.FAILED)
        finally:
            self.acts.resuming.discard(resuming)
        if not all(done):
            return self._failed("recording_not_resumed")
        return Outcome(Result.DONE, Now.RESUMED)

    async def _stop(self) -> Outcome:
        withdrawal = self._withdrawal(erase=False) if self.who == "subject" else None
        self.acts.ended = True
        loud = await self._silence()
        fate = await self._kept(withdrawal) if withdrawal else Fate.ERASED
        if loud:
            return self._failed("recording_not_stopped")
        return Outcome(Result.PENDING if fate is Fate.FAILED else Result.DONE, Now.STOPPED)

    async def _withdraw(self) -> Outcome:
        """Who is not the one whom the call is about, and was told of nothing, is on no recording:
        theirs is only that it ends. What a hold keeps ends too, and is not said to be erased: it
        is when the hold goes."""
        if self.who == "subject" and self._subject() is None:
            return await self._stop()
        withdrawal = self._withdrawal(erase=True)
        self.acts.ended = True
        await self._stop_here(self.running, erasing=True)
        fate = await self._kept(withdrawal)
        if fate is not Fate.ERASED:
            if fate is Fate.FAILED:
                self._count("recording_not_erased")
            if await self._silence():
                return self._failed("recording_not_stopped")
            return Outcome(Result.DONE if fate is Fate.HELD else Result.PENDING, Now.STOPPED)
        self.acts.erased = True
        self.acts.stopped.update(one.id for one in self.running)
        return Outcome(Result.DONE, Now.ERASED)

    async def _kept(self, withdrawal: Withdrawal) -> Fate:
        return await self.gate.acts.withdrawals.keep(self.gate, withdrawal)

    async def _opt_out(self) -> Outcome:
        subject = self._subject() if self.who == "subject" else self.call.subject
        if not subject:
            return self._failed("opt_out_without_number")
        event = OptOutEvent(
            subject=subject,
            tenant=self.call.tenant,
            standing=True,
            way=WAYS[self.who],
            actor=self.actor if self.session is None else "subject",
            at=self.gate.clock.now(),
            call_id=self.call.id,
        )
        if await enter_new(self.gate, [event]) is None:
            return Outcome(Result.FAILED)
        return Outcome(Result.DONE, Now.OPTED_OUT)

    async def _silence(self) -> bool:
        """Ends every recording; whether one may still be heard. Those of other channels are ended
        while the one on the channel that pressed is."""
        ended = self.gate.recordings.has_ended
        mine = [one for one in self.running if self._is_here(one) and not ended(one)]
        others = [one for one in self.running if not self._is_here(one)]
        left, stopped = await asyncio.gather(
            self._stop_here(mine), _each(self._stop_there(one) for one in others)
        )
        also = await _each(self._stop_there(one) for one in left)
        return not all((*stopped, *also))

    async def _stop_there(self, recording: OpenRecording) -> bool:
        stopped = await self.gate.recordings.stop(recording, by=self.who)
        if stopped:
            self.acts.stopped.add(recording.id)
        return stopped

    async def _stop_here(
        self, recordings: Sequence[OpenRecording], *, erasing: bool = False
    ) -> list[OpenRecording]:
        """Ends those on the channel that pressed, which needs no manager connection; returns the
        ones that it could not end. With ``erasing`` nothing is sealed of them."""
        left = []
        for one in recordings:
            if not await self._stopped_here(one):
                left.append(one)
            elif not erasing:
                self.gate.recordings.stopped(one, by=self.who)
        return left

    async def _stopped_here(self, recording: OpenRecording) -> bool:
        """What a former process of ours began has its id on the channel alone."""
        if self.session is None or not self._is_here(recording):
            return False
        try:
            monitor = recording.monitor or await self.session.get_variable(MONITOR)
            if not monitor:
                return False
            await self.session.exec("StopMixMonitor", monitor)
        except AgiError as error:
            log.warning("stop_refused", recording=recording.id, reason=str(error))
            return False
        self.acts.stopped.add(recording.id)
        return True

    def _is_here(self, recording: OpenRecording) -> bool:
        return self.session is not None and recording.channel_uniqueid == self.session.env.uniqueid

    def _withdrawal(self, *, erase: bool) -> Withdrawal:
        """What is to be written; from now on, in memory, they no longer agree. Who says it again
        means the same withdrawal, kept or not."""
        at, parties = self.gate.clock.now(), self._parties()
        key = (frozenset(channel for channel, _ in parties), erase)
        running = self.running if erase else ()
        if key in self.acts.withdrawals:
            return replace(self.acts.withdrawals[key], unsealed=running)
        for channel, _ in parties:
            if channel is not None:
                self.gate.told.withdraw(self.call.pbx, channel)
        self.acts.withdrawals[key] = Withdrawal(
            call_id=self.call.id,
            tenant=self.call.tenant,
            pbx=self.call.pbx,
            parties=tuple(Ended(str(uuid7(at)), subject, channel) for channel, subject in parties),
            actor=self.actor,
            by=self.who,
            proof=WAYS[self.who],
            at=at,
            keep=keeping_evidence(self.gate.tenants.get(self.call.tenant), self.call.concern),
            erase=erase,
            unsealed=running,
        )
        return self.acts.withdrawals[key]

    def _parties(self) -> list[tuple[str | None, str]]:
        """Channels and subjects whose consent is meant: the one who presses, or everybody in the
        call who was told, for whom page, API and agent speak."""
        if self.who == "subject" and self.session is not None:
            return [(self.session.env.uniqueid, self._subject() or "")]
        told = self.gate.told.of_call(self.call.id)
        return [(channel, one.subject) for _, channel, one in told] or [(None, self.call.subject)]

    def _subject(self) -> str | None:
        """Who presses, as far as they were told, or the call is about them; None for somebody to
        whom one of both was passed on."""
        here = self.session.env.uniqueid if self.session else self.call.uniqueid
        told = self.gate.told.of(self.call.pbx, here)
        if told is not None:
            return told.subject
        call = self.call
        if call.direction == "inbound":
            return call.subject if here == call.uniqueid else None
        return call.subject if self.gate.recordings.was_called_for(call, here) else None

    def _failed(self, fault: str) -> Outcome:
        self._count(fault)
        return Outcome(Result.FAILED)

    def _count(self, fault: str) -> None:
        self.gate.counts.fault(fault)
        log.error(fault, call=self.call.id, by=self.who)


async def _each(steps: Iterable[Coroutine[Any, Any, bool]]) -> list[bool]:
    return list(await asyncio.gather(*steps))
