"""What four services promise of retention, each line of it: there one second before its instant,
gone one second after."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.contacts.contact import NOTHING_KNOWN
from callguard.contacts.exchange import Origin, exchanged
from callguard.contacts.store import Entered, enter, read
from callguard.policy.packs import limits_of, shipped_packs
from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd
from callguard.retention.classes import CLASSES
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import contacts
from callguard.tenants.keeping import Concern, concerning, kept_until
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.clock import HandClock
from tests.retention.folders.conftest import WRITTEN, Rooms, put
from tests.retention.lasting import SECOND, assert_lasts, by_calendar
from tests.retention.rows import EVERY

LAW = limits_of(shipped_packs())
LEAP = datetime(2028, 2, 29, 10, 30, tzinfo=UTC)
ENDED = datetime(2027, 8, 31, 22, 30, tzinfo=UTC)
YEAR = Span(months=12)
LONG = Span(months=1200)
NOBODY = Concern("+5511961234567", "service", "outbound")
"""Of whom no shipped limit speaks."""


def service(
    region: str = "BR",
    kept: Mapping[str, Span] | None = None,
    at_end: Mapping[str, AtEnd] | None = None,
    *,
    ended: datetime | None = None,
    operator: bool = False,
    zone: str = "UTC",
) -> Tenant:
    settings = TenantSettings(home_region=region, licensed_operator=operator, time_zone=zone)
    limits = concerning(LAW, region, operator=operator)
    return Tenant(
        "acme", "Acme", settings, (), kept or {}, limits=limits, ended_at=ended, at_end=at_end or {}
    )


@pytest.mark.parametrize("since", [LEAP.replace(year=2024), ENDED - SECOND, ENDED + 5 * SECOND])
@pytest.mark.parametrize("data_class", CLASSES)
def test_kavkom_everything_is_destroyed_thirty_days_after_the_contract(
    data_class: str, since: datetime
) -> None:
    tenant = service(kept={data_class: LONG}, ended=ENDED)
    month = timedelta(days=0 if data_class == "list" else 30)
    assert kept_until(tenant, data_class, since, concern=NOBODY) == ENDED + month
    unchosen = kept_until(service(ended=ENDED), data_class, ENDED, concern=NOBODY)
    assert unchosen is not None
    assert unchosen <= ENDED + timedelta(days=30)


async def test_kavkom_no_row_is_there_after_that(
    database: Database, journal: Journal, tenant: str, tmp_path: Path
) -> None:
    for data_class in EVERY:
        kept = service(kept={data_class: LONG}, ended=ENDED)
        until = kept_until(kept, data_class, LEAP, concern=NOBODY)
        assert until is not None
        assert until <= ENDED + timedelta(days=30)
        await assert_lasts(database, journal, tmp_path, data_class, until)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
async def test_quicktalk_call_logs_go_at_exactly_twelve_calendar_months(
    database: Database, journal: Journal, tenant: str, tmp_path: Path, zone: str
) -> None:
    tenant_ = service("FR", {"call_record": YEAR}, operator=True, zone=zone)
    until = kept_until(tenant_, "call_record", LEAP, concern=NOBODY)
    assert until == datetime(2029, 2, 28, 10, 30, tzinfo=UTC)
    await assert_lasts(database, journal, tmp_path, "call_record", until)


def test_the_sales_call_of_a_french_operator_to_the_us_stays_five_years() -> None:
    tenant = service("FR", {"call_record": YEAR}, operator=True)
    sold = Concern("+12125550123", "marketing", "outbound")
    assert kept_until(tenant, "call_record", LEAP, concern=sold) == by_calendar(
        LEAP, Span(months=60)
    )
    served = Concern("+12125550123", "service", "outbound")
    assert kept_until(tenant, "call_record", LEAP, concern=served) == by_calendar(LEAP, YEAR)


@pytest.mark.parametrize("days", [0, 1, 45, 180])
async def test_quicktalk_recordings_go_when_the_dashboard_says(
    database: Database, journal: Journal, tenant: str, tmp_path: Path, days: int
) -> None:
    tenant_ = service("FR", {"recording": Span(days=days)})
    until = kept_until(tenant_, "recording", ENDED, concern=NOBODY)
    assert until == ENDED + timedelta(days=days)
    await assert_lasts(database, journal, tmp_path, "recording", until)


@pytest.mark.parametrize("data_class", ["transcript", "voicemail"])
def test_quicktalk_transcripts_and_voice_messages_go_when_the_administrator_says(
    data_class: str,
) -> None:
    tenant = service("FR", {data_class: Span(months=2)})
    end = kept_until(tenant, data_class, datetime(2026, 12, 31, 8, tzinfo=UTC), concern=NOBODY)
    assert end == datetime(2027, 2, 28, 8, tzinfo=UTC)


async def test_quicktalk_files_go_as_the_administrator_says_and_faxes_a_year_after_the_end(
    database: Database, tmp_path: Path
) -> None:
    rooms, ended = Rooms(tmp_path, database), WRITTEN + timedelta(days=3)
    kept = {"transcript": Span(months=2), "voicemail": Span(months=2), "fax": LONG}
    ends = {"fax": AtEnd("delete", YEAR, basis="the contract")}
    rooms.tenant("acme", retention=kept)
    for data_class, span in kept.items():
        put(rooms.folder(data_class, data_class) / "one.wav")
        if data_class == "fax":
            rooms.tenants["acme"] = replace(rooms.tenants["acme"], ended_at=ended, at_end=ends)
        until = by_calendar(ended, YEAR) if data_class == "fax" else by_calendar(WRITTEN, span)
        assert (await rooms.take(until - SECOND))[data_class] == 0
        assert (await rooms.take(until + SECOND))[data_class] == 1


@pytest.mark.parametrize("data_class", ["fax", "account"])
def test_quicktalk_faxes_and_general_information_stay_a_year_after_the_contract(
    data_class: str,
) -> None:
    ends = {data_class: AtEnd("delete", YEAR, basis="the contract")}
    tenant = service("FR", {} if data_class == "account" else {data_class: LONG}, ends, ended=LEAP)
    since = None if data_class == "account" else ENDED
    assert kept_until(tenant, data_class, since) == datetime(2029, 2, 28, 10, 30, tzinfo=UTC)


def test_quicktalk_the_id_of_a_single_sign_on_stays_no_longer_than_the_contract() -> None:
    tenant = service("FR", {}, {"account": AtEnd("delete", Span())}, ended=ENDED)
    assert kept_until(tenant, "account", None) == ENDED
    assert kept_until(replace(tenant, ended_at=None), "account", None) is None


SUBJECT = "contact-1"


def enter_contact(
    database: Database, owner: Tenant, at: datetime, origin: Origin, last: datetime | None = None
) -> datetime | None:
    with database.writing() as connection:
        entered = Entered(origin, exchanged_at=last)
        step = partial(replace, kind="business")
        enter(connection, owner, SUBJECT, step, entered, at=at)
        found: datetime | None = connection.execute(select(contacts.c.expires_at)).scalar_one()
    return found


def is_known(database: Database, at: datetime) -> bool:
    with database.reading() as connection:
        return read(connection, "acme", SUBJECT, at) != NOTHING_KNOWN


async def test_quicktalk_a_crm_contact_stays_three_years_after_the_last_exchange(
    database: Database, journal: Journal, tenant: str, tmp_path: Path
) -> None:
    owner = service("FR", {"contact": Span(months=36)}, zone="Europe/Paris")
    assert enter_contact(database, owner, ENDED, "crm") == by_calendar(ENDED, Span(months=36))
    with database.writing() as connection:
        assert exchanged(connection, owner, SUBJECT, LEAP)
        assert not exchanged(connection, owner, SUBJECT, LEAP - SECOND)
    until = datetime(2031, 2, 28, 10, 30, tzinfo=UTC)
    assert is_known(database, until - SECOND)
    assert not is_known(database, until + SECOND)
    with database.writing() as connection:
        assert not exchanged(connection, owner, SUBJECT, until)
        connection.execute(contacts.delete())
    await assert_lasts(database, journal, tmp_path, "contact", until)


@pytest.mark.parametrize("origin", ["manual", "synced"])
def test_quicktalk_contacts_entered_by_hand_and_synced_ones_have_no_end_but_the_contracts(
    database: Database, tenant: str, origin: Origin
) -> None:
    owner = service("FR", {"contact": Span(months=36)}, {"contact": AtEnd("delete", Span())})
    assert enter_contact(database, owner, ENDED, origin) is None
    over = replace(owner, ended_at=LEAP)
    assert enter_contact(database, over, ENDED, origin) == LEAP
    assert is_known(database, LEAP - SECOND)
    assert not is_known(database, LEAP)


async def test_traffic_data_of_l_34_1_stays_a_year_and_no_day_longer() -> None:
    for chosen in (Span(), LONG):
        tenant = service("FR", {"call_record": chosen}, operator=True)
        end = kept_until(tenant, "call_record", LEAP, concern=NOBODY)
        assert end == datetime(2029, 2, 28, 10, 30, tzinfo=UTC)


def test_cellact_what_stays_after_the_contract_has_a_basis_and_an_end() -> None:
    with pytest.raises(ValueError, match="needs a basis and an end date"):
        AtEnd.parse({"action": "keep"})
    until = {"action": "keep", "until": "2029-12-31", "basis": "legal claims"}
    tenant = service("IL", {}, {"contact": AtEnd.parse(until)}, ended=ENDED, zone="Asia/Jerusalem")
    end = kept_until(tenant, "contact", None)
    assert end == datetime(2029, 12, 31, 22, tzinfo=UTC)


def test_callhelper_an_archive_needs_a_basis_and_an_end() -> None:
    for typed in (
        {"action": "archive"},
        {"action": "archive", "until": "2030-01-01"},
        {"action": "archive", "basis": "4.6"},
        {"action": "archive", "until": "2030-01-01", "basis": "  "},
    ):
        with pytest.raises(ValueError, match="needs"):
            AtEnd.parse(typed)
    found = AtEnd.parse({"action": "archive", "until": "2030-01-01", "basis": "402-FZ"})
    assert found.until == date(2030, 1, 1)


async def test_callhelper_nothing_is_kept_longer_than_its_purpose(
    database: Database, journal: Journal, clock: HandClock, tenant: str, tmp_path: Path
) -> None:
    until = kept_until(service("RU"), "verdict", clock.now(), concern=NOBODY)
    assert until == by_calendar(clock.now(), YEAR)
    await assert_lasts(database, journal, tmp_path, "verdict", until)
