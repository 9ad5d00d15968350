"""A tenant's settings as they are typed, and what is said of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from callguard.cli.surroundings import CommandError
from callguard.consent.manifest import check_language
from callguard.consent.modes import Mode, choose, law_of
from callguard.consent.prompt import SHARED, Digits
from callguard.gate.policy import Policy
from callguard.policy.kinds import recording_mode
from callguard.policy.numbers import parse_number
from callguard.policy.rules import Rule
from callguard.policy.tables import plain
from callguard.tenants.tenant import Tenant, TenantSettings

_NOTES = {
    "key_kind": "key_kind is that of keys to come: the present key stays as it is",
}


def read_pairs(pairs: Sequence[str]) -> dict[str, object]:
    """``KEY=VALUE`` each, as values of the settings. Raises CommandError naming the first that is
    wrong, and what is allowed."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals:
            raise CommandError(f"{pair!r} is not KEY=VALUE")
        if key not in TenantSettings.model_fields:
            known = ", ".join(TenantSettings.model_fields)
            raise CommandError(f"there is no setting {plain(key)}; known: {known}")
        if key in found:
            raise CommandError(f"{key} is given twice")
        found[key] = _value(key, text.strip())
    return found


def _value(key: str, text: str) -> object:
    """Raises CommandError or PromptError unless the setting can be so; whether all of them go
    together is asked later."""
    if not text.isprintable():
        raise CommandError(f"{key}: {text!r} is not {allowed(key)}")
    typed: object = text
    if _is_list(TenantSettings.model_fields[key]):
        typed = list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    if key in ("language", "languages"):
        for language in typed if isinstance(typed, list) else [text]:
            check_language(language)
    try:
        read = TenantSettings.model_validate({key: typed})
    except ValidationError as error:
        if any(fault["loc"][:1] == (key,) for fault in error.errors()):
            raise CommandError(f"{key}: {text!r} is not {allowed(key)}") from error
        return typed
    value: object = read.model_dump(mode="json")[key]
    return value


def allowed(key: str) -> str:
    """What a setting may be, in words."""
    field = TenantSettings.model_fields[key]
    if key == "home_region":
        return "a country of the telephone numbering plans, such as GB"
    if key.endswith("_digit"):
        return "a digit from 0 to 9"
    if _is_list(field):
        one = get_args(get_args(field.annotation)[0])
        return f"a list, with commas, of {', '.join(one)}" if one else "a list with commas"
    if field.annotation is bool:
        return "yes or no"
    if choices := get_args(field.annotation):
        return f"one of {', '.join(choices)}"
    if field.annotation in (int, float):
        whole = "whole number" if field.annotation is int else "number"
        least, most = _bounds(field)
        return f"a {whole} from {least} to {most}"
    return "text"


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _bounds(field: FieldInfo) -> tuple[Any, Any]:
    least = next(one.ge for one in field.metadata if isinstance(one, Ge))
    return least, next(one.le for one in field.metadata if isinstance(one, Le))


def check_shown(chosen: TenantSettings) -> None:
    """Raises CommandError where the number to show is none that could be called back."""
    shown = chosen.shown_number
    if shown and parse_number(shown, chosen.home_region).e164 is None:
        raise CommandError(f"{shown!r} is no full telephone number to show")


def as_text(value: object) -> str:
    """A setting as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(one)}" for key, one in value.items())
    return str(value)


def notes(keys: Collection[str], tenant: Tenant, policy: Policy, now: datetime) -> list[str]:
    """What whoever sets these is to know of them."""
    found = [_NOTES[key] for key in keys if key in _NOTES]
    chosen = tenant.settings
    digits = Digits(chosen.accept_digit, chosen.refuse_digit, chosen.opt_out_digit)
    if any(key.endswith("_digit") for key in keys) and digits != SHARED:
        made = f"callguard prompt build --tenant {tenant.id}"
        found.append(f"the prompts must name these keys, or nothing is recorded: {made}")
    if "recording_mode" in keys or "home_region" in keys:
        found += _stricter(tenant, policy.of(tenant).rules, now.date())
    return found


def _stricter(tenant: Tenant, rules: Iterable[Rule], day: date) -> list[str]:
    """The rules at the tenant's home that ask for more than it wishes: the stricter holds."""
    wish = Mode(tenant.settings.recording_mode)
    found = []
    for rule in rules:
        if not isinstance(rule.settings, recording_mode.Settings) or not rule.in_force(day):
            continue
        law = law_of(rule.settings.found.obligations)
        if _is_at_home(rule, tenant) and choose(law, wish, record=True) is not wish:
            found.append(f"{rule.id} asks for {law.value}")
    if not found:
        return []
    asked = ", ".join(found)
    said = f"recording_mode {wish.value} has no effect where the law is stricter: {asked}"
    return [f"{said} (callguard explain tells of each call)"]


def _is_at_home(rule: Rule, tenant: Tenant) -> bool:
    """Whether a rule is about an ordinary call between the tenant and somebody of its country."""
    scope, chosen = rule.scope, tenant.settings
    return (
        (not scope.regions or chosen.home_region in scope.regions)
        and not scope.subdivisions
        and not scope.subjects
        and (not scope.purposes or chosen.purpose in scope.purposes)
        and (not scope.tenants or tenant.id in scope.tenants)
    )
