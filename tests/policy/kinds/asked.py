"""Asking one kind of rule, with its settings as a pack writes them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from callguard.policy.exemption import Exemption
from callguard.policy.facts import CallFacts
from callguard.policy.kinds import KINDS
from callguard.policy.rules import Found, OnUnknown, Rule
from callguard.policy.scope import Scope

ANY_CALL = Scope(directions=frozenset(), channels=frozenset(), purposes=frozenset())


def ask(kind: str, facts: CallFacts, **settings: object) -> Found:
    """What a rule of the kind finds in a call."""
    asked = KINDS[kind]
    return asked.find(asked.settings.model_validate(settings), facts)


def loosens(kind: str, before: dict[str, object], after: dict[str, object]) -> bool:
    asked = KINDS[kind]
    return asked.loosens(
        asked.settings.model_validate(before), asked.settings.model_validate(after)
    )


def a_rule(
    kind: str,
    name: str = "x.rule",
    settings: Mapping[str, object] | None = None,
    *,
    scope: Scope | None = None,
    exemption: Exemption | None = None,
    on_unknown: OnUnknown = "block",
    effective_from: date = date(2018, 1, 1),
    effective_to: date | None = None,
) -> Rule:
    return Rule(
        name,
        kind,
        f"The {kind} rule",
        "an act, s. 1",
        effective_from,
        effective_to,
        on_unknown=on_unknown,
        scope=scope or Scope(),
        exemption=exemption,
        settings=KINDS[kind].settings.model_validate(settings or {}),
    )


def refused(kind: str, complaint: str, **settings: object) -> None:
    """Settings that a pack cannot have."""
    with pytest.raises(ValidationError, match=complaint):
        KINDS[kind].settings.model_validate(settings)


def by_the_clock(zone: str, text: str, *, second: bool = False) -> datetime:
    """The moment at which clocks in a zone show this; the ``second`` one of an hour that occurs
    twice."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=int(second))
    return local.astimezone(UTC)
