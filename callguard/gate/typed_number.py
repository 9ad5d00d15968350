"""A number that somebody typed on the opt-out line: whom it means, if it is taken. Pure."""

from collections import deque
from collections.abc import Callable

from callguard.policy.numbers import parse_number

NOT_TAKEN = frozenset({"premium", "shared_cost", "satellite", "short", "voicemail", "pager"})
"""Lines that nobody is called on to be sold anything, or that cost whoever calls back."""

AN_HOUR_S = 3600.0


def read_typed(digits: str, region: str, is_own: Callable[[str], bool]) -> str | None:
    """The key of a number typed as somebody in ``region`` dials it, None where it is none that a
    wish can be entered for: an emergency number, a short code, a costly line, one that ``is_own``
    of a tenant, or no number at all."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = parse_number(digits, region)
    if number.e164 is None or number.emergency or number.line in NOT_TAKEN:
        return None
    return None if is_own(number.e164) else number.e164


class HourlyBound:
    """Lets so much through in any hour, by the monotonic clock, counted since the start."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: deque[float] = deque(maxlen=most)

    def take(self, now: float) -> bool:
        """Whether there was room at ``now``; if so it is taken."""
        while self._taken and now - self._taken[0] >= AN_HOUR_S:
            self._taken.popleft()
        if len(self._taken) >= self._most:
            return False
        self._taken.append(now)
        return True
