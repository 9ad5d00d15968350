"""What became of the demo's calls, told from callguard's database and Asterisk's own records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select

from callguard.policy.numbers import mask
from callguard.storage.schema import call_records, calls, consents, recordings

NO_VERDICT = {
    "unreachable": "callguard could not be asked: the dialplan itself decided",
    "emergency": "an emergency number passes before the gate",
}
"""What the dialplan writes in place of a call id, in words."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a call of the demo must come to."""

    direction: str
    verdict: str
    connected: bool
    consent: str | None
    recorded: bool


EXPECTED: Mapping[str, Expected] = {
    "outbound allowed": Expected("outbound", "allow", True, "granted", True),
    "outbound asked, and agreed": Expected("outbound", "allow", True, "granted", True),
    "outbound opted out": Expected("outbound", "block", False, None, False),
    "outbound outside hours": Expected("outbound", "block", False, None, False),
    "outbound fourth in a day": Expected("outbound", "block", False, None, False),
    "outbound in the registry": Expected("outbound", "block", False, None, False),
    "outbound emergency": Expected("outbound", "allow", True, None, False),
    "inbound notice": Expected("inbound", "allow", True, "granted", True),
    "inbound hang-up in notice": Expected("inbound", "allow", False, "incomplete", False),
    "outbound callguard stopped": Expected("outbound", "block", False, None, False),
    "inbound callguard stopped": Expected("inbound", "allow", True, None, False),
    "outbound callguard frozen": Expected("outbound", "block", False, None, False),
    "inbound callguard frozen": Expected("inbound", "allow", True, None, False),
}


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call. `who` is masked; `blocked_by` are the rules that held it back, with what they cite
    and say; `seconds_to_outcome` is how long the placing side was at it."""

    name: str
    direction: str
    who: str
    verdict: str
    reasons: list[str]
    blocked_by: list[dict[str, str]]
    connected: bool
    notice: dict[str, Any] | None
    consent: str | None
    recorded: bool
    sealed_bytes: int
    cdr: dict[str, Any] | None
    seconds_to_outcome: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def as_expected(self) -> bool:
        want = EXPECTED[self.name]
        got = Expected(self.direction, self.verdict, self.connected, self.consent, self.recorded)
        return got == want and self.recorded == (self.sealed_bytes > 0) and self.cdr is not None

    @property
    def line(self) -> str:
        """One line for a person."""
        heard = "-"
        if self.notice is not None:
            heard = f"notice {self.notice['heard_ms']}/{self.notice['length_ms']} ms"
        kept = f"sealed {self.sealed_bytes} B" if self.recorded else "not recorded"
        mark = "ok " if self.as_expected else "BAD"
        held = [f"{b['reason']} ({b['rule']}: {b['citation']})" for b in self.blocked_by]
        why = "; ".join(held or self.reasons) or "no rule forbids it"
        return (
            f"{mark} {self.name:27} {self.who:14} {self.verdict:5} "
            f"{'connected' if self.connected else 'not connected':13} "
            f"{heard:21} {kept:16} {why}"
        )


def report(
    connection: Connection,
    name: str,
    *,
    number: str,
    connected: bool,
    record: tuple[str, int],
    seconds: float,
) -> CallReport:
    """What the database says of the call whose call record has this unique id and sequence."""
    uniqueid, sequence = record
    row = connection.execute(
        select(call_records).where(
            call_records.c.uniqueid == uniqueid, call_records.c.sequence == sequence
        )
    ).one_or_none()
    userfield = row.userfield if row else ""
    call = connection.execute(select(calls).where(calls.c.id == userfield)).one_or_none()
    consent = connection.execute(
        select(consents).where(consents.c.call_id == userfield)
    ).one_or_none()
    recording = connection.execute(
        select(recordings).where(recordings.c.call_id == userfield, recordings.c.state == "sealed")
    ).one_or_none()
    direction = EXPECTED[name].direction
    return CallReport(
        name=name,
        direction=direction,
        who=mask(number),
        verdict=call.verdict if call else "allow" if connected else "block",
        reasons=list(call.reasons) if call else [NO_VERDICT.get(userfield, "no call record")],
        blocked_by=[
            {name: finding[name] for name in ("rule", "citation", "reason")}
            for finding in (call.findings if call else ())
            if finding["blocks"]
        ],
        connected=connected,
        notice=(
            {
                "prompt": consent.prompt,
                "heard_ms": consent.heard_ms,
                "length_ms": consent.length_ms,
            }
            if consent
            else None
        ),
        consent=consent.state if consent else None,
        recorded=recording is not None,
        sealed_bytes=recording.sealed_bytes if recording else 0,
        cdr=(
            {
                "uniqueid": row.uniqueid,
                "sequence": row.sequence,
                "call": row.call_id,
                "disposition": row.disposition,
                "duration_s": row.duration_s,
                "billed_s": row.billed_s,
                "source": row.source,
            }
            if row
            else None
        ),
        seconds_to_outcome=round(seconds, 2),
    )
