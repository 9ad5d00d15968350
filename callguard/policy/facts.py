"""What is known of a call when it is decided."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from callguard.policy.numbers import Number

Direction = Literal["outbound", "inbound"]
Purpose = Literal["marketing", "service", "collection", "survey", "transactional"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


@dataclass(frozen=True, slots=True)
class OptOut:
    """A subject's standing wish not to be called.

    ``tenant`` is None where it holds against every tenant; an empty ``purposes`` means all.
    """

    tenant: str | None
    since: datetime
    channel: str
    purposes: frozenset[str] = frozenset()

    def covers(self, purpose: Purpose) -> bool:
        """Whether a call of this purpose is one the subject does not want."""
        return not self.purposes or purpose in self.purposes


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Everything a rule may look at. ``at`` is aware; ``subject`` is the party who is protected:
    the called number outbound, the calling number inbound."""

    at: datetime
    tenant: str
    direction: Direction
    purpose: Purpose
    subject: Number
    caller: Number
    called: Number
    opt_outs: tuple[OptOut, ...] = ()
    campaign: str | None = None
    agent: str | None = None
