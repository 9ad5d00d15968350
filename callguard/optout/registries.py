"""The public do-not-call registries, as the gate asks them."""

from typing import Protocol

from callguard.policy.facts import RegistryAnswer
from callguard.policy.numbers import Number


class Registries(Protocol):
    """Whatever lists are imported."""

    def answers(self, subject: Number) -> tuple[RegistryAnswer, ...]:
        """What each list says of a number; nothing of a list that is not there."""
        ...


class _NoRegistries:
    def answers(self, subject: Number) -> tuple[RegistryAnswer, ...]:
        return ()


NO_REGISTRIES: Registries = _NoRegistries()
