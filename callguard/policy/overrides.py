"""A tenant's own values for a rule: stricter ones freely, looser ones with a reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ValidationError

from callguard.policy.kinds import KINDS
from callguard.policy.rules import OnUnknown, Rule
from callguard.policy.tables import Cause, Prompt, key_of, read_settings, told_of


class OverrideError(ValueError):
    """A change to a rule that cannot be made; one line that says why."""


@dataclass(frozen=True, slots=True)
class Override:
    """What a tenant has otherwise in one rule. ``settings`` replace those of the same names;
    ``disabled`` takes the rule away; ``reason`` is why, which a looser rule must have."""

    rule: str
    settings: Mapping[str, object] = field(default_factory=dict)
    on_unknown: OnUnknown | None = None
    cause: int | None = None
    prompt: str | None = None
    disabled: bool = False
    reason: str = ""


class _Values(BaseModel):
    """What an override may have beside the settings of the rule's kind."""

    on_unknown: OnUnknown
    cause: Cause
    prompt: Prompt


def changed(rule: Rule, override: Override) -> Rule:
    """The rule with the tenant's values. Raises OverrideError."""
    kind = KINDS[rule.kind]
    present = {name: getattr(rule.settings, name) for name in rule.settings.model_fields_set}
    names = ("on_unknown", "cause", "prompt")
    own = {name: getattr(override, name) for name in names}
    try:
        settings = read_settings(kind.settings, {**present, **override.settings})
        values = _Values.model_validate(
            {name: getattr(rule, name) if own[name] is None else own[name] for name in names}
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise OverrideError(
            f"rule {rule.id}: {key_of(fault) or 'settings'}: {told_of(fault)}"
        ) from error
    return replace(
        rule,
        settings=settings,
        on_unknown=values.on_unknown,
        cause=values.cause,
        prompt=values.prompt,
    )


def loosens(rule: Rule, override: Override) -> bool:
    """Whether a call that the rule holds back could pass with these values. Raises
    OverrideError."""
    if override.disabled:
        if rule.kind == "emergency":
            raise OverrideError(f"rule {rule.id}: emergency calls always pass")
        return True
    after = changed(rule, override)
    return KINDS[rule.kind].loosens(rule.settings, after.settings) or (
        rule.on_unknown == "block" and after.on_unknown == "pass"
    )


def overridden(rules: Iterable[Rule], overrides: Iterable[Override]) -> tuple[Rule, ...]:
    """The rules as they are for a tenant. An override that is for no rule, or cannot be made any
    more, changes nothing; one that loosens counts only with its reason."""
    by_rule = {override.rule: override for override in overrides}
    return tuple(
        kept for rule in rules if (kept := _applied(rule, by_rule.get(rule.id))) is not None
    )


def _applied(rule: Rule, override: Override | None) -> Rule | None:
    if override is None:
        return rule
    try:
        if loosens(rule, override) and not override.reason.strip():
            return rule
        return None if override.disabled else changed(rule, override)
    except OverrideError:
        return rule
