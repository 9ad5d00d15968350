"""Opt-outs that somebody claims for a number they only typed: nothing until they are confirmed.

A claim is ``pending`` until it is ``confirmed`` or ``refused`` by whoever answers that number, or
``expired``: nobody there could be asked. What is not confirmed binds nobody, since whoever types
a number need not be the one it belongs to.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, or_, select, update

from callguard.audit.log import Entry, append
from callguard.storage.schema import calls, opt_out_claims

State = Literal["confirmed", "refused", "expired"]
PENDING = "pending"

LEFT_ALONE = timedelta(days=30)
"""Whoever refused a claim is not asked again for so long, whoever types their number."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A pending claim. ``call_id`` is the call in which the number was typed, ``prompt`` the
    evidence of the question that was answered there."""

    id: str
    tenant: str
    subject: str
    pbx: str
    call_id: str
    prompt: str | None
    language: str
    at: datetime

    @property
    def campaign(self) -> str:
        """By which the calls that were placed for it are found."""
        return f"opt-out claim {self.id}"


def file_claim(connection: Connection, claim: Claim) -> bool:
    """Enters a claim in a writing transaction; whether its number will be called. One that is
    pending already is not entered twice; a number that refused lately is not asked again."""
    last = connection.execute(
        select(opt_out_claims.c.state, opt_out_claims.c.settled_at)
        .where(
            opt_out_claims.c.tenant_id == claim.tenant,
            opt_out_claims.c.subject == claim.subject,
            or_(
                opt_out_claims.c.state == PENDING,
                (opt_out_claims.c.state == "refused")
                & (opt_out_claims.c.settled_at > claim.at - LEFT_ALONE),
            ),
        )
        .order_by(opt_out_claims.c.at.desc())
        .limit(1)
    ).one_or_none()
    if last is not None:
        return bool(last.state == PENDING)
    connection.execute(
        insert(opt_out_claims).values(
            id=claim.id,
            tenant_id=claim.tenant,
            subject=claim.subject,
            state=PENDING,
            pbx=claim.pbx,
            call_id=claim.call_id,
            prompt=claim.prompt,
            language=claim.language,
            at=claim.at,
        )
    )
    details = {"call": claim.call_id}
    entry = Entry(claim.at, "caller", "optout.claim", f"claim:{claim.id}", claim.tenant, details)
    append(connection, entry)
    return True


def pending_claims(connection: Connection) -> list[Claim]:
    """Those that nobody has answered yet, oldest first."""
    rows = connection.execute(
        select(opt_out_claims)
        .where(opt_out_claims.c.state == PENDING)
        .order_by(opt_out_claims.c.at)
    )
    return [_claim(row) for row in rows]


def find_claim(connection: Connection, claim_id: str) -> Claim | None:
    """The claim of that id, while it is pending."""
    row = connection.execute(
        select(opt_out_claims).where(
            opt_out_claims.c.id == claim_id, opt_out_claims.c.state == PENDING
        )
    ).one_or_none()
    return None if row is None else _claim(row)


def calls_placed(connection: Connection, claim: Claim) -> list[datetime]:
    """When its number was called, oldest first."""
    return list(
        connection.execute(
            select(calls.c.decided_at)
            .where(
                calls.c.subject == claim.subject,
                calls.c.campaign == claim.campaign,
                calls.c.verdict == "allow",
            )
            .order_by(calls.c.decided_at)
        ).scalars()
    )


def settle(
    connection: Connection,
    claim: Claim,
    state: State,
    *,
    reason: str,
    at: datetime,
    expires_at: datetime | None,
) -> bool:
    """Ends a claim in a writing transaction; whether it was still pending."""
    done = connection.execute(
        update(opt_out_claims)
        .where(opt_out_claims.c.id == claim.id, opt_out_claims.c.state == PENDING)
        .values(state=state, settled_at=at, reason=reason, expires_at=expires_at)
    )
    if done.rowcount != 1:
        return False
    details = {"state": state, "reason": reason}
    actor = "callguard" if state == "expired" else "subject"
    entry = Entry(at, actor, "optout.claim-settled", f"claim:{claim.id}", claim.tenant, details)
    append(connection, entry)
    return True


def _claim(row: Row[Any]) -> Claim:
    return Claim(
        id=row.id,
        tenant=row.tenant_id,
        subject=row.subject,
        pbx=row.pbx,
        call_id=row.call_id,
        prompt=row.prompt,
        language=row.language,
        at=row.at,
    )
