"""A verdict as a supervisor reads it, who knows neither the rules nor their names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import typer

from callguard.cli.how_recorded import HowRecorded
from callguard.cli.surroundings import say, say_table
from callguard.policy.facts import Place
from callguard.policy.rules import FAILURE_TABLE
from callguard.policy.tables import plain

MOST_ZONES = 3
"""Most local times that are told."""

_OUTCOMES = {
    "block": "blocks",
    "require": "requires",
    "unknown": "cannot tell",
    "pass": "passes",
}
_TOLD_BY = {
    "number": "by the number",
    "contact": "by what the tenant knows of the subject",
    "tenant": "by the tenant's own country, because an address lies nowhere",
}
COLUMNS = ("outcome", "reason", "rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A verdict with what it was about. ``findings`` are in their stored form; ``place`` is None
    where it is not kept or nobody asked for it; ``read_as_utc`` is whether the moment was typed
    without an offset; ``registries`` are the digests of the snapshots that were asked, by registry;
    ``recording`` is None where nothing is known of it; ``notes`` say what else the reader is to
    know."""

    allowed: bool
    reasons: Sequence[str]
    obligations: Sequence[str]
    findings: Sequence[Mapping[str, object]]
    at: datetime
    read_as_utc: bool = False
    about: Mapping[str, str | None]
    place: Place | None = None
    local: Sequence[datetime] = ()
    registries: Mapping[str, str] = field(default_factory=dict)
    recording: HowRecorded | None = None
    notes: Sequence[str] = field(default_factory=list)


def tell(explanation: Explanation, *, as_json: bool) -> None:
    """Answers with the verdict: lines and a table, or JSON."""
    say(as_json, as_value(explanation), "\n".join(map(plain, lines(explanation))))
    if not as_json and explanation.findings:
        rows = [_row(finding) for finding in _ordered(explanation.findings)]
        typer.echo()
        say_table(False, rows, COLUMNS, "Findings")


def lines(explanation: Explanation) -> list[str]:
    """All but the findings, a line for each thing; the verdict first."""
    return [
        ": ".join(filter(None, (_decision(explanation), _reasons(explanation)))),
        *_about(explanation.about),
        f"at: {explanation.at:%A %Y-%m-%d %H:%M:%S} UTC"
        + (" (no time zone was given, so it is read as UTC)" if explanation.read_as_utc else ""),
        *_place(explanation.place),
        *_local(explanation.local),
        *_duties(explanation),
        *([explanation.recording.in_words()] if explanation.recording else []),
        *(f"registry {n}: snapshot {s}" for n, s in sorted(explanation.registries.items())),
        *(f"note: {note}" for note in explanation.notes),
    ]


def as_value(explanation: Explanation) -> dict[str, object]:
    """The same, for a machine."""
    place = explanation.place
    return {
        "verdict": "allow" if explanation.allowed else "block",
        "reasons": list(explanation.reasons),
        **explanation.about,
        "at": explanation.at.isoformat(),
        "read_as_utc": explanation.read_as_utc,
        "place": place
        and {
            "region": place.region,
            "subdivisions": list(place.subdivisions),
            "zones": list(place.zones),
            "told_by": place.told_by,
        },
        "local_times": [
            {"zone": str(moment.tzinfo), "time": moment.isoformat()} for moment in explanation.local
        ],
        "obligations": list(explanation.obligations),
        "findings": [dict(finding) for finding in _ordered(explanation.findings)],
        "recording": explanation.recording and explanation.recording.as_value(),
        "registries": dict(explanation.registries),
        "notes": list(explanation.notes),
    }


def _decision(explanation: Explanation) -> str:
    return "ALLOWED" if explanation.allowed else "BLOCKED"


def _reasons(explanation: Explanation) -> str:
    """Each reason once: rules of one registry have the same."""
    return "; ".join(dict.fromkeys(explanation.reasons))


def _about(about: Mapping[str, str | None]) -> list[str]:
    number, read_as = about.get("number"), about.get("read_as")
    as_read = f", read as {read_as}" if read_as and read_as != number else ""
    what = [about.get("direction"), about.get("channel"), about.get("purpose")]
    rest = ("call", "caller", "called", "tenant", "campaign", "debt")
    return [
        f"number: {number}{as_read}",
        f"kind: {', '.join(filter(None, what))}",
        *(f"{name}: {about[name]}" for name in rest if about.get(name)),
    ]


def _place(place: Place | None) -> list[str]:
    if place is None:
        return []
    if place.region is None:
        return ["place: not known"]
    parts = f" ({', '.join(place.subdivisions)})" if place.subdivisions else ""
    return [f"place: {place.region}{parts}, {_TOLD_BY[place.told_by]}"]


def _local(local: Sequence[datetime]) -> list[str]:
    if not local:
        return []
    told = [f"{moment:%A %Y-%m-%d %H:%M} in {moment.tzinfo}" for moment in local[:MOST_ZONES]]
    if len(local) > MOST_ZONES:
        told.append(f"and {len(local) - MOST_ZONES} more")
    return [f"local time: {', '.join(told)}"]


def _duties(explanation: Explanation) -> list[str]:
    if not explanation.obligations:
        return []
    told = ", ".join(duty.replace("_", " ") for duty in explanation.obligations)
    return [f"{'the call must' if explanation.allowed else 'if it were allowed, it must'}: {told}"]


def _ordered(findings: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """What blocks first, then what is required, what cannot be told and what passes."""
    order = {outcome: place for place, outcome in enumerate(_OUTCOMES)}

    def rank(finding: Mapping[str, object]) -> tuple[bool, int]:
        return not finding.get("blocks"), order.get(str(finding.get("outcome")), len(order))

    return sorted(findings, key=rank)


def _row(finding: Mapping[str, object]) -> dict[str, object]:
    return {
        "outcome": _outcome(finding),
        "reason": plain(f"{finding.get('reason', '')}"),
        "rule": "\n".join(_rule(finding)),
    }


def _outcome(finding: Mapping[str, object]) -> str:
    outcome = str(finding.get("outcome"))
    said = _OUTCOMES.get(outcome, outcome)
    if outcome == "unknown" and finding.get("blocks"):
        return f"{said}, so blocks"
    if outcome == "block" and not finding.get("blocks"):
        return f"{said}, but is overridden"
    return said


def _rule(finding: Mapping[str, object]) -> list[str]:
    """Its id and citation, since when it is in force, and whether anybody checked it; the gate's
    own failure table is no law."""
    told = [plain(f"{finding.get(name, '')}") for name in ("rule", "citation")]
    if finding.get("citation") != FAILURE_TABLE:
        told.append(f"in force since {finding.get('since')}")
        told += ["unverified"] if finding.get("status") != "verified" else []
    return told
