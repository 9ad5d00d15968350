"""A floor or a ceiling as somebody reads it who did not write it."""

from callguard.cli.rule_in_words import UNVERIFIED, listed
from callguard.policy.limits import RetentionLimit

WHOSE = {
    "tenant": "tenants at home there",
    "subject": "subjects whose number is of there",
    "either": "tenants at home there, or subjects whose number is of there",
}


def lines(limit: RetentionLimit) -> list[str]:
    """Everything of one limit, a line for each thing."""
    until = f"until {limit.effective_to}" if limit.effective_to else "without end"
    most = "at least" if limit.bound == "floor" else "at most"
    return [
        f"{limit.id}: {limit.title}",
        f"kind: {limit.bound}",
        f"class: {limit.data_class}",
        f"kept: {most} {limit.span}",
        f"in force: since {limit.effective_from}, {until}",
        f"where: {listed(limit.regions, 'everywhere')}",
        *([f"whose: {WHOSE[limit.whose]}"] if limit.regions else []),
        f"purposes: {listed(limit.purposes)}",
        f"directions: {listed(limit.directions)}",
        f"tenants: {'operators of networks by law' if limit.operators_only else 'all'}",
        *([f"fields: {', '.join(limit.minimum)}"] if limit.minimum else []),
        f"citation: {limit.citation}",
        f"source: {limit.source or 'none'}",
        f"status: {status(limit)}",
    ]


def status(limit: RetentionLimit) -> str:
    """How far it can be relied on."""
    if limit.status == "unverified":
        return UNVERIFIED
    return f"verified: its value was seen in the source on {limit.verified_on}"


def as_json(limit: RetentionLimit) -> dict[str, object]:
    """Everything of one limit, for a machine."""
    return {
        "id": limit.id,
        "kind": limit.bound,
        "class": limit.data_class,
        "span": str(limit.span),
        "title": limit.title,
        "citation": limit.citation,
        "effective_from": limit.effective_from.isoformat(),
        "effective_to": limit.effective_to.isoformat() if limit.effective_to else None,
        "status": limit.status,
        "verified_on": limit.verified_on.isoformat() if limit.verified_on else None,
        "source": limit.source,
        "minimum": list(limit.minimum),
        "scope": {
            "regions": sorted(limit.regions),
            "whose": limit.whose,
            "purposes": sorted(limit.purposes),
            "directions": sorted(limit.directions),
            "operators_only": limit.operators_only,
        },
    }
