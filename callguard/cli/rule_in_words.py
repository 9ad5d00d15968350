"""A rule as somebody reads it who did not write it."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date
from enum import Enum

from pydantic import BaseModel

from callguard.policy.exemption import Exemption
from callguard.policy.period import Period
from callguard.policy.rules import Rule
from callguard.policy.scope import Scope

UNVERIFIED = "unverified: nobody has checked this value against its source"


def lines(rule: Rule) -> list[str]:
    """Everything of one rule, a line for each thing."""
    until = f"until {rule.effective_to}" if rule.effective_to else "without end"
    return [
        f"{rule.id}: {rule.title}",
        f"kind: {rule.kind}",
        f"in force: since {rule.effective_from}, {until}",
        *([f"series: {rule.series}"] if rule.series else []),
        *_scope(rule.scope),
        *(f"{name}: {_words(value)}" for name, value in _values(rule.settings)),
        f"exempt: {_exemption(rule.exemption)}",
        f"where facts are missing: {'blocks' if rule.on_unknown == 'block' else 'passes'}",
        f"a call it blocks: cause {rule.cause}, prompt {rule.prompt or 'none'}",
        f"citation: {rule.citation}",
        f"source: {rule.source or 'none'}",
        f"status: {status(rule)}",
    ]


def status(rule: Rule) -> str:
    """How far its values can be relied on."""
    if rule.status == "unverified":
        return UNVERIFIED
    return f"verified: its value was seen in the source on {rule.verified_on}"


def as_json(rule: Rule) -> dict[str, object]:
    """Everything of one rule, for a machine."""
    exemption = rule.exemption
    scope = {
        part.name: _plain(getattr(rule.scope, part.name))
        for part in fields(Scope)
        if part.init  # the rest is derived
    }
    plain = {
        name: _plain(getattr(rule, name))
        for name in (
            *("id", "kind", "title", "citation", "effective_from", "effective_to", "status"),
            *("verified_on", "source", "series", "on_unknown", "cause", "prompt"),
        )
    }
    return {
        **plain,
        "scope": scope,
        "settings": {name: _plain(value) for name, value in _values(rule.settings)},
        "unless": None if exemption is None else _plain(exemption),
    }


def listed(values: object, none: str = "all") -> str:
    """Some words, in order; what no words mean where there are none."""
    if not isinstance(values, Iterable):
        return str(values)
    return ", ".join(sorted(map(str, values))) or none


def _scope(scope: Scope) -> list[str]:
    ends = ", at either end of the call" if scope.ends == "either" else ""
    narrower = {
        "subjects": scope.subjects,
        "lines": scope.lines,
        "diallers": scope.diallers,
        "tenants": scope.tenants,
    }
    return [
        f"where: {listed(scope.subdivisions or scope.regions, 'everywhere')}{ends}",
        f"directions: {listed(scope.directions)}",
        f"channels: {listed(scope.channels)}",
        f"purposes: {listed(scope.purposes)}",
        *(f"{name}: {listed(values)}" for name, values in narrower.items() if values),
    ]


def _exemption(exemption: Exemption | None) -> str:
    ways: list[str] = []
    if exemption is not None and exemption.consent is not None:
        valid = f" of the last {exemption.valid}" if exemption.valid else ""
        proof = ", with proof" if exemption.proof else ""
        ways.append(f"consent to {exemption.consent}{valid}{proof}")
    for tie in exemption.relationships if exemption is not None else ():
        within = f", or one that ended within {tie.within}" if tie.within else ""
        over = ", or one that ever was" if tie.ever else within
        ways.append(f"a {tie.kind} that is not over{over}")
    return "; or ".join(ways) or "nobody"


def _values(settings: BaseModel) -> list[tuple[str, object]]:
    return [(name, getattr(settings, name)) for name in type(settings).model_fields]


def _words(value: object) -> str:
    plain = str(value) if isinstance(value, Period) else _plain(value)
    match plain:
        case None | "":
            return "not set"
        case []:
            return "none"
        case bool():
            return "yes" if plain else "no"
        case list():
            return ", ".join(map(_words, plain))
        case dict():
            return "; ".join(f"{name} {_words(part)}" for name, part in plain.items())
        case _:
            return str(plain)


def _plain(value: object) -> object:
    """As a pack writes it."""
    if isinstance(value, Period):
        return f"{value.count}{value.unit}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: _plain(part) for name, part in _values(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(str, map(_plain, value)))
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value
