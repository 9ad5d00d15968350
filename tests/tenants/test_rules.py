"""A tenant's own values for rules: stricter freely, looser with a reason, all of it on record."""

import json

import pytest
from sqlalchemy import select

from callguard.policy.overrides import Override, OverrideError
from callguard.policy.packs import parse_pack
from callguard.storage.database import Database
from callguard.storage.schema import audit
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.rules import restore_rule, set_rule
from callguard.tenants.tenant import TenantError
from tests.clock import HandClock

RULES = parse_pack(
    "test",
    """
title = "Test"
[[rule]]
id = "test.cap"
kind = "attempts"
title = "Cap"
citation = "Act, s. 1"
effective_from = 2020-01-01
settings = { limit = 3, window = "24h" }
[[rule]]
id = "test.opt-out"
kind = "opt_out"
title = "Opt-out"
citation = "Act, s. 2"
effective_from = 2020-01-01
""",
).rules


def overrides(database: Database, directory: TenantDirectory, tenant: str) -> tuple[Override, ...]:
    with database.reading() as connection:
        directory.refresh(connection)
    found = directory.get(tenant)
    assert found is not None
    return found.overrides


def enter(database: Database, clock: HandClock, override: Override, tenant: str = "acme") -> bool:
    with database.writing() as connection:
        return set_rule(connection, tenant, override, RULES, at=clock.now(), actor="cli:ann")


def audited(database: Database, action: str) -> list[tuple[str, dict[str, object]]]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).where(audit.c.action == action)).all()
    return [(row.target, json.loads(row.details)) for row in rows]


def test_a_stricter_value_needs_no_reason_and_the_directory_follows(
    database: Database, clock: HandClock, tenant: str
) -> None:
    directory = TenantDirectory()
    assert overrides(database, directory, tenant) == ()
    assert not enter(database, clock, Override("test.cap", {"limit": 2}))
    assert overrides(database, directory, tenant) == (Override("test.cap", {"limit": 2}),)
    assert audited(database, "policy.override") == [
        ("test.cap", {"change": {"settings": {"limit": 2}}, "loosens": False, "reason": ""})
    ]


@pytest.mark.parametrize(
    "override",
    [
        Override("test.cap", {"limit": 4}),
        Override("test.cap", {"window": "12h"}),
        Override("test.cap", disabled=True),
        Override("test.cap", on_unknown="pass"),
        Override("test.cap", {"limit": 4}, reason="  "),
    ],
)
def test_a_looser_value_without_a_reason_is_refused_with_the_law_it_rests_on(
    database: Database, clock: HandClock, tenant: str, override: Override
) -> None:
    with pytest.raises(OverrideError, match=r"loosens test.cap \(Act, s. 1\)"):
        enter(database, clock, override)
    assert overrides(database, TenantDirectory(), tenant) == ()
    assert audited(database, "policy.override") == []


def test_a_looser_value_with_a_reason_is_on_record_with_it(
    database: Database, clock: HandClock, tenant: str
) -> None:
    told = "counsel's opinion of 2026-11-01, קובץ 7"
    assert enter(database, clock, Override("test.cap", {"limit": 9}, reason=told))
    ((target, details),) = audited(database, "policy.override")
    assert (target, details["loosens"], details["reason"]) == ("test.cap", True, told)


def test_the_last_value_counts_and_restoring_brings_the_pack_s_back(
    database: Database, clock: HandClock, tenant: str
) -> None:
    directory = TenantDirectory()
    enter(database, clock, Override("test.cap", {"limit": 2}))
    enter(database, clock, Override("test.cap", {"limit": 1}, cause=38))
    (present,) = overrides(database, directory, tenant)
    assert (present.settings, present.cause) == ({"limit": 1}, 38)
    with database.writing() as connection:
        restore_rule(connection, tenant, "test.cap", at=clock.now(), actor="cli:ann")
    assert overrides(database, directory, tenant) == ()
    assert audited(database, "policy.restore") == [("test.cap", {})]


def test_what_was_never_changed_cannot_be_restored(
    database: Database, clock: HandClock, tenant: str
) -> None:
    none = pytest.raises(OverrideError, match="no values of its own")
    with none, database.writing() as connection:
        restore_rule(connection, tenant, "test.cap", at=clock.now(), actor="cli:ann")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (Override("test.none"), "there is no rule test.none"),
        (Override("test.opt-out", disabled=True, reason="because"), "not for a tenant to change"),
        (Override("test.cap", {"limit": -1}), "limit"),
        (Override("test.cap", {"colour": "red"}), "colour"),
    ],
)
def test_what_cannot_be_changed_so_is_refused_in_one_line(
    database: Database, clock: HandClock, tenant: str, override: Override, told: str
) -> None:
    with pytest.raises(OverrideError, match=told) as refused:
        enter(database, clock, override)
    assert "\n" not in str(refused.value)


def test_a_tenant_that_is_none_has_no_values(database: Database, clock: HandClock) -> None:
    with pytest.raises(TenantError, match="no tenant nobody"):
        enter(database, clock, Override("test.cap", {"limit": 2}), "nobody")
