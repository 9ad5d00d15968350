"""The rules as they are for each tenant."""

from collections.abc import Iterable

from callguard.policy.overrides import Override, overridden
from callguard.policy.rulebook import Rulebook
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
