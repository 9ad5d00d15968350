"""The opt-outs that stand, in memory: what the gate asks for every call."""

from collections.abc import Iterable
from dataclasses import dataclass

from callguard.optout.events import OptOutEvent
from callguard.policy.facts import OptOut

PAGE = 10_000
"""How many events are read at once when the image follows the table."""


@dataclass(frozen=True, slots=True)
class _Standing:
    sequence: int
    wish: OptOut | None


class OptOutImage:
    """Follows the table of opt-outs. Events of this process are applied as soon as they are
    durable, those of others as they are read; for one subject and scope the later row wins,
    in whatever order they arrive."""

    def __init__(self) -> None:
        self._standing: dict[str, dict[str | None, _Standing]] = {}
        self._read = 0

    @property
    def read_up_to(self) -> int:
        """The sequence number up to which the table was read."""
        return self._read

    def of(self, subject: str, tenant: str) -> tuple[OptOut, ...]:
        """The wishes of a subject that bind this tenant: against it, and against everyone."""
        scopes = self._standing.get(subject)
        if not scopes:
            return ()
        found = (scopes.get(tenant), scopes.get(None))
        return tuple(s.wish for s in found if s is not None and s.wish is not None)

    def apply(self, sequence: int, event: OptOutEvent) -> None:
        """Takes in one durable event."""
        scopes = self._standing.setdefault(event.subject, {})
        present = scopes.get(event.tenant)
        if present is not None and present.sequence >= sequence:
            return
        wish: OptOut | None = None
        if event.standing:
            wish = OptOut(event.tenant, event.at, event.way, event.purposes, event.channels)
        scopes[event.tenant] = _Standing(sequence, wish)

    def follow(self, events: Iterable[tuple[int, OptOutEvent]]) -> None:
        """Takes in the rows after ``read_up_to``, in order."""
        for sequence, event in events:
            self.apply(sequence, event)
            self._read = max(self._read, sequence)

    def count(self) -> int:
        """How many wishes stand."""
        return sum(
            s.wish is not None for scopes in self._standing.values() for s in scopes.values()
        )
