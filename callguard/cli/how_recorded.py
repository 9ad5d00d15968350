"""In which mode a call is recorded, and why, as ``explain`` tells it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row

from callguard.consent.ledger import evidence_of
from callguard.consent.modes import Mode, choose, law_of
from callguard.gate.callbook import as_kept
from callguard.gate.decide import Decision
from callguard.policy.rules import Obligation
from callguard.tenants.tenant import Tenant


@dataclass(frozen=True, slots=True)
class HowRecorded:
    """``rules`` have a say in it, each with its citation; ``wish`` is the tenant's, None where that
    is not kept; ``records`` whether it records at all; ``why`` is what else there is to say."""

    mode: Mode
    law: Mode
    rules: Sequence[str] = ()
    wish: Mode | None = None
    records: bool = True
    why: str = ""

    def in_words(self) -> str:
        """The mode, then who wants it: the stricter of law and wish holds."""
        if not self.records:
            return "recording: none; the tenant does not record"
        rules = f" ({'; '.join(self.rules)})" if self.rules else ""
        if not rules and self.law is Mode.NOTICE:
            rules = ", since no rule speaks of recordings"
        wants = [f"the law asks for {self.law.value}{rules}"]
        wants += [f"the tenant wishes {self.wish.value}"] if self.wish else []
        wants += [self.why] if self.why else []
        return f"recording: {self.mode.value}; {'; '.join(wants)}"

    def as_value(self) -> dict[str, object]:
        """The same, for a machine."""
        return {
            "mode": self.mode.value,
            "law": self.law.value,
            "rules": list(self.rules),
            "wish": self.wish and self.wish.value,
            "records": self.records,
            "why": self.why or None,
        }


def how_recorded(connection: Connection, decision: Decision, tenant: Tenant) -> HowRecorded:
    """As the gate would choose once the call is answered."""
    call, chosen = decision.call, tenant.settings
    law, wish = law_of(call.obligations), Mode(chosen.recording_mode)
    mode = choose(law, wish, record=chosen.record)
    how = HowRecorded(mode, law, call.asking, wish, chosen.record)
    if law is not Mode.PRIOR or mode is Mode.NONE:
        return how
    evidence = evidence_of(connection, tenant.id, call.subject, call.decided_at)
    if evidence is None:
        return replace(how, mode=Mode.ASK, why="no evidence of the consent is on file")
    return replace(how, why=f"it rests on {evidence.proof}")


def how_it_was(mode: Mode, row: Row[Any]) -> HowRecorded:
    """Of a kept call in which something was said in that mode."""
    law = law_of([Obligation(duty) for duty in row.obligations])
    why = f"as the ledger has it (callguard consent show --call {row.id})"
    return HowRecorded(mode, law, as_kept(row.findings), why=why)
