"""The rules by where they apply, so that a call meets only those that can be about it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable

from callguard.policy.evaluate import evaluate
from callguard.policy.facts import CallFacts
from callguard.policy.rules import Rule, Verdict


class Rulebook:
    """A set of rules, immutable. ``digest`` names exactly these rules."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        everywhere: list[Rule] = []
        somewhere: dict[str, list[Rule]] = defaultdict(list)
        for rule in self.rules:
            for region in rule.scope.regions:
                somewhere[region].append(rule)
            if not rule.scope.regions:
                everywhere.append(rule)
        self._everywhere = tuple(everywhere)
        self._somewhere = {region: tuple(rules) for region, rules in somewhere.items()}
        self.registries = frozenset(
            str(rule.settings.registry) for rule in self.rules if hasattr(rule.settings, "registry")
        )
        told = [repr(rule) for rule in self.rules]
        self.digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def about(self, facts: CallFacts) -> tuple[Rule, ...]:
        """The rules that may be about a call: those of no place, and those of where either party
        is."""
        other = facts.caller if facts.direction == "outbound" else facts.called
        regions = {facts.place.region, other.region, facts.home_region} - {None}
        found = [self._somewhere.get(region or "", ()) for region in regions]
        if sum(map(bool, found)) < 2:
            return (*self._everywhere, *(rule for rules in found for rule in rules))
        return tuple(
            {rule.id: rule for rules in (self._everywhere, *found) for rule in rules}.values()
        )

    def decide(self, facts: CallFacts) -> Verdict:
        """The verdict on a call by all these rules."""
        return evaluate(facts, self.about(facts))
