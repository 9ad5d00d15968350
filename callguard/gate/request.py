"""What a dialplan asks of the gate, read from the AGI environment. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from callguard.policy.facts import PURPOSES, Channel, Dialler, Direction, Purpose

MAX_TEXT = 128
"""Longest campaign or agent taken over from the dialplan."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question. Empty texts are what the dialplan left out. ``dialler`` is who dials,
    ``passed_from`` the id of the call that the channel was in before."""

    direction: Direction
    pbx: str
    uniqueid: str
    channel: str
    number: str
    caller: str
    tenant: str
    purpose: str
    campaign: str
    agent: str
    account_code: str
    debt: str = ""
    dialler: Dialler = "agent"
    passed_from: str = ""
    contact_channel: Channel = "voice"


def read_request(
    direction: Direction, values: Mapping[str, str], query: Mapping[str, str]
) -> Request:
    """Takes the AGI variables (``agi_…``) and the query of the AGI address."""
    return Request(
        direction=direction,
        pbx=query.get("pbx", "asterisk")[:63],
        uniqueid=values.get("agi_uniqueid", "")[:150],
        channel=values.get("agi_channel", ""),
        number=query.get("number", ""),
        caller=values.get("agi_callerid", ""),
        tenant=query.get("tenant", ""),
        purpose=query.get("purpose", ""),
        campaign=query.get("campaign", "")[:MAX_TEXT],
        agent=query.get("agent", "")[:MAX_TEXT],
        account_code=values.get("agi_accountcode", ""),
        debt=query.get("debt", "")[:MAX_TEXT],
        # What is mistyped is the stricter of the two.
        dialler="agent" if query.get("dialler", "") in ("", "agent") else "machine",
        passed_from=query.get("from", "")[:MAX_TEXT],
    )


def read_purpose(text: str, default: Purpose) -> Purpose | None:
    """The purpose named, the tenant's own where none is, None where it is no purpose at all."""
    if not text:
        return default
    return next((purpose for purpose in PURPOSES if purpose == text), None)


@dataclass(slots=True)
class Counts:
    """What the gate has done since it started, for the page and the metrics."""

    verdicts: dict[tuple[str, str], int] = field(default_factory=dict)
    not_durable: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    notices: dict[str, int] = field(default_factory=dict)
    held_by_missing: dict[str, int] = field(default_factory=dict)

    def verdict(self, direction: str, decision: str) -> None:
        self.verdicts[direction, decision] = self.verdicts.get((direction, decision), 0) + 1

    def missing(self, registries: Iterable[str]) -> None:
        """A call was held back because these registries are not there to ask."""
        for name in registries:
            self.held_by_missing[name] = self.held_by_missing.get(name, 0) + 1

    def fault(self, kind: str) -> None:
        self.faults[kind] = self.faults.get(kind, 0) + 1

    def notice(self, state: str) -> None:
        self.notices[state] = self.notices.get(state, 0) + 1
