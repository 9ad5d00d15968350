"""How long the lists on the shelf count, by the rules that ask them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from callguard.optout.registry.shelf import RegistryStatus

State = Literal["usable", "ageing", "stale", "ahead", "silent"]
"""Whether calls can pass by a list: it does, and will for some days; it will not for long; it does
no more; it is dated after today; it can say nothing."""


@dataclass(frozen=True, slots=True)
class RegistryStanding:
    """A registry as a supervisor sees it. ``stale_on`` is the first day on which a rule no longer
    takes it, None where no rule says; days are those of UTC. ``reason`` is why it can say nothing
    or is not replaced; ``refused`` why the last import was, if none was taken since."""

    name: str
    state: State
    list_date: date | None
    count: int
    coverage: tuple[str, ...]
    digest: str | None
    imported_at: str
    stale_on: date | None = None
    reason: str = ""
    refused: str = ""

    @property
    def usable(self) -> bool:
        """Whether a call can pass by this list today."""
        return self.state in ("usable", "ageing")


def standing_of(
    registry: RegistryStatus,
    max_age_days: int | None,
    refused: str,
    *,
    today: date,
    warn_days: int,
) -> RegistryStanding:
    """How a registry stands today, by the strictest of the rules about its age."""
    listed_on, stale_on = registry.list_date, None
    if listed_on is not None and max_age_days is not None:
        stale_on = stale_from(listed_on, max_age_days)
    state: State = "usable"
    if registry.fault or listed_on is None:
        state = "silent"
    elif listed_on > today + timedelta(days=1):  # where the list is from it may be tomorrow
        state = "ahead"
    elif stale_on is not None and stale_on <= today:
        state = "stale"
    elif stale_on is not None and (stale_on - today).days <= warn_days:
        state = "ageing"
    return RegistryStanding(
        name=registry.name,
        state=state,
        list_date=listed_on,
        count=registry.count,
        coverage=registry.coverage,
        digest=registry.digest,
        imported_at=registry.imported_at,
        stale_on=stale_on,
        reason=registry.fault or registry.trouble,
        refused=refused,
    )


def stale_from(listed_on: date, max_age_days: int) -> date:
    """The first day on which a list is older than it may be."""
    try:
        return listed_on + timedelta(days=max_age_days + 1)
    except OverflowError:
        return date.max


def alarms_of(registry: RegistryStanding, today: date) -> tuple[str, ...]:
    """What needs a person's eye, a line each; what the shelf itself tells is not told again."""
    said = []
    if registry.state == "ageing" and registry.stale_on is not None:
        left = (registry.stale_on - today).days
        days = "1 day" if left == 1 else f"{left} days"
        said.append(f"registry {registry.name} goes stale on {registry.stale_on}, in {days}")
    elif registry.state == "stale":
        said.append(f"registry {registry.name} is stale since {registry.stale_on}")
    elif registry.state == "ahead":
        said.append(f"registry {registry.name} is of {registry.list_date}, which is still to come")
    if registry.refused:
        said.append(f"registry {registry.name}: the last import was refused: {registry.refused}")
    return tuple(said)


def alarms_of_missing(held_back: Mapping[str, int], there: frozenset[str]) -> tuple[str, ...]:
    """The registries that are not there, with how many calls they held back since the start."""
    return tuple(
        f"registry {name} is not imported: calls held back since the start: {count}"
        for name, count in sorted(held_back.items())
        if name not in there
    )
