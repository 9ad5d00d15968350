"""The calls in progress, by call id and by channel."""

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from callguard.consent.modes import ABOUT_RECORDING, Mode, law_of
from callguard.policy.facts import Direction
from callguard.policy.rules import Finding, Obligation
from callguard.storage.attempts import withdraw_attempt
from callguard.storage.schema import calls
from callguard.tenants.keeping import Concern

BOUND = 50_000
"""Most calls remembered; beyond it the oldest is forgotten here (its row is in the database)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A decided call, as its later steps need it. ``subject`` is the protected party's key;
    ``asking`` are the rules that have a say in whether and how it is recorded, each with its
    citation; ``passed_on`` is whether its first channel was in a call that it did not place, as
    after a blind transfer."""

    id: str
    tenant: str
    pbx: str
    uniqueid: str
    direction: Direction
    purpose: str
    subject: str
    allowed: bool
    obligations: frozenset[Obligation]
    decided_at: datetime
    asking: tuple[str, ...] = ()
    passed_on: bool = False

    @property
    def concern(self) -> Concern:
        """Whom its records are about."""
        return Concern(self.subject, self.purpose, self.direction)


YOUNG_S = 10
"""A call younger than this may have come after a list of channels was asked for."""

NOT_GIVEN = "the verdict was not given: it was not durable in time, or an opt-out overtook it"


class CallBook:
    """Calls that were decided and have not ended."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._by_channel: dict[tuple[str, str], str] = {}
        self._announced: set[str] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        while len(self._calls) >= BOUND:
            oldest = next(iter(self._calls.values()))
            self.end(oldest.pbx, oldest.uniqueid)
        self.end(call.pbx, call.uniqueid)  # a channel that passes the gate again begins anew
        self._calls[call.id] = call
        self._by_channel[call.pbx, call.uniqueid] = call.id

    def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def of_channel(self, pbx: str, uniqueid: str) -> Call | None:
        """The call that began on that channel."""
        return self._calls.get(self._by_channel.get((pbx, uniqueid), ""))

    def announce_once(self, call: Call) -> bool:
        """Whether the call was not announced before; from now on it was."""
        if call.id in self._announced or call.id not in self._calls:
            return False
        self._announced.add(call.id)
        return True

    def end(self, pbx: str, uniqueid: str) -> None:
        """Forgets the call whose first channel is gone."""
        call_id = self._by_channel.pop((pbx, uniqueid), "")
        self._announced.discard(call_id)
        self._calls.pop(call_id, None)

    def keep_only(self, pbx: str, channels: Container[str], now: datetime) -> None:
        """Forgets the calls of an Asterisk whose channel is none of those living there; one
        decided within the last seconds may be younger than the list."""
        for call in self.all():
            old = now - call.decided_at > timedelta(seconds=YOUNG_S)
            if call.pbx == pbx and old and call.uniqueid not in channels:
                self.end(pbx, call.uniqueid)

    def all(self) -> tuple[Call, ...]:
        """The calls in progress, oldest first."""
        return tuple(self._calls.values())


def withdraw(connection: Connection, call: Call) -> None:
    """Marks an allowed call whose verdict was never given to the dialplan: it is no attempt."""
    connection.execute(
        update(calls)
        .where(calls.c.id == call.id, calls.c.verdict == "allow")
        .values(verdict="block", reasons=[NOT_GIVEN])
    )
    withdraw_attempt(connection, call.subject, call.decided_at, call.id)


_ASKING = frozenset(Mode) - {Mode.SILENT}


def rules_asking(laid: Iterable[tuple[str, frozenset[Obligation]]]) -> tuple[str, ...]:
    """Of rules, each named with its citation, and what they lay on a call: those that ask for
    something before a recording; that one party's consent suffices says something only where
    nothing is asked for."""
    about = [(rule, duties) for rule, duties in laid if not ABOUT_RECORDING.isdisjoint(duties)]
    law = law_of(frozenset().union(*(duties for _, duties in about)))
    return tuple(rule for rule, duties in about if law_of(duties) in (law, *_ASKING))


def as_decided(findings: Iterable[Finding]) -> tuple[str, ...]:
    """``rules_asking`` of the findings of a verdict."""
    return rules_asking(
        (f"{f.rule.id}: {f.rule.citation}", f.obligations) for f in findings if f.obligations
    )


def as_kept(findings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """``rules_asking`` of the findings of a call as the database has them."""
    return rules_asking(
        (f"{f['rule']}: {f['citation']}", frozenset(map(Obligation, f.get("obligations", ()))))
        for f in findings
    )


def read_call(connection: Connection, call_id: str) -> Call | None:
    """The call as the database has it: for steps that follow a restart of callguard."""
    row = connection.execute(select(calls).where(calls.c.id == call_id)).one_or_none()
    if row is None or row.tenant_id is None:
        return None
    return Call(
        id=row.id,
        tenant=row.tenant_id,
        pbx=row.pbx,
        uniqueid=row.uniqueid,
        direction=row.direction,
        purpose=row.purpose or "",
        subject=row.subject,
        allowed=row.verdict == "allow",
        obligations=frozenset(Obligation(o) for o in row.obligations),
        decided_at=row.decided_at,
        asking=as_kept(row.findings),
    )
