"""Making tenants: whole or not at all, with one line that says why not."""

import pytest
from sqlalchemy import func, select

from callguard.audit.log import first_broken
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.schema import audit, metadata, tenant_retention
from callguard.tenants.store import NewTenant, OwnKey, add, set_retention
from callguard.tenants.tenant import TenantError, TenantSettings, check_id, check_settings
from tests.clock import HandClock

OWN = OwnKey("pq", "age1pq1unused", b"unused")


def put(database: Database, clock: HandClock, new: NewTenant) -> None:
    with database.writing() as connection:
        add(connection, new, at=clock.now(), actor="test")


def tenant(
    name: str = "acme", *, numbers: tuple[str, ...] = (), endpoints: tuple[str, ...] = ()
) -> NewTenant:
    return NewTenant(name, name, TenantSettings(), OWN, numbers=numbers, endpoints=endpoints)


def rows(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        counted = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
    return {name: count for name, count in counted.items() if count}


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (tenant("acme"), "exists already"),
        (tenant("Acme"), "is no tenant id"),
        (tenant(""), "is no tenant id"),
        (tenant("a" * 64), "is no tenant id"),
        (tenant("-a"), "is no tenant id"),
        (tenant("a b"), "is no tenant id"),
        (tenant("a\n"), "is no tenant id"),
        (tenant("חברה"), "is no tenant id"),
        (NewTenant("two", "two", TenantSettings(), None), "no key at all"),
        (tenant("two", numbers=("not a number",)), "is no telephone number"),
        (tenant("two", numbers=("+442079460001", "020 7946 0000")), "belongs to a tenant"),
        (tenant("two", endpoints=("PJSIP/b", "PJSIP/a")), "belongs to a tenant"),
        (tenant("two", endpoints=("",)), "no name"),
        (tenant("two", endpoints=("PJSIP/b", " ")), "no name"),
    ],
)
def test_a_tenant_that_is_refused_leaves_nothing(
    database: Database, clock: HandClock, new: NewTenant, reason: str
) -> None:
    put(database, clock, tenant("acme", numbers=("+442079460000",), endpoints=("PJSIP/a",)))
    before = rows(database)
    with pytest.raises(TenantError, match=reason):
        put(database, clock, new)
    assert rows(database) == before


def test_what_is_added_is_in_the_audit_log_without_its_name(
    database: Database, clock: HandClock
) -> None:
    put(database, clock, NewTenant("acme", "Mrs Jones", TenantSettings(), OWN))
    with database.reading() as connection:
        row = connection.execute(select(audit)).one()
        assert (row.action, row.target, row.tenant) == ("tenant.add", "acme", "acme")
        assert "Jones" not in str(row)
        assert first_broken(connection) is None


@pytest.mark.parametrize("days", [0, 1, 36_524])
def test_retention_is_set_and_set_again(
    database: Database, clock: HandClock, tenant: str, days: int
) -> None:
    for span in (Span(days=7), Span(days=days), Span(days=days)):
        with database.writing() as connection:
            set_retention(connection, tenant, "recording", span, at=clock.now(), actor="test")
    with database.reading() as connection:
        kept = connection.execute(select(tenant_retention)).all()
        found = [(r.tenant_id, r.data_class, r.span) for r in kept]
        assert found == [(tenant, "recording", f"{days}d")]
        assert first_broken(connection) is None


@pytest.mark.parametrize(
    ("name", "data_class", "span", "reason"),
    [
        ("acme", "wishes", Span(days=1), "is no data class"),
        ("acme", "recording", Span(months=1_200, days=1), "is longer than 100y"),
        ("nobody", "recording", Span(days=1), "there is no tenant nobody"),
    ],
)
def test_retention_that_is_refused_changes_nothing(
    database: Database,
    clock: HandClock,
    tenant: str,
    name: str,
    data_class: str,
    span: Span,
    reason: str,
) -> None:
    before = rows(database)
    with pytest.raises(TenantError, match=reason), database.writing() as connection:
        set_retention(connection, name, data_class, span, at=clock.now(), actor="test")
    assert rows(database) == before


@pytest.mark.parametrize("text", ["a", "0", "a-b", "a" * 63])
def test_ids_that_are_right_come_back(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"home_region": "XX"}, "home_region: .*not a region"),
        ({"home_region": "G"}, "home_region: "),
        ({"home_region": "gb"}, "home_region: "),
        ({"purpose": "fun"}, "purpose: "),
        ({"record": "perhaps"}, "record: "),
        ({"on_opt_out": "shout"}, "on_opt_out: "),
        ({"colour": 1}, "colour: "),
    ],
)
def test_a_choice_that_is_wrong_is_named_in_one_line(
    values: dict[str, object], reason: str
) -> None:
    with pytest.raises(TenantError, match=reason) as caught:
        check_settings(values)
    assert "\n" not in str(caught.value)


def test_choices_that_are_left_out_have_defaults() -> None:
    assert check_settings({}) == TenantSettings()
