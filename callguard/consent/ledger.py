"""The ledger: what each subject was told and answered, append-only."""

from dataclasses import dataclass
from datetime import datetime

from callguard.consent.notice import Played
from callguard.consent.prompts import RATE, Prompt
from callguard.consent.states import ConsentState
from callguard.storage.journal import Row
from callguard.storage.schema import consents


@dataclass(frozen=True, slots=True)
class Consent:
    """One entry: who, for which call, what was said, how much of it was heard, what came back."""

    id: str
    tenant: str
    call_id: str
    subject: str
    state: ConsentState
    prompt: Prompt | None
    language: str
    played: Played
    at: datetime
    expires_at: datetime | None


def as_row(entry: Consent) -> Row:
    """The row to insert; its purpose is recording."""
    heard_ms = entry.played.endpos * 1000 // RATE
    return Row(
        consents,
        {
            "id": entry.id,
            "tenant_id": entry.tenant,
            "call_id": entry.call_id,
            "subject": entry.subject,
            "purpose": "recording",
            "state": entry.state.value,
            "prompt": entry.prompt.evidence if entry.prompt else "none",
            "language": entry.language,
            "heard_ms": heard_ms,
            "length_ms": entry.prompt.length_ms if entry.prompt else 0,
            "answer": entry.played.digit,
            "at": entry.at,
            "expires_at": entry.expires_at,
        },
    )
