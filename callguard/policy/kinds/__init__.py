"""The kinds of rule. Each is one small module with one function: rule and facts in, finding out."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from callguard.policy.facts import CallFacts
from callguard.policy.kinds import emergency, opt_out
from callguard.policy.rules import Finding, Rule

Kind = Callable[[Rule, CallFacts], Finding]

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "emergency": emergency.find,
        "opt_out": opt_out.find,
    }
)
