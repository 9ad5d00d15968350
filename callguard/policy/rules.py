"""Rules, findings and verdicts: the words in which a decision is explained."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from callguard.policy.exemption import Exemption
from callguard.policy.scope import Scope

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
    ASK_CONSENT = "ask_consent"
    DO_NOT_RECORD = "do_not_record"
    BEEP = "beep"
    IDENTIFY = "identify"
    STATE_PURPOSE = "state_purpose"
    OFFER_OPT_OUT = "offer_opt_out"
    RECORD = "record"
    PRIOR_CONSENT = "prior_consent"
    """Nothing need be asked: a consent to recordings, with its evidence, stands."""
    ONE_PARTY = "one_party"
    """Nothing need be said: one party's consent suffices, and the tenant is one."""


class KindSettings(BaseModel):
    """The figures of a rule; each kind of rule has its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Found(NamedTuple):
    """What a kind of rule says of a call: the outcome, a one-line reason with the figures in it,
    what must be done, and whether it stands above every other rule."""

    outcome: Outcome
    reason: str
    obligations: frozenset[Obligation] = frozenset()
    overrides: bool = False


def passed(reason: str) -> Found:
    return Found(Outcome.PASS, reason)


def blocked(reason: str) -> Found:
    return Found(Outcome.BLOCK, reason)


def unknown(reason: str) -> Found:
    return Found(Outcome.UNKNOWN, reason)


def required(reason: str, obligations: Iterable[Obligation]) -> Found:
    return Found(Outcome.REQUIRE, reason, frozenset(obligations))


@dataclass(frozen=True, slots=True)
class Rule:
    """One legal or contractual demand, as data.

    ``kind`` names the module in ``policy.kinds`` that evaluates it; ``settings`` are that
    kind's own figures. ``scope`` is which calls it is about, ``exemption`` what lifts it.
    ``cause`` is the Q.850 hang-up cause of a call it blocks, ``prompt`` the name of what such a
    caller hears. Rules of one ``series`` are versions of one demand: they follow one another in
    time. ``source`` is where its values were seen, for a verified one.
    """

    id: str
    kind: str
    title: str
    citation: str
    effective_from: date
    effective_to: date | None = None
    status: Status = "unverified"
    verified_on: date | None = None
    source: str = ""
    series: str = ""
    on_unknown: OnUnknown = "block"
    cause: int = CALL_REJECTED
    prompt: str = "blocked"
    settings: KindSettings = field(default_factory=KindSettings)
    scope: Scope = field(default_factory=Scope)
    exemption: Exemption | None = None

    def in_force(self, day: date) -> bool:
        """Whether the rule applies on that day; both ends are included."""
        return self.effective_from <= day and (
            self.effective_to is None or day <= self.effective_to
        )

    def in_force_on_any(self, days: Sequence[date]) -> bool:
        """Whether the rule applies on one of these days."""
        return any(map(self.in_force, days)) if len(days) != 1 else self.in_force(days[0])


class Finding(NamedTuple):
    """What one rule says of one call. ``blocks`` is whether it holds the call back."""

    rule: Rule
    outcome: Outcome
    reason: str
    blocks: bool = False
    obligations: frozenset[Obligation] = frozenset()
    overrides: bool = False

    def as_json(self) -> dict[str, object]:
        """The stored form: enough to explain the verdict when the rule has long changed."""
        rule = self.rule
        return {
            "rule": rule.id,
            "title": rule.title,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "citation": rule.citation,
            "since": rule.effective_from.isoformat(),
            "status": rule.status,
            "blocks": self.blocks,
            "obligations": sorted(duty.value for duty in self.obligations),
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
    def blocking(self) -> Finding | None:
        """The first finding that holds the call back; its rule's cause and prompt are used."""
        return next((f for f in self.findings if f.blocks), None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, each reason once: what blocked a blocked call; of an allowed one, what overrode the
        rest for an emergency and what could not be told."""
        if not self.allowed:
            told = [f for f in self.findings if f.blocks]
        else:
            told = [f for f in self.findings if f.overrides or f.outcome is Outcome.UNKNOWN]
        return tuple(dict.fromkeys(f.reason for f in told))

    @property
    def cause(self) -> int:
        """The Q.850 cause for hanging up a blocked call."""
        return self.blocking.rule.cause if self.blocking else CALL_REJECTED

    @property
    def prompt(self) -> str:
        """The name of the prompt for whoever places a blocked call."""
        return self.blocking.rule.prompt if self.blocking else "blocked"


FAILURE_TABLE = "callguard: failure table"
_ALWAYS = date(1970, 1, 1)


def _gate_rule(name: str) -> Rule:
    return Rule(name, "gate", "The gate can decide the call", FAILURE_TABLE, _ALWAYS)


def refusal(rule: str, reason: str) -> Verdict:
    """A blocking verdict that rests on no rule: the gate itself cannot decide the call."""
    finding = Finding(_gate_rule(rule), Outcome.UNKNOWN, reason, blocks=True)
    return Verdict(allowed=False, findings=(finding,))


def unrecorded(rule: str, reason: str) -> Verdict:
    """What an inbound call that cannot be decided gets: it is connected, and not recorded."""
    finding = Finding(_gate_rule(rule), Outcome.UNKNOWN, reason)
    obligations = frozenset({Obligation.DO_NOT_RECORD})
    return Verdict(allowed=True, findings=(finding,), obligations=obligations)
