"""What may be known of a contact, and how it is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.contacts.contact import KEPT, NOTHING_KNOWN, Contact, ContactError
from callguard.policy.facts import GivenConsent, Refusal, Relationship

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MOMENTS = st.datetimes(timezones=st.just(UTC))


def test_where_a_contact_lives_is_set_piece_by_piece() -> None:
    here = NOTHING_KNOWN.placed("US", None, None).placed(None, "US-FL", None)
    assert (here.region, here.subdivision, here.zone) == ("US", "US-FL", None)
    assert here.placed(None, None, "America/Chicago").zone == "America/Chicago"


def test_who_moves_to_another_country_leaves_its_state_and_zone_behind() -> None:
    florida = NOTHING_KNOWN.placed("US", "US-FL", "America/Chicago")
    assert florida.placed("FR", None, None) == Contact(region="FR")


@pytest.mark.parametrize(
    ("region", "subdivision", "zone", "told"),
    [
        ("XX", None, None, "'XX' is not a region"),
        ("us", None, None, "'us' is not a region"),
        (None, "FL", None, "no ISO 3166-2 code"),
        (None, "US-FL-X", None, "no ISO 3166-2 code"),
        ("FR", "US-FL", None, "US-FL is not in FR"),
        (None, None, "Mars/Olympus", "no time zone 'Mars/Olympus'"),
        (None, None, "../etc/passwd", "no time zone"),
        (None, None, "", "no time zone"),
    ],
)
def test_a_place_that_does_not_exist_is_refused(
    region: str | None, subdivision: str | None, zone: str | None, told: str
) -> None:
    with pytest.raises(ContactError, match=told):
        NOTHING_KNOWN.placed(region, subdivision, zone)


def test_a_relationship_ends_once_and_stays_ended() -> None:
    contact = NOTHING_KNOWN.related("contract", NOON, None).related("purchase", NOON, NOON)
    over = contact.ended("contract", NOON + timedelta(days=3))
    later = over.ended("contract", NOON + timedelta(days=9))
    assert over.relationships[0] == Relationship("contract", NOON, NOON + timedelta(days=3))
    assert over.relationships[1] == contact.relationships[1]
    assert later.relationships[0].until == NOON + timedelta(days=3)


def test_a_withdrawal_ends_every_consent_to_that_purpose_and_no_other() -> None:
    given_then = GivenConsent("marketing", NOON - timedelta(days=9))
    other = GivenConsent("recording", NOON - timedelta(days=9))
    contact = NOTHING_KNOWN.granted(given_then).granted(other).withdrawn("marketing", NOON)
    assert [c.until for c in contact.consents] == [NOON, None]


def test_what_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ContactError, match="before it begins"):
        NOTHING_KNOWN.granted(GivenConsent("marketing", NOON, NOON))
    with pytest.raises(ContactError, match="before it begins"):
        NOTHING_KNOWN.related("contract", NOON, NOON - timedelta(days=1))


def test_the_oldest_refusals_give_way_so_that_a_contact_has_a_bound() -> None:
    contact = NOTHING_KNOWN
    for day in range(KEPT + 3):
        contact = contact.refused(NOON + timedelta(days=day), None)
    assert len(contact.refusals) == KEPT
    assert contact.refusals[0] == Refusal(NOON + timedelta(days=3))


@given(
    MOMENTS,
    st.none() | st.text(max_size=20),
    st.sampled_from(["consumer", "business", "unknown"]),
)
def test_what_is_stored_is_what_is_read(moment: datetime, proof: str | None, kind: str) -> None:
    contact = Contact(
        "US",
        "US-FL",
        "America/Chicago",
        kind,  # type: ignore[arg-type] # drawn from its values
        (Relationship("inquiry", moment, moment),),
        (Refusal(moment, "spring"),),
        (GivenConsent("marketing", moment, None, proof),),
        moment,
    )
    assert Contact.read(contact.stored()) == contact


def test_a_stored_zone_that_does_not_exist_is_told() -> None:
    with pytest.raises(ContactError, match="no time zone"):
        Contact.read({"zone": "Mars/Olympus"})


@pytest.mark.parametrize("known", [{"zone": 5}, {"colour": "red"}, [], {"kind": "robot"}])
def test_what_cannot_be_read_is_told_in_one_line(known: object) -> None:
    with pytest.raises(ContactError, match="a contact cannot be read") as told:
        Contact.read(known)
    assert "\n" not in str(told.value)


def test_who_moves_to_another_state_leaves_the_zone_behind() -> None:
    there = NOTHING_KNOWN.placed(None, "US-CA", "America/Los_Angeles")
    assert there.placed(None, "US-NY", None).zone is None
    assert there.placed(None, "US-CA", None).zone == "America/Los_Angeles"


def test_a_country_that_is_first_named_takes_no_zone_away() -> None:
    assert NOTHING_KNOWN.placed(None, None, "Europe/Paris").placed("FR", None, None) == Contact(
        region="FR", zone="Europe/Paris"
    )


def test_what_was_entered_before_the_clock_was_set_back_counts() -> None:
    ahead, soon = NOON + timedelta(minutes=5), NOON + timedelta(days=30)
    contact = (
        NOTHING_KNOWN.granted(GivenConsent("marketing", NOON - timedelta(days=9)))
        .withdrawn("marketing", ahead)
        .granted(GivenConsent("recording", NOON - timedelta(days=9), soon))
        .refused(ahead, None)
    )
    now = replace(contact, restricted_since=ahead).by(NOON)
    assert [consent.until for consent in now.consents] == [NOON, soon]
    assert now.refusals == (Refusal(NOON),)
    assert now.restricted_since == NOON


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "Factory"])
def test_a_machine_s_own_name_for_a_zone_is_none(zone: str) -> None:
    with pytest.raises(ContactError, match="no time zone"):
        NOTHING_KNOWN.placed(None, None, zone)
