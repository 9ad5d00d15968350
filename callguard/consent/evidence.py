"""How long the evidence of a consent is kept: from the end of the consent, and from each use.

A consent that a call rests on is used by it (UWG, § 7a: the time begins anew with each use). Its
row, and the row of the call in which it was given, are never gone before those of its last use.
"""

from datetime import datetime

from sqlalchemy import Connection, select, update

from callguard.consent.given import About, row_of
from callguard.policy.facts import PURPOSES
from callguard.retention.schedule import Keep, later
from callguard.storage.alive import alive
from callguard.storage.schema import consents
from callguard.tenants.keeping import Concern, keeping, keeping_evidence
from callguard.tenants.tenant import Tenant


def keep_of(tenant: Tenant | None, about: About) -> Keep:
    """Until when the evidence is kept once such a consent is over or was used. Of a consent to
    something else than calls of one purpose, recordings among them, the calls may have any."""
    concern = Concern(about.subject, about.purpose if about.purpose in PURPOSES else "")
    if about.purpose == "recording":
        return keeping_evidence(tenant, concern)
    return keeping(tenant, "consent", concern)


def used(connection: Connection, tenant: str, proof: str, at: datetime, keep: Keep) -> int:
    """A call of ``at`` rests on what ``proof`` names, in a writing transaction; how many rows are
    kept longer for it. One that is kept without an end stays so; one that had expired too."""
    moved, seen, named = 0, set[str](), row_of(proof)
    while named is not None and named not in seen:
        seen.add(named)
        mine = (consents.c.id == named) & (consents.c.tenant_id == tenant)
        row = connection.execute(
            select(consents.c.expires_at, consents.c.proof).where(mine, alive(consents, at))
        ).one_or_none()
        if row is None:
            break
        until = later(row.expires_at, keep(at))
        if until != row.expires_at:
            moved += 1
            connection.execute(update(consents).where(mine).values(expires_at=until))
        named = row_of(row.proof)
    return moved
