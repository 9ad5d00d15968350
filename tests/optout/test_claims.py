"""Claims of numbers that were only typed: one at a time, settled once, left alone when refused."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from callguard.audit.log import first_broken
from callguard.optout.claims import (
    LEFT_ALONE,
    Claim,
    State,
    calls_placed,
    file_claim,
    find_claim,
    pending_claims,
    settle,
)
from callguard.storage.database import Database
from callguard.storage.schema import audit, calls, opt_out_claims
from tests.clock import HandClock
from tests.databases import add_tenant

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CLAIM = Claim(
    id="017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    tenant="acme",
    subject="+442079460777",
    pbx="asterisk",
    call_id="017f22e2-79b0-7cc3-98c4-dc0c0c073990",
    prompt="line-confirm v1 he sha256:0",
    language="he",
    at=NOON,
)


def another(claim: Claim, **changes: object) -> Claim:
    return replace(claim, id=claim.id[:-2] + "aa", **changes)  # type: ignore[arg-type]


def files(database: Database, claim: Claim) -> bool:
    with database.writing() as connection:
        return file_claim(connection, claim)


def pending(database: Database) -> list[Claim]:
    with database.reading() as connection:
        return pending_claims(connection)


def ends(database: Database, claim: Claim, state: State, at: datetime = NOON) -> bool:
    with database.writing() as connection:
        until = at + timedelta(days=365)
        return settle(connection, claim, state, reason="a test", at=at, expires_at=until)


def test_a_claim_comes_back_whole(database: Database, tenant: str) -> None:
    assert files(database, CLAIM)
    assert pending(database) == [CLAIM]
    with database.reading() as connection:
        assert find_claim(connection, CLAIM.id) == CLAIM
        assert find_claim(connection, another(CLAIM).id) is None


def test_a_number_that_is_claimed_already_is_promised_and_entered_once(
    database: Database, tenant: str
) -> None:
    assert files(database, CLAIM)
    assert files(database, another(CLAIM, at=NOON + timedelta(days=1)))
    assert pending(database) == [CLAIM]


def test_another_tenant_may_be_told_of_the_same_number(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    assert files(database, CLAIM)
    assert files(database, another(CLAIM, tenant="other"))
    assert len(pending(database)) == 2


def test_who_refused_is_left_alone_for_a_while(database: Database, tenant: str) -> None:
    files(database, CLAIM)
    ends(database, CLAIM, "refused")
    too_soon, late = NOON + LEFT_ALONE - timedelta(seconds=1), NOON + LEFT_ALONE
    assert not files(database, another(CLAIM, at=too_soon))
    assert pending(database) == []
    assert files(database, another(CLAIM, at=late))


@pytest.mark.parametrize("state", ["confirmed", "expired"])
def test_what_was_not_refused_may_be_claimed_again(
    database: Database, tenant: str, state: State
) -> None:
    files(database, CLAIM)
    ends(database, CLAIM, state)
    assert files(database, another(CLAIM, at=NOON + timedelta(hours=1)))


@pytest.mark.parametrize("state", ["confirmed", "refused", "expired"])
def test_a_claim_is_settled_once_with_its_reason_and_its_end(
    database: Database, tenant: str, state: State
) -> None:
    files(database, CLAIM)
    assert ends(database, CLAIM, state)
    assert not ends(database, CLAIM, "expired", NOON + timedelta(days=1))
    with database.reading() as connection:
        row = connection.execute(select(opt_out_claims)).one()
        told = connection.execute(select(audit.c.action)).scalars().all()
        broken = first_broken(connection)
    assert (row.state, row.reason, row.settled_at) == (state, "a test", NOON)
    assert row.expires_at == NOON + timedelta(days=365)
    assert told[-2:] == ["optout.claim", "optout.claim-settled"]
    assert broken is None


def test_no_number_stands_in_the_audit_log(database: Database, tenant: str) -> None:
    files(database, CLAIM)
    ends(database, CLAIM, "confirmed")
    with database.reading() as connection:
        rows = connection.execute(select(audit)).all()
    assert not any(CLAIM.subject[3:] in str(row) for row in rows)


def test_the_calls_of_a_claim_are_those_that_were_placed(database: Database, tenant: str) -> None:
    def row(number: int, **changes: object) -> dict[str, object]:
        return {
            "id": f"017f22e2-79b0-7cc3-98c4-dc0c0c0739{number:02}",
            "tenant_id": "acme", "pbx": "asterisk", "uniqueid": f"{number}",
            "direction": "outbound", "channel": "voice", "purpose": "service",
            "campaign": CLAIM.campaign, "subject": CLAIM.subject, "caller": "", "called": "",
            "verdict": "allow", "reasons": [], "obligations": [], "findings": [],
            "decided_at": NOON + timedelta(hours=number), **changes,
        }  # fmt: skip

    with database.writing() as connection:
        for values in (
            row(2),
            row(1),
            row(3, verdict="block"),
            row(4, campaign="spring"),
            row(5, subject="+442079460778"),
        ):
            connection.execute(insert(calls).values(**values))
    with database.reading() as connection:
        assert calls_placed(connection, CLAIM) == [NOON + timedelta(hours=h) for h in (1, 2)]
