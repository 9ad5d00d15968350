"""How long a tenant's records are kept."""

from datetime import UTC, date, datetime, timedelta

import pytest

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.tenants.keeping import Concern, keeping_evidence, kept_until
from callguard.tenants.tenant import Tenant, TenantSettings

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR = 365


def a_tenant(
    *limits: RetentionLimit, days: dict[str, int] | None = None, zone: str = "UTC"
) -> Tenant:
    kept = {data_class: Span(days=count) for data_class, count in (days or {}).items()}
    settings = TenantSettings(home_region="GB", time_zone=zone)
    return Tenant("acme", "Acme", settings, (), kept, limits=limits)


def after(days: int) -> datetime:
    return NOON + timedelta(days=days)


def test_a_tenants_own_choice_counts_and_the_default_where_it_chose_none_or_is_not_known() -> None:
    tenant = a_tenant(days={"recording": 30})
    assert kept_until(tenant, "recording", NOON) == after(30)
    assert kept_until(tenant, "call_record", NOON) == after(YEAR)
    assert kept_until(None, "recording", NOON) == after(YEAR)
    assert kept_until(tenant, "contact", NOON) is None


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        ({"consent": 900, "recording": 30}, 900),
        ({"consent": 30, "recording": 900}, 902),
        ({"consent": 30}, YEAR + 2),
        ({}, YEAR + 2),
    ],
)
def test_no_recording_is_kept_for_longer_than_why_it_was_made(
    days: dict[str, int], kept: int
) -> None:
    assert keeping_evidence(a_tenant(days=days))(NOON) == after(kept)
    assert keeping_evidence(None)(NOON) == after(YEAR + 2)


def test_the_law_of_the_number_called_lengthens_what_is_about_it_alone() -> None:
    floor = RetentionLimit(
        "us.calls",
        "floor",
        "call_record",
        Span(months=60),
        "Records of sales calls",
        "a statute",
        date(2020, 1, 1),
        regions=frozenset({"US"}),
        whose="subject",
        purposes=frozenset({"marketing"}),
    )
    tenant = a_tenant(floor, days={"call_record": 30})
    american = Concern("+12125550123", "marketing", "outbound")
    assert kept_until(tenant, "call_record", NOON, concern=american) == NOON.replace(year=2031)
    british = Concern("+442079460001", "marketing", "outbound")
    assert kept_until(tenant, "call_record", NOON, concern=british) == after(30)
    survey = Concern("+12125550123", "survey", "outbound")
    assert kept_until(tenant, "call_record", NOON, concern=survey) == after(30)


def test_days_are_counted_where_the_tenant_counts_them() -> None:
    before_the_change = datetime(2026, 10, 24, 12, tzinfo=UTC)
    in_paris = a_tenant(days={"recording": 1}, zone="Europe/Paris")
    assert kept_until(in_paris, "recording", before_the_change) == before_the_change + timedelta(
        hours=25
    )
