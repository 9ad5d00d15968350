"""The ledger: what each subject was told and answered, append-only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, insert, or_, select

from callguard.consent.given import About, record
from callguard.consent.modes import Mode
from callguard.consent.notice import Played
from callguard.consent.prompts import RATE, Prompt
from callguard.consent.states import ConsentState
from callguard.retention.schedule import Keep, later
from callguard.storage.alive import alive
from callguard.storage.journal import Row
from callguard.storage.schema import consents


@dataclass(frozen=True, slots=True)
class Consent:
    """One entry: who, for which call and on which channel, why it was asked, what was said, how
    often and how much of it was heard the last time, what came back.

    ``rules`` are those that asked for it, each with its citation; ``proof`` is the row of an
    earlier consent that stands, ``until`` when it does; ``answer`` the last digit that was pressed.
    """

    id: str
    tenant: str
    call_id: str
    subject: str
    state: ConsentState
    mode: Mode
    rules: tuple[str, ...]
    pbx: str
    channel_uniqueid: str
    prompt: Prompt | None
    language: str
    asked: int
    played: Played
    answer: str | None
    proof: str | None
    at: datetime
    expires_at: datetime | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The row of a consent that stands, as a proof names it, and when that ends."""

    proof: str
    until: datetime | None


def as_row(entry: Consent) -> Row:
    """The row to insert; its purpose is recording. The words are kept with it: evidence outlives
    the folder of prompts."""
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
            "mode": entry.mode.value,
            "rules": list(entry.rules),
            "pbx": entry.pbx,
            "channel_uniqueid": entry.channel_uniqueid,
            "prompt": entry.prompt.evidence if entry.prompt else _without(entry.mode),
            "words": entry.prompt.text if entry.prompt else None,
            "language": entry.language,
            "asked": entry.asked,
            "heard_ms": heard_ms,
            "length_ms": entry.prompt.length_ms if entry.prompt else 0,
            "answer": entry.answer,
            "proof": entry.proof,
            "at": entry.at,
            "until": entry.until,
            "expires_at": entry.expires_at,
        },
    )


def _without(mode: Mode) -> str | None:
    """What stands in place of a prompt: nothing where none is due, else that it was missing."""
    return None if mode in (Mode.SILENT, Mode.PRIOR) else "none"


def enter_remembered(connection: Connection, entry: Consent, days: int, keep: Keep) -> None:
    """Enters a yes that is good for further calls too, for so many days, in one writing
    transaction with the entry itself. ``keep`` is until when the evidence outlives it.

    Raises ConsentError or ContactError; then nothing was entered.
    """
    until = entry.at + timedelta(days=days)
    # What was said and heard is the proof: it stays for as long as what is entered by it.
    stays = {"expires_at": later(entry.expires_at, keep(until))}
    connection.execute(insert(consents).values({**as_row(entry).values, **stays}))
    said = entry.prompt.evidence if entry.prompt else "no prompt"
    record(
        connection,
        About(entry.tenant, entry.subject, "recording"),
        proof=f"call {entry.call_id}, key {entry.answer} after {said} (consent:{entry.id})",
        granted_at=entry.at,
        until=until,
        at=entry.at,
        actor="subject",
        keep=keep,
    )


def evidence_of(connection: Connection, tenant: str, subject: str, at: datetime) -> Evidence | None:
    """The consent to recordings that stands at this moment, of several the one that does so
    longest; None where there is none, whatever else is known of the subject."""
    given = (
        (consents.c.tenant_id == tenant)
        & (consents.c.subject == subject)
        & (consents.c.purpose == "recording")
        & consents.c.call_id.is_(None)
    )
    withdrawn = connection.execute(
        select(func.max(consents.c.at)).where(given, consents.c.state == ConsentState.WITHDRAWN)
    ).scalar()
    stands = select(consents.c.id, consents.c.until).where(
        given,
        consents.c.state == ConsentState.GRANTED,
        consents.c.at <= at,
        or_(consents.c.until.is_(None), consents.c.until > at),
        alive(consents, at),
    )
    if withdrawn is not None:
        stands = stands.where(consents.c.at > withdrawn)
    longest = (consents.c.until.is_not(None), consents.c.until.desc(), consents.c.id.desc())
    row = connection.execute(stands.order_by(*longest).limit(1)).one_or_none()
    return None if row is None else Evidence(f"consent:{row.id}", row.until)
