"""The preflight: the verdicts on many numbers, asked for by a program before it dials.

Uncounted, nothing is written. Counted, each verdict is kept as at a call, and whatever is answered
with ``allow`` is an attempt that is durable; one that is not answered after all is taken back.

A few numbers are decided at a time, so that the calls at the gate go in between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final, Generic, Literal, TypeVar

import structlog
from sqlalchemy import Connection

from callguard.config import API
from callguard.gate.callbook import NOT_GIVEN, Call, withdraw
from callguard.gate.decide import Decision, decide, release, still_stands
from callguard.gate.parties import find_tenant, parties_of
from callguard.gate.registries import registries_missing
from callguard.gate.request import Request
from callguard.gate.room import Gate
from callguard.policy.rules import Finding, Verdict, refusal
from callguard.storage.journal import NotDurableError

T = TypeVar("T")
log = structlog.get_logger(__name__)

PBX: Final = API
"""What the rows of counted verdicts name in place of an Asterisk."""

IN_FLIGHT: Final = 16
"""Most numbers of one preflight that are decided at a time."""

TIME_S: Final = 120.0
"""After so long what is not decided yet is blocked, whatever holds the database up."""

TAKEN_BACK: Final = 64
"""Most attempts taken back in one write, between which the verdicts of calls are kept."""

NO_GATE: Final = 42
"""The Q.850 cause with which a dialplan ends a call that got no verdict."""

_CLOSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Checked:
    """What is told of one number, as it was given. ``cause`` is that of a block; ``call`` names
    the row of a verdict that was kept."""

    number: str
    verdict: Literal["allow", "block"]
    reasons: tuple[str, ...]
    rules: tuple[str, ...]
    obligations: tuple[str, ...]
    cause: int | None
    findings: tuple[Finding, ...]
    call: str | None


@dataclass(slots=True)
class Answers(Generic[T]):
    """What was told of each number, in the order asked."""

    at: datetime
    told: list[T] = field(default_factory=list)
    allowed: int = 0

    @property
    def blocked(self) -> int:
        return len(self.told) - self.allowed


class Preflight:
    """Asks the gate about many numbers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._under_way: set[asyncio.Future[None]] = set()

    def knows(self, tenant: str) -> bool:
        """Whether there is a tenant of this id."""
        return self._gate.tenants.serving(tenant) is not None

    async def look(
        self,
        about: Request,
        numbers: Sequence[str],
        tell: Callable[[Checked], T],
        *,
        at: datetime | None = None,
    ) -> Answers[T]:
        """The verdicts on these numbers, called as ``about`` says, now or at ``at``."""

        async def one(request: Request) -> Checked:
            decision = await decide(self._gate, request, count=False, at=at)
            return _checked(request.number, decision.verdict)

        answers = Answers[T](at or self._gate.clock.now())
        until = self._gate.clock.monotonic() + TIME_S
        for part in _parts(about, numbers, _nobody):
            if self._gate.clock.monotonic() >= until:
                break
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(request)) for request in part]
            _tell(answers, tell, (task.result() for task in tasks))
        await _tell_too_late(answers, tell, numbers)
        return answers

    async def count(
        self, about: Request, numbers: Sequence[str], tell: Callable[[Checked], T]
    ) -> Answers[T]:
        """The verdicts on these numbers, each one kept and each allowed one an attempt. A number
        that comes twice is decided twice, and the second time the first counts."""
        answers = Answers[T](self._gate.clock.now())
        until = self._gate.clock.monotonic() + TIME_S
        async with self._given_or_taken_back() as given:
            for part in _parts(about, numbers, self._subject):
                if self._gate.clock.monotonic() >= until:
                    break
                first = len(answers.told)
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._kept(request, given, first + index))
                        for index, request in enumerate(part)
                    ]
                _tell(answers, tell, (task.result() for task in tasks))
            await _tell_too_late(answers, tell, numbers)
            self._look_again(answers, numbers, tell, given)
        return answers

    async def close(self) -> None:
        """Waits a little for what is under way. Not to be called before nobody asks any more."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=_CLOSE_S)
            if late:
                log.error("preflights_not_ended", number=len(late))

    async def _kept(self, request: Request, given: dict[int, Decision], place: int) -> Checked:
        gate = self._gate
        decision = await decide(gate, request)
        verdict, call = decision.verdict, decision.call
        if verdict.emergency:  # it waits for nothing, and nothing takes it back
            gate.journal.post(*decision.rows)
            gate.counts.verdict("outbound", "allow")
            return _checked(request.number, verdict, call.id)
        if verdict.allowed:
            # Before it is kept, so that a request given up in between leaves no attempt.
            given[place] = replace(decision, verdict=replace(verdict, findings=()), rows=())
        try:
            await gate.journal.insert(*decision.rows, timeout=gate.durable_s)
        except NotDurableError as error:
            given.pop(place, None)
            gate.counts.not_durable += 1
            log.error("verdict_not_durable", call=call.id, reason=str(error))
            release(gate, decision)
            # A commit that was under way may still succeed; the verdict was not given all the same.
            gate.journal.post(work=partial(withdraw, call=call))
            reason = f"the verdict could not be kept: {error}"
            return _not_given(request.number, refusal("gate.durable", reason))
        if not verdict.allowed:
            gate.counts.verdict("outbound", "block")
            gate.counts.missing(registries_missing(verdict, decision.facts))
        return _checked(request.number, verdict, call.id)

    def _look_again(
        self,
        answers: Answers[T],
        numbers: Sequence[str],
        tell: Callable[[Checked], T],
        given: dict[int, Decision],
    ) -> None:
        """Blocks who opted out while the others were decided. Last of all, and without a pause."""
        gate = self._gate
        overtaken = {at: one for at, one in given.items() if not still_stands(gate, one)}
        for place, decision in overtaken.items():
            verdict = refusal("gate.overtaken", NOT_GIVEN)
            answers.told[place] = tell(_not_given(numbers[place], verdict, decision.call.id))
            answers.allowed -= 1
            gate.counts.fault("overtaken_by_opt_out")
            log.warning("overtaken_by_opt_out", call=decision.call.id)
            release(gate, decision)
        for _ in range(len(given) - len(overtaken)):
            gate.counts.verdict("outbound", "allow")
        self._take_back(overtaken.values())

    def _subject(self, request: Request) -> str:
        """Whose attempts a call would count with; "" for nobody's."""
        tenant = find_tenant(self._gate, request)
        return parties_of(self._gate, request, tenant).subject.key

    @asynccontextmanager
    async def _given_or_taken_back(self) -> AsyncIterator[dict[int, Decision]]:
        """The allowed decisions that were kept, by place: attempts once the block is left in
        order, and none if it is not, as when whoever asked has gone."""
        given: dict[int, Decision] = {}
        done = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            yield given
        except BaseException:
            self._take_back(given.values())
            raise
        finally:
            self._under_way.discard(done)
            done.set_result(None)

    def _take_back(self, decisions: Collection[Decision]) -> None:
        """Beside the request, and slowly: the verdicts of calls use the same journal."""
        if decisions:
            work = self._taken_back(list(decisions))
            task = asyncio.create_task(work, name="preflight-take-back")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _taken_back(self, waiting: list[Decision]) -> None:
        while waiting:
            part, waiting = waiting[:TAKEN_BACK], waiting[TAKEN_BACK:]
            for decision in part:
                release(self._gate, decision)
            work = partial(_withdraw_all, withdrawn=[decision.call for decision in part])
            try:
                await self._gate.journal.write(work, timeout=_CLOSE_S)
            except NotDurableError as error:
                reason = str(error)
                log.error("attempts_not_taken_back", number=len(part + waiting), reason=reason)
                return


def _parts(
    about: Request, numbers: Iterable[str], subject_of: Callable[[Request], str]
) -> Iterator[list[Request]]:
    """The requests, a few at a time and no subject twice among them."""
    part: list[Request] = []
    subjects: set[str] = set()
    for number in numbers:
        request = replace(about, number=number)
        subject = subject_of(request)
        if len(part) == IN_FLIGHT or subject in subjects:
            yield part
            part, subjects = [], set()
        part.append(request)
        if subject:
            subjects.add(subject)
    if part:
        yield part


def _nobody(_request: Request) -> str:
    return ""


def _tell(answers: Answers[T], tell: Callable[[Checked], T], checked: Iterable[Checked]) -> None:
    for one in checked:
        answers.told.append(tell(one))
        answers.allowed += one.verdict == "allow"


def _checked(number: str, verdict: Verdict, call: str | None = None) -> Checked:
    return Checked(
        number=number,
        verdict=verdict.decision,
        reasons=verdict.reasons,
        rules=tuple(finding.rule.id for finding in verdict.findings if finding.blocks),
        obligations=tuple(sorted(obligation.value for obligation in verdict.obligations)),
        cause=None if verdict.allowed else verdict.cause,
        findings=verdict.findings,
        call=call,
    )


def _not_given(number: str, verdict: Verdict, call: str | None = None) -> Checked:
    return replace(_checked(number, verdict, call), cause=NO_GATE)


async def _tell_too_late(
    answers: Answers[T], tell: Callable[[Checked], T], numbers: Sequence[str]
) -> None:
    """Blocks what there was no time for."""
    reason = f"it was not decided within the {TIME_S:.0f} s that a request may take"
    verdict = refusal("gate.time", reason)
    while len(answers.told) < len(numbers):
        first = len(answers.told)
        _tell(answers, tell, (_not_given(n, verdict) for n in numbers[first : first + IN_FLIGHT]))
        await asyncio.sleep(0)


def _withdraw_all(connection: Connection, withdrawn: Iterable[Call]) -> None:
    for call in withdrawn:
        withdraw(connection, call)
