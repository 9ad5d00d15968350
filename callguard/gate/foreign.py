"""Recordings that callguard did not begin, by what Asterisk told: it says that a recording began on
a channel, or ended there, not which. Ours are known from the recorder."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

OwnOn = Callable[[str, str], Mapping[str, bool]]
"""The ids of callguard's own recordings in progress on a channel of an Asterisk, oldest first, each
with whether Asterisk is known to write it."""

_Where = tuple[str, str]


class ForeignRecordings:
    """What runs on each channel, oldest first: the id of our own, or None for somebody else's.
    ``_mixed`` are the channels of which that order is not known, ``_ended`` is how many ended
    there beside one of ours, ``_ordered`` how many of those that end were told to."""

    def __init__(self, own_on: OwnOn) -> None:
        self._own_on = own_on
        self._running: dict[_Where, list[str | None]] = {}
        self._mixed: set[_Where] = set()
        self._ended: Counter[_Where] = Counter()
        self._ordered: Counter[_Where] = Counter()
        self._reported: set[_Where] = set()
        self._left: set[_Where] = set()

    def runs(self, pbx: str, uniqueid: str, own: str) -> None:
        """One of ours runs there, perhaps since before anything was told."""
        running = self._running.setdefault((pbx, uniqueid), [])
        if own not in running:
            running.insert(0, own)

    def started(self, pbx: str, uniqueid: str) -> bool:
        """A recording began there; whether it is not one of ours. Where one of ours was just being
        begun, it may be either."""
        running, own = self._running.setdefault((pbx, uniqueid), []), self._own_on(pbx, uniqueid)
        ours = next((one for one in own if one not in running), None)
        running.append(ours)
        if ours is None:
            self._left.discard((pbx, uniqueid))
        if ours is None and any(one in running and not known for one, known in own.items()):
            self._mixed.add((pbx, uniqueid))
        return ours is None

    def is_mixed(self, pbx: str, uniqueid: str) -> bool:
        """Whether it is not known which of those that run there is the newest."""
        return (pbx, uniqueid) in self._mixed

    def suspect(self, pbx: str, uniqueid: str, *, ours: bool = False) -> None:
        """One that is not ours may have begun while nothing was told, or several where none of ours
        runs; ``ours``: or one that we closed runs on, which is no news to anybody."""
        if ours:
            self._left.add((pbx, uniqueid))
        elif not self._own_on(pbx, uniqueid):
            self._mixed.add((pbx, uniqueid))
        running = self._running.setdefault((pbx, uniqueid), [])
        if None not in running:
            running.append(None)

    def is_suspected(self, pbx: str, uniqueid: str) -> bool:
        """Whether one runs there that is not ours, as far as is known."""
        return None in self._running.get((pbx, uniqueid), ())

    def on(self, pbx: str) -> tuple[str, ...]:
        """The channels of that Asterisk on which one runs that is not ours."""
        return tuple(
            u for (name, u), running in self._running.items() if name == pbx and None in running
        )

    def order(self, pbx: str, uniqueid: str, number: int = 1) -> None:
        """One there is told to stop; with -1 it did not."""
        self._ordered[pbx, uniqueid] += number

    def lost(self, pbx: str) -> None:
        """What was told to stop there is not heard of any more."""
        for where in [where for where in self._ordered if where[0] == pbx]:
            del self._ordered[where]

    def ended_one(self, pbx: str, uniqueid: str) -> None:
        """One of those there ended."""
        where = pbx, uniqueid
        if self._ordered[where] > 0:
            self._ordered[where] -= 1
            return
        running = self._running.get(where, [])
        if None not in running or where in self._mixed:
            return
        if any(one is not None for one in running):
            self._ended[where] += 1
        else:
            running.pop()

    def is_unsure(self, pbx: str, uniqueid: str) -> bool:
        """Whether one ended there of which it is not known whose it was."""
        return self._ended[pbx, uniqueid] > 0

    def only_these_live(self, pbx: str, uniqueid: str, own: Collection[str]) -> None:
        """It is known which of ours run there still: what else ended was somebody else's."""
        where = pbx, uniqueid
        running = self._running.get(where, [])
        dead = [one for one in running if one is not None and one not in own]
        for one in dead:
            running.remove(one)
        for _ in range(self._ended.pop(where, 0) - len(dead)):
            if None in running:
                running.reverse()
                running.remove(None)
                running.reverse()

    def stopped_newest(self, pbx: str, uniqueid: str) -> str | None:
        """The newest one there was stopped; the id of our own where it was that."""
        if (pbx, uniqueid) in self._mixed:
            return None
        running = self._running.get((pbx, uniqueid), [])
        own = self._own_on(pbx, uniqueid)
        while running:
            newest = running.pop()
            if newest is None:
                return None
            if newest in own:
                return newest
        return None

    def ended_alone(self, pbx: str, uniqueid: str) -> None:
        """None runs there any more."""
        where = pbx, uniqueid
        self._running.pop(where, None)
        self._mixed.discard(where)
        self._left.discard(where)
        self._ended.pop(where, None)
        self._ordered.pop(where, None)

    def report_once(self, pbx: str, uniqueid: str) -> bool:
        """Whether that channel was not reported before; from now on it was."""
        if (pbx, uniqueid) in self._reported | self._left:
            return False
        self._reported.add((pbx, uniqueid))
        return True

    def gone(self, pbx: str, uniqueid: str) -> None:
        """The channel is no more."""
        self.ended_alone(pbx, uniqueid)
        self._reported.discard((pbx, uniqueid))
