"""The rules as they are for each tenant."""

from collections.abc import Iterable
from datetime import date

from callguard.policy.overrides import Override, overridden
from callguard.policy.rulebook import Rulebook, strictest_ages
from callguard.policy.rules import Rule
from callguard.tenants.tenant import Tenant


class Policy:
    """The packs' rules, and each tenant's own book of them, made when it is first asked for."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.common = Rulebook(rules)
        self._own: dict[str, tuple[tuple[Override, ...], Rulebook]] = {}

    def of(self, tenant: Tenant | None) -> Rulebook:
        """The rules with the tenant's values."""
        if tenant is None or not tenant.overrides:
            return self.common
        present = self._own.get(tenant.id)
        if present is None or present[0] != tenant.overrides:
            own = Rulebook(overridden(self.common.rules, tenant.overrides))
            present = self._own[tenant.id] = (tenant.overrides, own)
        return present[1]

    def strictest_ages(self, tenants: Iterable[Tenant], day: date) -> dict[str, int]:
        """How many days old each registry's list may be on that day, by the strictest of the
        packs' rules and these tenants' own."""
        common = self.common.about_age
        ids = {rule.id for rule in common}
        rules = list(common)
        for tenant in tenants:
            if own := [override for override in tenant.overrides if override.rule in ids]:
                rules += overridden(common, own)
        return strictest_ages(rules, day)
