"""A consent given outside a call: the ledger, what is known of the contact and the audit log say
the same, or nothing was entered at all."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, insert, select

from callguard.audit.log import first_broken
from callguard.consent import given
from callguard.consent.given import About, ConsentError
from callguard.contacts.contact import ContactError
from callguard.contacts.store import EVER, read
from callguard.policy.facts import GivenConsent
from callguard.retention.schedule import for_days
from callguard.storage.database import Database
from callguard.storage.schema import audit, consents, contacts
from tests.clock import HandClock
from tests.databases import add_tenant

ANN = "+442079460000"
ABOUT = About("acme", ANN, "marketing")
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
PROOF = "טופס.pdf sha256:" + "ab" * 32


@pytest.fixture
def ledger(database: Database, clock: HandClock, tenant: str) -> "Ledger":
    return Ledger(database, clock)


class Ledger:
    """Enters consents by the clock of the test."""

    def __init__(self, database: Database, clock: HandClock) -> None:
        self.database = database
        self.clock = clock

    def record(
        self,
        about: About = ABOUT,
        *,
        proof: str = PROOF,
        granted_at: datetime = JUNE,
        until: datetime | None = None,
    ) -> str:
        with self.database.writing() as connection:
            return given.record(
                connection,
                about,
                proof=proof,
                granted_at=granted_at,
                until=until,
                at=self.clock.now(),
                actor="cli:ann",
                keep=for_days(30),
            )

    def withdraw(self, about: About = ABOUT, *, reason: str = "by letter") -> str:
        with self.database.writing() as connection:
            return given.withdraw(
                connection,
                about,
                reason=reason,
                at=self.clock.now(),
                actor="cli:ann",
                keep=for_days(30),
            )

    def rows(self) -> list[dict[str, object]]:
        with self.database.reading() as connection:
            found = connection.execute(select(consents).order_by(consents.c.id))
            return [dict(row._mapping) for row in found]

    def known(self, about: About = ABOUT) -> tuple[GivenConsent, ...]:
        with self.database.reading() as connection:
            return read(connection, about.tenant, about.subject, EVER).consents

    def acts(self) -> list[tuple[str, str, str]]:
        with self.database.reading() as connection:
            assert first_broken(connection) is None
            found = connection.execute(select(audit).where(audit.c.action.like("consent.%")))
            return [(row.action, row.target, row.details) for row in found]

    def is_empty(self) -> bool:
        with self.database.reading() as connection:
            return not (self.rows() or self.acts() or connection.execute(select(contacts)).all())


def test_a_consent_is_in_the_ledger_with_its_proof_and_known_of_the_contact(
    ledger: Ledger,
) -> None:
    until = JUNE + timedelta(days=365)
    entry = ledger.record(until=until)
    said = {
        "id": entry,
        "tenant_id": "acme",
        "subject": ANN,
        "purpose": "marketing",
        "state": "granted",
        "proof": PROOF,
        "actor": "cli:ann",
        "at": JUNE,
        "until": until,
        "expires_at": until + timedelta(days=30),
    }
    of_calls = {column.name: None for column in consents.c if column.name not in said}
    assert ledger.rows() == [{**said, **of_calls}]
    assert ledger.known() == (GivenConsent("marketing", JUNE, until, PROOF),)


def test_the_audit_log_says_what_was_done_and_names_nobody(ledger: Ledger) -> None:
    first, last = ledger.record(), ledger.withdraw(reason="Ann called")
    details = json.dumps({"purpose": "marketing"}, separators=(",", ":"))
    assert ledger.acts() == [
        ("consent.record", f"consent:{first}", details),
        ("consent.withdraw", f"consent:{last}", details),
    ]


def test_the_evidence_of_a_consent_without_an_end_is_kept_until_it_is_withdrawn(
    ledger: Ledger,
) -> None:
    ledger.record()
    assert ledger.rows()[0]["expires_at"] is None
    ledger.clock.advance(days=100)
    ledger.withdraw()
    over = ledger.clock.now() + timedelta(days=30)
    assert [(row["state"], row["expires_at"]) for row in ledger.rows()] == [
        ("granted", over),
        ("withdrawn", over),
    ]


def test_a_withdrawal_brings_the_date_of_evidence_forward_and_never_back(ledger: Ledger) -> None:
    now = ledger.clock.now()
    ledger.record(until=now + timedelta(days=1000))
    ledger.record(granted_at=JUNE, until=JUNE + timedelta(days=1))
    ledger.clock.advance(days=10)
    ledger.withdraw()
    dates = sorted(row["expires_at"] for row in ledger.rows() if row["state"] == "granted")  # type: ignore[type-var] # moments
    assert dates == [now + timedelta(days=30), now + timedelta(days=40)]


def test_evidence_of_what_was_over_when_it_was_entered_is_kept_from_then_on(
    ledger: Ledger,
) -> None:
    ledger.record(granted_at=JUNE, until=JUNE + timedelta(days=1))
    assert ledger.rows()[0]["expires_at"] == ledger.clock.now() + timedelta(days=30)


def test_a_withdrawal_ends_every_consent_to_that_purpose_and_no_other(ledger: Ledger) -> None:
    ledger.record()
    ledger.record(granted_at=JUNE + timedelta(days=1))
    ledger.record(replace(ABOUT, purpose="survey"))
    now = ledger.clock.now()
    ledger.withdraw()
    assert [(one.purpose, one.until) for one in ledger.known()] == [
        ("marketing", now),
        ("marketing", now),
        ("survey", None),
    ]


def test_a_withdrawal_is_the_business_of_one_tenant_and_one_subject(
    ledger: Ledger, database: Database, clock: HandClock
) -> None:
    add_tenant(database, clock, "two")
    others = [replace(ABOUT, tenant="two"), replace(ABOUT, subject="+442079460001")]
    for about in (ABOUT, *others):
        ledger.record(about)
    ledger.withdraw()
    for about in others:
        assert ledger.known(about)[0].until is None
    expiring = [row["tenant_id"] for row in ledger.rows() if row["expires_at"] is not None]
    assert expiring == ["acme", "acme"]


def test_what_was_said_in_calls_keeps_its_own_date(ledger: Ledger) -> None:
    about = replace(ABOUT, purpose="recording")
    date = ledger.clock.now() + timedelta(days=400)
    with ledger.database.writing() as connection:
        connection.execute(
            insert(consents).values(
                id="a",
                tenant_id="acme",
                call_id="c",
                subject=ANN,
                purpose="recording",
                state="granted",
                at=JUNE,
                expires_at=date,
            )
        )
    ledger.record(about)
    ledger.withdraw(about)
    kept = {row["call_id"]: row["expires_at"] for row in ledger.rows()}
    assert kept["c"] == date


@pytest.mark.parametrize("purpose", ["marketing", "survey"])
def test_what_was_never_given_cannot_be_withdrawn(ledger: Ledger, purpose: str) -> None:
    if purpose == "survey":
        ledger.record()
    before = ledger.rows(), ledger.acts(), ledger.known()
    with pytest.raises(ConsentError, match=f"no consent to {purpose} was given"):
        ledger.withdraw(replace(ABOUT, purpose=purpose))
    assert (ledger.rows(), ledger.acts(), ledger.known()) == before


def test_what_has_ended_cannot_be_withdrawn(ledger: Ledger) -> None:
    ledger.record(until=ledger.clock.now())
    with pytest.raises(ConsentError, match="ended on 2026-11-20 12:00 UTC"):
        ledger.withdraw()


def test_a_consent_older_than_its_withdrawal_does_not_count_again(ledger: Ledger) -> None:
    ledger.record()
    ledger.withdraw()
    for granted_at in (JUNE, ledger.clock.now()):
        with pytest.raises(ConsentError, match="is older and does not count"):
            ledger.record(granted_at=granted_at)
    ledger.clock.advance(1)
    ledger.record(granted_at=ledger.clock.now())
    assert [one.until is None for one in ledger.known()] == [False, True]


def test_a_consent_that_ended_by_itself_may_be_joined_by_an_older_one(ledger: Ledger) -> None:
    ledger.record(until=JUNE + timedelta(days=9))
    ledger.record(granted_at=JUNE + timedelta(days=1))
    assert [one.until is None for one in ledger.known()] == [False, True]


def test_a_consent_of_this_very_moment_counts_and_one_of_the_next_is_refused(
    ledger: Ledger,
) -> None:
    ledger.record(granted_at=ledger.clock.now())
    with pytest.raises(ConsentError, match="lies in the future"):
        ledger.record(granted_at=ledger.clock.now() + timedelta(microseconds=1))
    assert len(ledger.rows()) == 1


@pytest.mark.parametrize("proof", ["", " ", "\n"])
def test_a_consent_without_proof_is_not_entered(ledger: Ledger, proof: str) -> None:
    with pytest.raises(ConsentError, match="only with its proof"):
        ledger.record(proof=proof)
    assert ledger.is_empty()


@pytest.mark.parametrize("reason", ["", " "])
def test_a_withdrawal_needs_a_reason(ledger: Ledger, reason: str) -> None:
    ledger.record()
    with pytest.raises(ConsentError, match="only with a reason"):
        ledger.withdraw(reason=reason)
    assert ledger.known()[0].until is None


def test_a_consent_that_ends_before_it_begins_leaves_nothing_behind(ledger: Ledger) -> None:
    with pytest.raises(ContactError, match="ends before it begins"):
        ledger.record(until=JUNE)
    assert ledger.is_empty()


@pytest.mark.parametrize("act", ["record", "withdraw"])
def test_where_the_act_cannot_be_logged_nothing_is_entered(
    ledger: Ledger, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if act == "withdraw":
        ledger.record()
    before = ledger.rows(), ledger.known()

    def full(connection: Connection, entry: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(given, "append", full)
        with pytest.raises(OSError, match="full"):
            ledger.record() if act == "record" else ledger.withdraw()
    assert (ledger.rows(), ledger.known()) == before
