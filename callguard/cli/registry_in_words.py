"""What became of a list, and which there are, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from callguard.optout.registry.outcome import Outcome
from callguard.optout.registry.refusals import short


def told(outcome: Outcome) -> str:
    """What happened, in one line."""
    if outcome.state == "unchanged":
        return f"{outcome.registry}: nothing new, the list of {outcome.list_date} is in use"
    figures, manifest = outcome.figures, outcome.manifest
    assert manifest is not None, "a list that was taken has a manifest"
    changes = f" ({figures.added} added, {figures.removed} removed)"
    return (
        f"{outcome.registry}: the list of {outcome.list_date} is in use: {figures.count} numbers"
        f"{changes if outcome.act == 'apply' else ''}, covering "
        f"{short(manifest.coverage.prefixes)} ({manifest.digest})"
    )


def aside(outcome: Outcome) -> Iterator[str]:
    """What the operator is to know beside it: the bad lines, and what was found on the way."""
    for bad in outcome.bad:
        yield f"{bad.file}: line {bad.line}: {bad.text}"
    if outcome.bad_lines > len(outcome.bad):
        yield f"and {outcome.bad_lines - len(outcome.bad)} more bad lines"
    if outcome.resumed:
        yield "gone on with an import that was cut off"
    if outcome.state == "taken" and outcome.accepted is not None:
        yield f"taken although it is smaller: {outcome.smaller}"
    yield from outcome.notes


def lines(row: Mapping[str, Any]) -> Iterator[str]:
    """A registry, as ``registry list`` tells it."""
    if row["digest"] is None:
        yield f"{row['registry']}: {row['fault']}"
    else:
        yield f"{row['registry']}: {row['count']} numbers, covering {short(row['coverage'])}"
        stale = row["stale_on"]
        until = f", {'stale since' if row['stale'] else 'goes stale on'} {stale}" if stale else ""
        yield f"  list of {row['list_date']}, {row['age_days']} days old{until}"
        since = (
            f"in use since {row['in_use_since']}" if row["in_use_since"] else "not in the records"
        )
        yield f"  {since}, digest {row['digest']}"
    if row["refused"] is not None:
        yield f"  last refused at {row['refused']['at']}: {row['refused']['reason']}"
