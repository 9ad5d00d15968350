"""A tenant's keys as rows: versions, outside recipients, and that somebody can always open."""

import pytest
from sqlalchemy import insert, select

from callguard.storage.database import Database
from callguard.storage.schema import audit, tenant_keys, tenant_recipients
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keys import (
    add_recipient,
    add_version,
    fingerprint,
    next_version,
    read_keys,
    remove_recipient,
    retire,
    wipe,
)
from callguard.tenants.store import NewTenant, OwnKey, add, change_settings
from callguard.tenants.tenant import TenantError, TenantSettings
from tests.clock import HandClock

PQ, PQ2, CLASSIC = "age1pq1own", "age1pq1theirs", "age1classic"


@pytest.fixture(autouse=True)
def _acme(database: Database, clock: HandClock) -> None:
    with database.writing() as connection:
        new = NewTenant("acme", "Acme", TenantSettings(), OwnKey("pq", PQ, b"one"))
        add(connection, new, at=clock.now(), actor="test")


def own_key(database: Database, clock: HandClock, value: bool) -> None:
    with database.writing() as connection:
        change_settings(connection, "acme", {"own_key": value}, at=clock.now(), actor="test")


def outside(database: Database, clock: HandClock, recipient: str, name: str = "theirs") -> None:
    with database.writing() as connection:
        add_recipient(connection, "acme", name, recipient, at=clock.now(), actor="test")


def remove(database: Database, clock: HandClock, named: str) -> None:
    with database.writing() as connection:
        remove_recipient(connection, "acme", named, at=clock.now(), actor="test")


def present(database: Database) -> tuple[str, ...]:
    """As the keys have it, which must be as the directory has it."""
    directory = TenantDirectory()
    with database.reading() as connection:
        directory.refresh(connection)
        found = read_keys(connection, "acme").present
    tenant = directory.get("acme")
    assert tenant is not None
    assert tenant.recipients == found
    return found


def test_the_present_recipients_are_the_own_one_and_then_theirs(
    database: Database, clock: HandClock
) -> None:
    assert present(database) == (PQ,)
    outside(database, clock, PQ2)
    assert present(database) == (PQ, PQ2)
    own_key(database, clock, False)
    assert present(database) == (PQ2,)


def test_a_new_version_serves_at_once_and_the_former_is_replaced_then_retired(
    database: Database, clock: HandClock
) -> None:
    with database.writing() as connection:
        keys = read_keys(connection, "acme")
        made = OwnKey("pq", "age1pq1new", b"two")
        assert add_version(connection, keys, made, at=clock.now(), actor="test") == 2
        with pytest.raises(TenantError, match="changed meanwhile"):
            add_version(connection, keys, made, at=clock.now(), actor="test")
    assert present(database) == ("age1pq1new",)
    with database.writing() as connection:
        keys = read_keys(connection, "acme")
        assert [keys.state(one) for one in keys.versions] == ["replaced", "active"]
        assert [one.version for one in keys.live] == [2, 1]
        retire(connection, "acme", [1], clock.now())
        keys = read_keys(connection, "acme")
        assert [keys.state(one) for one in keys.versions] == ["retired", "active"]
        wipe(connection, "acme", [1, 2], clock.now())
        keys = read_keys(connection, "acme")
    assert [(keys.state(one), one.wrapped) for one in keys.versions] == [("destroyed", None)] * 2
    assert (keys.active, keys.live, next_version(keys)) == (None, (), 3)
    assert present(database) == ()


def test_a_tenant_is_never_left_without_a_recipient(database: Database, clock: HandClock) -> None:
    with pytest.raises(TenantError, match="no key at all"):
        own_key(database, clock, False)
    outside(database, clock, PQ2)
    own_key(database, clock, False)
    with pytest.raises(TenantError, match="no key at all"):
        remove(database, clock, "theirs")
    assert present(database) == (PQ2,)
    own_key(database, clock, True)
    remove(database, clock, PQ2)
    assert present(database) == (PQ,)


def test_a_tenant_does_not_begin_without_a_recipient(database: Database, clock: HandClock) -> None:
    own = OwnKey("pq", "age1pq1new", b"one")
    for settings, key in ((TenantSettings(own_key=False), own), (TenantSettings(), None)):
        new = NewTenant("other", "Other", settings, key)
        with (
            pytest.raises(TenantError, match="no key at all"),
            database.writing() as connection,
        ):
            add(connection, new, at=clock.now(), actor="test")


def test_an_own_key_that_is_destroyed_counts_for_nobody(
    database: Database, clock: HandClock
) -> None:
    outside(database, clock, PQ2)
    with database.writing() as connection:
        wipe(connection, "acme", [1], clock.now())
    with pytest.raises(TenantError, match="no key at all"):
        remove(database, clock, "theirs")


def test_post_quantum_and_classic_keys_are_not_mixed(database: Database, clock: HandClock) -> None:
    with pytest.raises(TenantError, match="age forbids"):
        outside(database, clock, CLASSIC)
    with database.writing() as connection:
        row = {"tenant_id": "acme", "recipient": CLASSIC, "added_at": clock.now()}
        connection.execute(insert(tenant_recipients).values(**row))
        stored = {"home_region": "GB", "own_key": False}
        change_settings(connection, "acme", stored, at=clock.now(), actor="test")
    with pytest.raises(TenantError, match="age forbids"):
        own_key(database, clock, True)
    made = OwnKey("pq", "age1pq1new", b"two")
    with database.writing() as connection:
        keys = read_keys(connection, "acme")
        with pytest.raises(TenantError, match="age forbids"):
            add_version(connection, keys, made, at=clock.now(), actor="test")


def test_a_recipient_is_there_once_and_under_one_name(database: Database, clock: HandClock) -> None:
    outside(database, clock, PQ2)
    for recipient, name, why in (
        (PQ2, "again", "there already, as 'theirs'"),
        ("age1pq1other", "theirs", "there is a recipient 'theirs' already"),
        (PQ, "own", "a key of its own"),
        ("age1pq1other", " ", "1 to 63"),
        ("age1pq1other", "x" * 64, "1 to 63"),
        ("age1pq1other", "a\nb", "1 to 63"),
    ):
        with pytest.raises(TenantError, match=why):
            outside(database, clock, recipient, name)
    with database.writing() as connection:  # as one that came with the tenant
        row = {"tenant_id": "acme", "recipient": "age1pq1first", "added_at": clock.now()}
        connection.execute(insert(tenant_recipients).values(**row))
    for named in ("nobody", ""):
        with pytest.raises(TenantError, match="no such recipient"):
            remove(database, clock, named)
    remove(database, clock, "age1pq1first")
    assert present(database) == (PQ, PQ2)


def test_the_audit_log_has_fingerprints_and_no_keys_or_names(
    database: Database, clock: HandClock
) -> None:
    outside(database, clock, PQ2, "Anna")
    remove(database, clock, "Anna")
    with database.reading() as connection:
        rows = connection.execute(select(audit).where(audit.c.action.like("key.%"))).all()
        assert connection.execute(select(tenant_keys.c.version)).scalars().all() == [1]
    assert [row.action for row in rows] == ["key.recipient.add", "key.recipient.remove"]
    for row in rows:
        assert fingerprint(PQ2) in row.details
        assert PQ2 not in row.details
        assert "Anna" not in row.details
