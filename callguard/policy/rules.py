"""Rules, findings and verdicts: the words in which a decision is explained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

OnUnknown = Literal["pass", "block"]
Status = Literal["verified", "unverified"]

CALL_REJECTED = 21
"""Q.850 cause 21, which Asterisk turns into SIP 403."""


class Outcome(StrEnum):
    """What one rule found."""

    PASS = "pass"  # noqa: S105 - an outcome, no password
    BLOCK = "block"
    REQUIRE = "require"
    UNKNOWN = "unknown"


class Obligation(StrEnum):
    """What an allowed call must do or leave undone."""

    PLAY_NOTICE = "play_notice"
    DO_NOT_RECORD = "do_not_record"


@dataclass(frozen=True, slots=True)
class Rule:
    """One legal or contractual demand, as data.

    ``kind`` names the module in ``policy.kinds`` that evaluates it; ``settings`` are that
    kind's own figures. ``cause`` is the Q.850 hang-up cause of a call it blocks.
    """

    id: str
    kind: str
    title: str
    citation: str
    effective_from: date
    effective_to: date | None = None
    status: Status = "unverified"
    verified_on: date | None = None
    on_unknown: OnUnknown = "block"
    cause: int = CALL_REJECTED
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def in_force(self, day: date) -> bool:
        """Whether the rule applies on that day; both ends are included."""
        return self.effective_from <= day and (
            self.effective_to is None or day <= self.effective_to
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one call. ``overrides`` marks what stands above every other rule."""

    rule: str
    outcome: Outcome
    reason: str
    citation: str
    cause: int = CALL_REJECTED
    blocks: bool = False
    overrides: bool = False
    obligations: frozenset[Obligation] = frozenset()

    def as_json(self) -> dict[str, object]:
        """The stored form."""
        return {
            "rule": self.rule,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "citation": self.citation,
            "blocks": self.blocks,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings together. Findings are ordered by rule id, so order of rules never shows."""

    allowed: bool
    findings: tuple[Finding, ...]
    obligations: frozenset[Obligation] = frozenset()
    emergency: bool = False

    @property
    def decision(self) -> Literal["allow", "block"]:
        return "allow" if self.allowed else "block"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why: what blocked a blocked call; of an allowed one, what overrode the rest for an
        emergency and what could not be told."""
        if not self.allowed:
            return tuple(f.reason for f in self.findings if f.blocks)
        told = (f for f in self.findings if f.overrides or f.outcome is Outcome.UNKNOWN)
        return tuple(f.reason for f in told)

    @property
    def cause(self) -> int:
        """The Q.850 cause for hanging up a blocked call."""
        return next((f.cause for f in self.findings if f.blocks), CALL_REJECTED)


FAILURE_TABLE = "callguard: failure table"


def refusal(rule: str, reason: str) -> Verdict:
    """A blocking verdict that rests on no rule: the gate itself cannot decide the call."""
    finding = Finding(rule, Outcome.UNKNOWN, reason, FAILURE_TABLE, blocks=True)
    return Verdict(allowed=False, findings=(finding,))


def unrecorded(rule: str, reason: str) -> Verdict:
    """What an inbound call that cannot be decided gets: it is connected, and not recorded."""
    finding = Finding(rule, Outcome.UNKNOWN, reason, FAILURE_TABLE)
    obligations = frozenset({Obligation.DO_NOT_RECORD})
    return Verdict(allowed=True, findings=(finding,), obligations=obligations)
