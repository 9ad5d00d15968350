"""How long records are kept."""

from callguard.tenants.tenant import DEFAULT_DAYS, Tenant, TenantSettings, days_kept


def test_a_tenants_own_days_count_and_the_default_where_it_set_none_or_is_not_known() -> None:
    tenant = Tenant("acme", "Acme", TenantSettings(), (), {"recording": 30})
    assert days_kept(tenant, "recording") == 30
    assert days_kept(tenant, "call_record") == DEFAULT_DAYS
    assert days_kept(None, "recording") == DEFAULT_DAYS
