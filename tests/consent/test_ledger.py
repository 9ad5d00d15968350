"""The ledger keeps why somebody was asked, what was said, how much was heard, what came back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select

from callguard.consent.given import About, ConsentError, record, withdraw
from callguard.consent.ledger import Consent, Evidence, as_row, enter_remembered, evidence_of
from callguard.consent.modes import Mode
from callguard.consent.notice import NOT_PLAYED, Played
from callguard.consent.prompts import Prompt
from callguard.consent.states import ConsentState
from callguard.contacts.store import read
from callguard.retention.schedule import for_days
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import consents

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SUBJECT = "+442079460000"
ENTRY = Consent(
    id="1",
    tenant="acme",
    call_id="017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    subject=SUBJECT,
    state=ConsentState.REFUSED,
    mode=Mode.NOTICE,
    rules=("base.recording-notice: art. 13", "gb.recording: reg. 3"),
    pbx="asterisk",
    channel_uniqueid="asterisk-1.2",
    prompt=Prompt("notice", "he", 2, "מוקלט", "ab" * 32, 16_000),
    language="he-IL",
    asked=2,
    played=Played(8_001, "9", False),
    answer="9",
    proof=None,
    at=NOON,
    expires_at=NOON + timedelta(days=30),
)
YES = replace(ENTRY, state=ConsentState.GRANTED, mode=Mode.ASK, answer="1")


async def test_an_entry_is_kept_whole(database: Database, journal: Journal, tenant: str) -> None:
    await journal.insert(as_row(ENTRY))
    with database.reading() as connection:
        row = connection.execute(select(consents)).one()
    assert row._asdict() == {
        "id": "1",
        "tenant_id": "acme",
        "call_id": ENTRY.call_id,
        "subject": SUBJECT,
        "purpose": "recording",
        "state": "refused",
        "mode": "notice",
        "rules": ["base.recording-notice: art. 13", "gb.recording: reg. 3"],
        "pbx": "asterisk",
        "channel_uniqueid": "asterisk-1.2",
        "prompt": f"notice v2 he sha256:{'ab' * 32}",
        "words": "מוקלט",
        "language": "he-IL",
        "asked": 2,
        "heard_ms": 1000,
        "length_ms": 2000,
        "answer": "9",
        "proof": None,
        "actor": None,
        "at": NOON,
        "until": None,
        "expires_at": NOON + timedelta(days=30),
    }


@pytest.mark.parametrize(
    ("mode", "said"), [(Mode.NOTICE, "none"), (Mode.SILENT, None), (Mode.PRIOR, None)]
)
async def test_a_missing_prompt_is_told_from_one_that_is_not_due(
    database: Database, journal: Journal, tenant: str, mode: Mode, said: str | None
) -> None:
    silent = replace(ENTRY, mode=mode, prompt=None, played=NOT_PLAYED, asked=0, answer=None)
    await journal.insert(as_row(replace(silent, proof="consent:7")))
    with database.reading() as connection:
        row = connection.execute(select(consents)).one()
    assert (row.prompt, row.asked, row.heard_ms, row.length_ms) == (said, 0, 0, 0)
    assert (row.answer, row.proof) == (None, "consent:7")


def test_a_yes_that_is_remembered_is_a_consent_of_its_own_with_the_call_as_proof(
    database: Database, tenant: str
) -> None:
    with database.writing() as connection:
        enter_remembered(connection, YES, days=90, keep=for_days(10))
        rows = {row.call_id: row for row in connection.execute(select(consents))}
        contact = read(connection, "acme", SUBJECT, NOON)
    here, further = rows[YES.call_id], rows[None]
    (given,) = contact.consents
    assert (here.state, here.until) == ("granted", None)
    assert (further.purpose, further.state, further.actor) == ("recording", "granted", "subject")
    assert further.proof == f"call {YES.call_id}, key 1 after {here.prompt} (consent:1)"
    assert (further.at, further.until) == (NOON, NOON + 90 * DAY)
    assert further.expires_at == NOON + 100 * DAY
    assert (given.purpose, given.until, given.proof) == (
        "recording",
        further.until,
        further.proof,
    )


def test_a_yes_that_cannot_be_remembered_enters_nothing(database: Database, tenant: str) -> None:
    about = About("acme", SUBJECT, "recording")
    with database.writing() as connection:
        record(
            connection, about, proof="a form", granted_at=NOON, at=NOON, actor="x", keep=for_days(9)
        )
        withdraw(connection, about, reason="told us", at=NOON + HOUR, actor="x", keep=for_days(9))
    with pytest.raises(ConsentError, match="withdrawn"), database.writing() as connection:
        enter_remembered(connection, YES, days=90, keep=for_days(10))
    with database.reading() as connection:
        assert connection.execute(select(consents).where(consents.c.id == "1")).all() == []


def test_the_evidence_of_a_consent_is_its_row_as_long_as_it_stands(
    database: Database, tenant: str
) -> None:
    about = About("acme", SUBJECT, "recording")
    find = partial(evidence_of, tenant="acme", subject=SUBJECT)
    enter = partial(record, about=about, proof="a form", actor="x", keep=for_days(9))
    with database.writing() as connection:
        none_yet = find(connection, at=NOON)
        first = enter(connection, granted_at=NOON, until=NOON + DAY, at=NOON)
        at_once, later = find(connection, at=NOON), find(connection, at=NOON + DAY)
        elsewhere = evidence_of(connection, "acme", "+442079460001", NOON)
        withdraw(connection, about, reason="told us", at=NOON + HOUR, actor="x", keep=for_days(9))
        withdrawn = find(connection, at=NOON + 2 * HOUR)
        again = enter(connection, granted_at=NOON + 2 * HOUR, at=NOON + 2 * HOUR)
        renewed = find(connection, at=NOON + 3 * DAY)
        for_calls = record(
            connection,
            About("acme", SUBJECT, "marketing"),
            proof="a form",
            granted_at=NOON + 3 * HOUR,
            at=NOON + 3 * HOUR,
            actor="x",
            keep=for_days(9),
        )
        unmoved = find(connection, at=NOON + 3 * DAY)
    assert none_yet is later is elsewhere is withdrawn is None
    assert at_once == Evidence(f"consent:{first}", NOON + DAY)
    assert renewed == unmoved == Evidence(f"consent:{again}", None)
    assert for_calls != again


def test_of_several_consents_the_one_that_stands_longest_is_the_evidence(
    database: Database, tenant: str
) -> None:
    about = About("acme", SUBJECT, "recording")
    found = []
    with database.writing() as connection:
        for days in (2, 9, 1, None):
            until = None if days is None else NOON + days * DAY
            enter = partial(
                record, proof="a form", actor="x", keep=for_days(9), granted_at=NOON, at=NOON
            )
            enter(connection, about, until=until)
            evidence = evidence_of(connection, "acme", SUBJECT, NOON)
            assert evidence is not None
            found.append(evidence.until)
    assert found == [NOON + 2 * DAY, NOON + 9 * DAY, NOON + 9 * DAY, None]


def test_the_row_of_a_call_is_no_consent_to_further_ones(database: Database, tenant: str) -> None:
    with database.writing() as connection:
        connection.execute(consents.insert().values(as_row(YES).values))
        assert evidence_of(connection, "acme", SUBJECT, NOON + HOUR) is None
