"""Whose turn it is: who may be sent to beside what is under way, so that nobody keeps all others
waiting. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callguard.recording.delivery.due import Next
from callguard.recording.delivery.resting import At, Rests

AT_ONCE = 4
AT_ONE_PLACE = 2
AT_ONE_TENANT = 3

DOUBTFUL = 2
"""Of those ``AT_ONCE``, attempts at what failed before: so that places which keep silent, however
many, never take all turns."""


@dataclass(frozen=True, slots=True)
class Turns:
    """What is under way at a moment, and which places failed just now."""

    under_way: Sequence[Next]
    rests: Rests
    now: datetime

    @property
    def free(self) -> int:
        """How many more may begin."""
        return AT_ONCE - len(self.under_way)

    def may_begin(self, one: Next) -> bool:
        """Of those that were found together the first may have taken its turn."""
        if one.state == "confirmed":
            return not self.considering
        if one.attempts and self.doubtful_enough:
            return False
        return one.tenant not in self.with_enough and one.at not in self.left_alone

    @property
    def considering(self) -> bool:
        """Whether one is looked at that may be given away: one at a time, since many that a hold
        keeps must not keep those waiting that are to be sent."""
        return len(self._sending) < len(self.under_way)

    @property
    def left_alone(self) -> set[At]:
        """Places that failed just now, and those where enough goes on already: one attempt at one
        that failed before, two at any other."""
        busy = Counter(one.at for one in self._sending)
        full = {at for at, count in busy.items() if count >= AT_ONE_PLACE}
        if self.doubtful_enough:
            full |= self.rests.doubted
        return full | self.rests.left_alone(self.now, busy)

    @property
    def with_enough(self) -> set[str]:
        """Tenants that have their share of what goes on at once."""
        busy = Counter(one.tenant for one in self._sending)
        return {tenant for tenant, count in busy.items() if count >= AT_ONE_TENANT}

    @property
    def doubtful_enough(self) -> bool:
        """Whether as much is under way as may be of what failed before."""
        doubted = self.rests.doubted
        return sum(bool(one.attempts) or one.at in doubted for one in self._sending) >= DOUBTFUL

    @property
    def _sending(self) -> list[Next]:
        return [one for one in self.under_way if one.state != "confirmed"]
