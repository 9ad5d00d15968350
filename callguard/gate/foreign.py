"""Recordings that callguard did not begin, by what Asterisk told: it says that a recording began on
a channel, not which. Ours are known from the recorder."""

from collections.abc import Callable

OwnOn = Callable[[str, str], tuple[str, ...]]
"""The ids of callguard's own recordings in progress on a channel of an Asterisk, oldest first."""

_Where = tuple[str, str]


class ForeignRecordings:
    """What runs on each channel, oldest first: the id of our own, or None for somebody else's."""

    def __init__(self, own_on: OwnOn) -> None:
        self._own_on = own_on
        self._running: dict[_Where, list[str | None]] = {}
        self._reported: set[_Where] = set()

    def runs(self, pbx: str, uniqueid: str, own: str) -> None:
        """One of ours runs there, perhaps since before anything was told."""
        running = self._running.setdefault((pbx, uniqueid), [])
        if own not in running:
            running.insert(0, own)

    def started(self, pbx: str, uniqueid: str) -> bool:
        """A recording began there; whether it is not one of ours."""
        running = self._running.setdefault((pbx, uniqueid), [])
        ours = next((one for one in self._own_on(pbx, uniqueid) if one not in running), None)
        running.append(ours)
        return ours is None

    def suspect(self, pbx: str, uniqueid: str) -> None:
        """One that is not ours may have begun while nothing was told."""
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

    def stopped_newest(self, pbx: str, uniqueid: str) -> str | None:
        """The newest one there was stopped; the id of our own where it was that."""
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
        self._running.pop((pbx, uniqueid), None)

    def report_once(self, pbx: str, uniqueid: str) -> bool:
        """Whether that channel was not reported before; from now on it was."""
        if (pbx, uniqueid) in self._reported:
            return False
        self._reported.add((pbx, uniqueid))
        return True

    def gone(self, pbx: str, uniqueid: str) -> None:
        """The channel is no more."""
        self._running.pop((pbx, uniqueid), None)
        self._reported.discard((pbx, uniqueid))
