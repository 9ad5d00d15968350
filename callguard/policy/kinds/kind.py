"""What a kind of rule is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings

S = TypeVar("S", bound=KindSettings)


def _any_change(before: KindSettings, after: KindSettings) -> bool:
    return before != after


@dataclass(frozen=True, slots=True)
class Kind:
    """``find`` says what a rule with these settings finds in a call; ``loosens`` whether the
    second settings let through any call that the first hold back, or drop a duty."""

    settings: type[KindSettings]
    find: Callable[[Any, CallFacts], Found]
    loosens: Callable[[Any, Any], bool]

    @classmethod
    def of(
        cls,
        settings: type[S],
        find: Callable[[S, CallFacts], Found],
        loosens: Callable[[S, S], bool] = _any_change,
    ) -> "Kind":
        """Ties a kind's functions to the settings they take."""
        return cls(settings, find, loosens)
