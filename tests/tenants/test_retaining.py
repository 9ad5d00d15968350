"""What a tenant chooses is held against the law when it is chosen."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

import pytest
from sqlalchemy import delete, insert, select, update

from callguard.policy.limits import RetentionLimit
from callguard.policy.packs import limits_of, shipped_packs
from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd
from callguard.storage.database import Database
from callguard.storage.schema import audit, tenant_retention
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.longest import longest
from callguard.tenants.retaining import chosen, set_anonymise, set_at_end, set_retention
from callguard.tenants.stamp import touch
from callguard.tenants.store import change_settings
from callguard.tenants.tenant import TenantError
from tests.clock import HandClock
from tests.databases import add_tenant

LAW = limits_of(shipped_packs())
FLOOR = RetentionLimit(
    "x.floor", "floor", "recording", Span(days=30), "t", "Act 1", date(2020, 1, 1)
)
CEILING = replace(FLOOR, id="x.ceiling", bound="ceiling", citation="Act 2", status="verified")
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def choose(database: Database, span: str, *limits: RetentionLimit) -> tuple[str, ...]:
    with database.writing() as connection:
        return set_retention(
            connection, "acme", "recording", Span.parse(span), at=NOW, actor="t", limits=limits
        )


@pytest.mark.parametrize(
    ("limit", "span", "told"),
    [
        (FLOOR, "29d", "recording 29d is shorter than the law lets it be, 30d: Act 1 (unverified)"),
        (FLOOR, "0d", "shorter"),
        (CEILING, "31d", "recording 31d is longer than the law lets it be, 30d: Act 2"),
        (CEILING, "1mo", "longer"),
        (FLOOR, "30d", None),
        (FLOOR, "1mo", "shorter"),
        (CEILING, "30d", None),
        (replace(FLOOR, effective_to=date(2026, 11, 19)), "0d", None),
        (replace(FLOOR, effective_from=date(2026, 11, 21)), "0d", None),
        (replace(FLOOR, operators_only=True), "0d", None),
        (replace(FLOOR, regions=frozenset({"FR"})), "0d", None),
        (replace(FLOOR, regions=frozenset({"GB"})), "0d", "shorter"),
        (replace(FLOOR, data_class="consent"), "0d", None),
    ],
)
def test_a_limit_on_every_record_is_kept_to(
    database: Database, tenant: str, limit: RetentionLimit, span: str, told: str | None
) -> None:
    if told is None:
        choose(database, span, limit)
        return
    with pytest.raises(TenantError) as refused:
        choose(database, span, limit)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    with database.reading() as connection:
        assert connection.execute(select(tenant_retention)).all() == []


def test_a_limit_on_some_records_is_told(database: Database, tenant: str) -> None:
    some = replace(
        FLOOR, whose="subject", regions=frozenset({"US"}), purposes=frozenset({"marketing"})
    )
    told = "recording: at least 30d for marketing calls with numbers of US: Act 1 (unverified)"
    assert choose(database, "7d", some) == (told,)
    assert choose(database, "60d", some) == ()


def test_what_is_chosen_is_followed_and_in_the_audit_log(database: Database, tenant: str) -> None:
    choose(database, "40d", FLOOR)
    with database.writing() as connection:
        set_anonymise(connection, "acme", "call_record", True, at=NOW, actor="t")
        keep = AtEnd("keep", until=date(2030, 1, 1), basis="claims")
        set_at_end(connection, "acme", "recording", keep, at=NOW, actor="t")
        set_retention(connection, "acme", "recording", Span(days=50), at=NOW, actor="t")
    directory = TenantDirectory()
    with database.reading() as connection:
        directory.refresh(connection)
        found = chosen(connection, "acme")
        details = connection.execute(
            select(audit.c.details).where(audit.c.action == "tenant.retention")
        ).scalars()
        last = [json.loads(one) for one in details][-1]
    followed = directory.get("acme")
    assert followed is not None
    assert (followed.retention["recording"], followed.at_end["recording"]) == (Span(days=50), keep)
    assert found["call_record"].anonymise
    assert last["before"]["span"] == "40d"
    assert last["after"] == {"span": "50d", "anonymise": False, "at_end": keep.as_json()}


def test_a_choice_that_is_taken_away_leaves_nothing(database: Database, tenant: str) -> None:
    choose(database, "40d")
    with database.writing() as connection:
        set_retention(connection, "acme", "recording", None, at=NOW, actor="t")
        assert connection.execute(select(tenant_retention)).all() == []


def test_what_has_no_figures_or_no_end_is_refused(database: Database, tenant: str) -> None:
    with database.writing() as connection:
        with pytest.raises(TenantError, match="leaves no figures"):
            set_anonymise(connection, "acme", "recording", True, at=NOW, actor="t")
        with pytest.raises(TenantError, match="needs a basis and an end date"):
            set_at_end(connection, "acme", "recording", AtEnd("keep"), at=NOW, actor="t")
        for endless in ("opt_out", "account"):
            with pytest.raises(TenantError, match="until the contract ends"):
                set_retention(connection, "acme", endless, Span(days=9), at=NOW, actor="t")
        for name in ("delivery", "gossip"):
            with pytest.raises(TenantError, match="is no data class"):
                set_at_end(connection, "acme", name, None, at=NOW, actor="t")


@pytest.mark.parametrize(
    ("data_class", "span", "change", "told"),
    [
        ("recording", "1y", {"home_region": "FR"}, "CNIL"),
        ("call_record", "17mo", {"home_region": "US", "licensed_operator": True}, "47 CFR 42.6"),
        ("call_record", "13mo", {"home_region": "FR", "licensed_operator": True}, "L. 34-1"),
        ("audit", "12mo", {"home_region": "IL"}, "(unverified)"),
        ("recording", "1mo", {"home_region": "RU"}, None),
        ("recording", "1y", {"record": False}, None),
    ],
)
def test_a_tenant_does_not_become_what_it_may_not_be(
    database: Database,
    clock: HandClock,
    tenant: str,
    data_class: str,
    span: str,
    change: dict[str, object],
    told: str | None,
) -> None:
    with database.writing() as connection:
        set_retention(
            connection, "acme", data_class, Span.parse(span), at=NOW, actor="t", limits=LAW
        )
    with database.writing() as connection:
        become = partial(
            change_settings, connection, "acme", change, at=clock.now(), actor="t", limits=LAW
        )
        if told is None:
            become()
            return
        with pytest.raises(TenantError) as refused:
            become()
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("data_class", "at_end", "told"),
    [
        ("list", AtEnd("keep", Span(days=9), basis="x"), "list goes with the contract itself"),
        ("fax", AtEnd("keep", Span(months=1201), basis="x"), "100y1mo is longer than 100y"),
        ("fax", AtEnd("keep", until=date(2126, 11, 21), basis="x"), "2126-11-21 is over, or more"),
        ("fax", AtEnd("keep", until=date(2026, 11, 19), basis="x"), "2026-11-19 is over, or more"),
        ("fax", AtEnd("keep", until=date(2126, 11, 20), basis="x"), None),
        ("fax", AtEnd("keep", until=date(2026, 11, 20), basis="x"), None),
    ],
)
def test_an_end_that_is_none_is_refused(
    database: Database, tenant: str, data_class: str, at_end: AtEnd, told: str | None
) -> None:
    with database.writing() as connection:
        end = partial(set_at_end, connection, "acme", data_class, at_end, at=NOW, actor="t")
        if told is None:
            end()
            return
        with pytest.raises(TenantError, match=told):
            end()


def test_what_is_all_tenants_stays_while_the_choice_of_one_cannot_be_read(
    database: Database, clock: HandClock, tenant: str
) -> None:
    directory = TenantDirectory()
    keep = longest(directory, "audit")
    for text, until in (("10y", NOW.replace(year=2036)), ("ten years", None)):
        row = {"tenant_id": "acme", "data_class": "audit", "span": text, "at_end": None}
        with database.writing() as connection:
            connection.execute(delete(tenant_retention))
            connection.execute(insert(tenant_retention).values(**row))
            touch(connection, "acme", clock.now())
            directory.refresh(connection)
        assert keep(NOW) == until


def test_a_choice_that_cannot_be_read_is_told_and_spoils_no_other_tenant(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    choose(database, "40d")
    with database.writing() as connection:
        connection.execute(update(tenant_retention).values(at_end={"action": "burn"}))
    directory = TenantDirectory()
    with database.reading() as connection:
        directory.refresh(connection)
    assert directory.get("acme") is None
    assert directory.get("other") is not None
    (fault,) = directory.faults
    assert "tenant acme cannot be read: retention of recording" in fault
