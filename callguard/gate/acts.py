"""What was done in the middle of the calls of this process."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from callguard.gate.callbook import BOUND
from callguard.gate.withdrawals import Withdrawal, Withdrawals

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Acts:
    """What was done in one call. ``ended``: its recording was ended; ``erased``: nothing of it is
    left. ``stopped`` are the recordings that have stopped. ``withdrawals`` are by the channels of
    those who no longer agree, and by whether what was recorded goes. ``resuming`` is what waits to
    be durable before something is heard again."""

    ended: bool = False
    erased: bool = False
    stopped: set[str] = field(default_factory=set)
    withdrawals: dict[tuple[frozenset[str | None], bool], Withdrawal] = field(default_factory=dict)

    resuming: set[asyncio.Future[list[bool]]] = field(default_factory=set)

    def silence(self) -> None:
        """Whatever was to be heard again is not: somebody wants silence."""
        for one in self.resuming:
            one.cancel()

    def withdrawn(self, channel: str | None) -> bool:
        """Whether the one on that channel no longer agrees."""
        return any(channel in channels for channels, _ in self.withdrawals)


class ActBook:
    """The acts of each call, and what of them is still under way."""

    def __init__(self) -> None:
        self._acts: OrderedDict[str, Acts] = OrderedDict()
        self._under_way: set[asyncio.Task[Any]] = set()
        self.withdrawals = Withdrawals()

    def of(self, call_id: str) -> Acts | None:
        return self._acts.get(call_id)

    def ended(self, call_id: str) -> bool:
        """Whether nothing of that call is to be recorded any more."""
        acts = self._acts.get(call_id)
        return acts is not None and acts.ended

    def begun(self, call_id: str) -> Acts:
        """The acts of a call in which something is about to be done."""
        while len(self._acts) >= BOUND and call_id not in self._acts:
            self._acts.popitem(last=False)
        return self._acts.setdefault(call_id, Acts())

    def finish(self, act: Coroutine[Any, Any, T], name: str) -> Awaitable[T]:
        """Carries an act through to its end, also where nobody waits for it any more."""
        task = asyncio.create_task(act, name=name)
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return asyncio.shield(task)

    async def close(self, within: float) -> None:
        """Waits a little for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("mid_call_failed", act=task.get_name(), error=type(error).__name__)
