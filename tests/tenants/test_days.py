"""How long records are kept."""

import pytest

from callguard.tenants.tenant import DEFAULT_DAYS, Tenant, TenantSettings, days_kept, evidence_days


def test_a_tenants_own_days_count_and_the_default_where_it_set_none_or_is_not_known() -> None:
    tenant = Tenant("acme", "Acme", TenantSettings(), (), {"recording": 30})
    assert days_kept(tenant, "recording") == 30
    assert days_kept(tenant, "call_record") == DEFAULT_DAYS
    assert days_kept(None, "recording") == DEFAULT_DAYS


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        ({"consent": 900, "recording": 30}, 900),
        ({"consent": 30, "recording": 900}, 902),
        ({"consent": 30}, DEFAULT_DAYS + 2),
        ({}, DEFAULT_DAYS + 2),
    ],
)
def test_no_recording_is_kept_for_longer_than_why_it_was_made(
    days: dict[str, int], kept: int
) -> None:
    tenant = Tenant("acme", "Acme", TenantSettings(), (), days)
    assert evidence_days(tenant) == kept
    assert evidence_days(None) == DEFAULT_DAYS + 2
