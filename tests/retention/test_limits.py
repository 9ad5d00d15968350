"""Every floor and ceiling of every pack: a record is there one second before its instant, gone one
second after. A limit that is added to a pack is tested by that."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import phonenumbers
import pytest

from callguard.policy.limits import RetentionLimit
from callguard.policy.packs import limits_of, shipped_packs
from callguard.policy.span import Span
from callguard.retention.classes import CLASSES
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.keeping import Concern, concerning, kept_until
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.retention.lasting import SECOND, assert_lasts, by_calendar
from tests.retention.rows import EVERY

LIMITS = limits_of(shipped_packs())
ROWS = [limit for limit in LIMITS if limit.data_class in EVERY]
ELSEWHERE = "BR"
"""A country of which no shipped limit speaks."""

SINCE = {
    "a leap day": datetime(2028, 2, 29, 12, 0, tzinfo=UTC),
    "the end of a month": datetime(2026, 8, 31, 23, 59, 59, tzinfo=UTC),
    "the last night of summer time": datetime(2026, 10, 24, 23, 30, tzinfo=UTC),
    "the first hour of a year": datetime(2027, 1, 1, 0, 0, tzinfo=UTC),
}
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Jerusalem")


def number_in(region: str) -> str:
    example = phonenumbers.example_number(region)
    assert example is not None
    return phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)


def whose(limit: RetentionLimit, span: Span, zone: str = "UTC") -> tuple[Tenant, Concern]:
    """A tenant and a record that the limit is about, and that no other limit is about."""
    region = sorted(limit.regions)[-1]
    home = region if limit.whose == "tenant" else ELSEWHERE
    settings = TenantSettings(
        home_region=home, licensed_operator=limit.operators_only, time_zone=zone
    )
    subject = number_in(ELSEWHERE if limit.whose == "tenant" else region)
    purpose = min(limit.purposes, default="service")
    direction = min(limit.directions, default="outbound")
    others = concerning((limit,), home, operator=limit.operators_only)
    tenant = Tenant("acme", "Acme", settings, (), {limit.data_class: span}, limits=others)
    return tenant, Concern(subject, purpose, direction)


def against(limit: RetentionLimit) -> Span:
    """What a tenant would choose that the limit forbids."""
    return Span() if limit.bound == "floor" else Span(months=1200)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("since", SINCE.values(), ids=SINCE.keys())
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.id)
def test_its_end_is_that_of_the_calendar(limit: RetentionLimit, since: datetime, zone: str) -> None:
    tenant, concern = whose(limit, against(limit), zone)
    end = kept_until(tenant, limit.data_class, since, concern=concern)
    assert end == by_calendar(since, limit.span, ZoneInfo(zone))


@pytest.mark.parametrize("data_class", sorted({limit.data_class for limit in ROWS}))
async def test_a_row_lasts_until_then_and_no_second_longer(
    database: Database, journal: Journal, tenant: str, tmp_path: Path, data_class: str
) -> None:
    for number, limit in enumerate(ROWS):
        if limit.data_class == data_class:
            owner, concern = whose(limit, against(limit))
            end = kept_until(owner, data_class, SINCE["a leap day"], concern=concern)
            assert end is not None
            await assert_lasts(database, journal, tmp_path, data_class, end, number)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.id)
def test_what_keeps_to_it_is_left_as_the_tenant_chose(limit: RetentionLimit) -> None:
    since = SINCE["the end of a month"]
    for longer in (limit.span, replace(limit.span, days=limit.span.days + 1)):
        chosen = longer if limit.bound == "floor" else limit.span
        tenant, concern = whose(limit, chosen)
        end = kept_until(tenant, limit.data_class, since, concern=concern)
        assert end == by_calendar(since, chosen)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.id)
def test_it_is_about_nobody_elses_records(limit: RetentionLimit) -> None:
    tenant, concern = whose(limit, against(limit))
    since = SINCE["the end of a month"]
    free = by_calendar(since, against(limit))
    stranger = replace(tenant, settings=TenantSettings(home_region=ELSEWHERE))
    elsewhere = replace(concern, subject=number_in(ELSEWHERE))
    assert kept_until(stranger, limit.data_class, since, concern=elsewhere) == free
    if limit.operators_only:
        plain = replace(
            tenant, settings=tenant.settings.model_copy(update={"licensed_operator": False})
        )
        assert kept_until(plain, limit.data_class, since, concern=concern) == free
    if limit.purposes:
        other = replace(concern, purpose="transactional")
        assert kept_until(tenant, limit.data_class, since, concern=other) == free
        unknown = replace(concern, purpose="")
        end = kept_until(tenant, limit.data_class, since, concern=unknown)
        assert (end == free) == (limit.bound == "ceiling")


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.id)
def test_it_is_no_law_before_its_first_day(limit: RetentionLimit) -> None:
    tenant, concern = whose(limit, against(limit))
    first = datetime.combine(limit.effective_from, datetime.min.time(), tzinfo=UTC)
    before = first - SECOND
    kept = kept_until(tenant, limit.data_class, before, concern=concern)
    assert kept == by_calendar(before, against(limit))
    kept = kept_until(tenant, limit.data_class, first, concern=concern)
    assert kept == by_calendar(first, limit.span)


def test_opt_outs_do_not_end_whatever_floor_speaks_of_them() -> None:
    assert CLASSES["opt_out"].default is None
    asked = [limit for limit in LIMITS if limit.data_class == "opt_out"]
    for limit in asked:
        tenant, concern = whose(limit, Span())
        tenant = replace(tenant, retention={})
        assert kept_until(tenant, "opt_out", SINCE["a leap day"], concern=concern) is None
    assert {limit.id for limit in asked} == {"ca.opt-outs", "us.opt-outs"}
