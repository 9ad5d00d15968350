"""The directory follows the database, whoever changed it and whatever the clock said."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.schema import tenant_keys, tenants
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import span_of
from callguard.tenants.store import NewTenant, OwnKey, add, set_retention
from callguard.tenants.tenant import TenantSettings
from tests.clock import HandClock
from tests.databases import add_tenant


@pytest.fixture
def directory() -> TenantDirectory:
    return TenantDirectory()


def refresh(directory: TenantDirectory, database: Database) -> None:
    with database.reading() as connection:
        directory.refresh(connection)


DEFAULT_DAYS = 365


def set_days(database: Database, clock: HandClock, days: int, tenant: str = "acme") -> None:
    with database.writing() as connection:
        set_retention(connection, tenant, "consent", Span(days=days), at=clock.now(), actor="test")


def days(directory: TenantDirectory, tenant: str = "acme") -> int:
    found = directory.get(tenant)
    assert found is not None
    span = span_of(found, "consent")
    assert span is not None
    return span.days or DEFAULT_DAYS


def test_an_empty_database_has_no_tenants(directory: TenantDirectory, database: Database) -> None:
    refresh(directory, database)
    assert directory.all() == ()
    assert directory.get("acme") is None


def test_a_change_of_another_connection_is_seen(
    directory: TenantDirectory, database: Database, clock: HandClock, tenant: str
) -> None:
    refresh(directory, database)
    assert days(directory) == DEFAULT_DAYS
    other = Database(str(database.url))
    try:
        clock.advance(1)
        set_days(other, clock, 30)
    finally:
        other.close()
    assert days(directory) == DEFAULT_DAYS
    refresh(directory, database)
    assert days(directory) == 30


def test_two_changes_in_the_same_microsecond_are_both_seen(
    directory: TenantDirectory, database: Database, clock: HandClock, tenant: str
) -> None:
    for number in (1, 2, 3):
        set_days(database, clock, number)
        refresh(directory, database)
        assert days(directory) == number


def test_a_change_after_the_clock_was_set_back_is_seen(
    directory: TenantDirectory, database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    clock.advance(days=400)
    set_days(database, clock, 10, "other")
    refresh(directory, database)
    clock.advance(days=-500)
    set_days(database, clock, 20)
    refresh(directory, database)
    assert (days(directory), days(directory, "other")) == (20, 10)
    add_tenant(database, clock, "third")
    refresh(directory, database)
    assert directory.get("third") is not None


def test_what_did_not_change_is_not_read_anew(
    directory: TenantDirectory, database: Database, clock: HandClock, tenant: str
) -> None:
    refresh(directory, database)
    before = directory.get(tenant)
    refresh(directory, database)
    assert directory.get(tenant) is before


def test_a_tenant_is_found_by_its_numbers_and_lines(
    directory: TenantDirectory, database: Database, clock: HandClock
) -> None:
    own = OwnKey("pq", "age1pq1unused", b"unused")
    new = NewTenant(
        "acme",
        "חברה בע״מ",
        TenantSettings(),
        own,
        numbers=["020 7946 0000"],
        endpoints=["PJSIP/agent-1", "4711"],
    )
    with database.writing() as connection:
        add(connection, new, at=clock.now(), actor="test")
    refresh(directory, database)
    acme = directory.get("acme")
    assert acme is not None
    assert acme.name == "חברה בע״מ"
    assert directory.by_number("+442079460000") is acme
    assert directory.by_number("+442079460001") is None
    assert directory.by_endpoint("PJSIP/agent-1-0000002a") is acme
    assert directory.by_endpoint("PJSIP/agent-0000002a") is None
    assert directory.by_endpoint("PJSIP/agent-10-0000002a") is None
    assert directory.by_endpoint("PJSIP/trunk-0000002a", "4711") is acme
    assert directory.by_endpoint("PJSIP/trunk-0000002a", "4712") is None
    assert directory.by_endpoint("", "") is None


def test_a_line_goes_before_an_account_code(
    directory: TenantDirectory, database: Database, clock: HandClock
) -> None:
    for name, endpoint in (("one", "PJSIP/a"), ("two", "4711")):
        new = NewTenant(name, name, TenantSettings(), OwnKey("pq", "r", b""), endpoints=[endpoint])
        with database.writing() as connection:
            add(connection, new, at=clock.now(), actor="test")
    refresh(directory, database)
    found = directory.by_endpoint("PJSIP/a-00000001", "4711")
    assert found is not None
    assert found.id == "one"


def test_recordings_are_sealed_for_the_newest_own_key_and_all_outside_ones(
    directory: TenantDirectory, database: Database, clock: HandClock
) -> None:
    new = NewTenant(
        "acme", "Acme", TenantSettings(), OwnKey("x25519", "own-1", b""), ["outside-1", "outside-2"]
    )
    with database.writing() as connection:
        add(connection, new, at=clock.now(), actor="test")
        connection.execute(
            tenant_keys.insert().values(
                tenant_id="acme",
                version=2,
                kind="x25519",
                recipient="own-2",
                wrapped_identity=b"",
                created_at=clock.now(),
            )
        )
        later = clock.now() + timedelta(seconds=1)
        connection.execute(update(tenants).values(updated_at=later))
    refresh(directory, database)
    acme = directory.get("acme")
    assert acme is not None
    assert acme.recipients == ("own-2", "outside-1", "outside-2")


def test_a_tenant_whose_settings_cannot_be_read_takes_no_other_down(
    directory: TenantDirectory, database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    unknown = {"home_region": "GB", "of_a_later_version": True}
    clock.advance(1)
    with database.writing() as connection:
        connection.execute(
            update(tenants)
            .where(tenants.c.id == tenant)
            .values(settings=unknown, updated_at=clock.now())
        )
    refresh(directory, database)
    assert directory.get(tenant) is None
    assert [found.id for found in directory.all()] == ["other"]
    (fault,) = directory.faults
    assert fault.startswith(f"tenant {tenant} cannot be read: ")
    assert "\n" not in fault
