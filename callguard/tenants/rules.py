"""A tenant's own values for rules, as they are kept: every change in the audit log, with who and
why."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert

from callguard.audit.log import Entry, append
from callguard.policy.overrides import Override, OverrideError, changed, loosens
from callguard.policy.rules import Rule
from callguard.storage.schema import tenant_rules
from callguard.tenants.stamp import touch


def as_override(rule: str, change: Mapping[str, Any], reason: str) -> Override:
    """From the stored form."""
    return Override(
        rule=rule,
        settings=dict(change.get("settings", {})),
        on_unknown=change.get("on_unknown"),
        cause=change.get("cause"),
        prompt=change.get("prompt"),
        disabled=bool(change.get("disabled", False)),
        reason=reason,
    )


def set_rule(
    connection: Connection,
    tenant_id: str,
    override: Override,
    rules: Iterable[Rule],
    *,
    at: datetime,
    actor: str,
) -> bool:
    """Sets a tenant's values for one rule, in place of those it had; whether that loosens it.

    Raises OverrideError for what the rule does not know, or a loosening without a reason, and
    TenantError where there is no such tenant.
    """
    rule = _rule(override.rule, rules)
    if not override.disabled:
        changed(rule, override)
    looser = loosens(rule, override)
    if looser and not override.reason.strip():
        raise OverrideError(f"that loosens {rule.id} ({rule.citation}): say why, with a reason")
    touch(connection, tenant_id, at)
    change = _stored(override)
    _forget(connection, tenant_id, override.rule)
    connection.execute(
        insert(tenant_rules).values(
            tenant_id=tenant_id,
            rule=override.rule,
            change=change,
            reason=override.reason,
            actor=actor,
            at=at,
        )
    )
    details = {"change": change, "reason": override.reason, "loosens": looser}
    append(connection, Entry(at, actor, "policy.override", rule.id, tenant_id, details))
    return looser


def restore_rule(
    connection: Connection, tenant_id: str, rule_id: str, *, at: datetime, actor: str
) -> None:
    """Takes a tenant's values for a rule away, so that the pack's own hold again.

    Raises OverrideError where it had none, TenantError where there is no such tenant.
    """
    touch(connection, tenant_id, at)
    if not _forget(connection, tenant_id, rule_id):
        raise OverrideError(f"tenant {tenant_id} has no values of its own for {rule_id}")
    append(connection, Entry(at, actor, "policy.restore", rule_id, tenant_id))


def _rule(rule_id: str, rules: Iterable[Rule]) -> Rule:
    found = next((rule for rule in rules if rule.id == rule_id), None)
    if found is None:
        raise OverrideError(f"there is no rule {rule_id}")
    if found.kind in ("emergency", "opt_out", "restriction"):
        raise OverrideError(f"{rule_id} is not for a tenant to change")
    return found


def _stored(override: Override) -> dict[str, object]:
    values: dict[str, object] = {
        "settings": dict(override.settings),
        "on_unknown": override.on_unknown,
        "cause": override.cause,
        "prompt": override.prompt,
        "disabled": override.disabled,
    }
    return {name: value for name, value in values.items() if value not in (None, False, {})}


def _forget(connection: Connection, tenant_id: str, rule_id: str) -> bool:
    where = (tenant_rules.c.tenant_id == tenant_id) & (tenant_rules.c.rule == rule_id)
    return connection.execute(delete(tenant_rules).where(where)).rowcount > 0
