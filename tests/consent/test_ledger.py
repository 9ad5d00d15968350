"""The ledger keeps what was said, how much of it was heard, and what came back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from callguard.consent.ledger import Consent, as_row
from callguard.consent.notice import Played
from callguard.consent.prompts import Prompt
from callguard.consent.states import ConsentState
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import consents

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENTRY = Consent(
    id="1",
    tenant="acme",
    call_id="017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    subject="+442079460000",
    state=ConsentState.REFUSED,
    prompt=Prompt("notice", "he", 2, "מוקלט", "ab" * 32, 16_000),
    language="he-IL",
    played=Played(8_001, "9", False),
    at=NOON,
    expires_at=NOON + timedelta(days=30),
)


async def test_an_entry_is_kept_whole(database: Database, journal: Journal, tenant: str) -> None:
    await journal.insert(as_row(ENTRY))
    with database.reading() as connection:
        row = connection.execute(select(consents)).one()
    assert row._asdict() == {
        "id": "1",
        "tenant_id": "acme",
        "call_id": ENTRY.call_id,
        "subject": "+442079460000",
        "purpose": "recording",
        "state": "refused",
        "prompt": f"notice v2 he sha256:{'ab' * 32}",
        "language": "he-IL",
        "heard_ms": 1000,
        "length_ms": 2000,
        "answer": "9",
        "proof": None,
        "actor": None,
        "at": NOON,
        "until": None,
        "expires_at": NOON + timedelta(days=30),
    }


async def test_a_missing_prompt_is_kept_as_none(
    database: Database, journal: Journal, tenant: str
) -> None:
    silent = replace(
        ENTRY, state=ConsentState.INCOMPLETE, prompt=None, played=Played(0, None, True)
    )
    await journal.insert(as_row(silent))
    with database.reading() as connection:
        row = connection.execute(select(consents)).one()
    assert (row.prompt, row.heard_ms, row.length_ms, row.answer) == ("none", 0, 0, None)
    assert row.state == "incomplete"
