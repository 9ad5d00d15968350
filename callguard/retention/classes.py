"""The data classes: what is kept, from when its time counts, and for how long unless said. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from callguard.policy.span import Span

A_MONTH = Span(days=30)

Anchor = Literal[
    "call_end", "recording_end", "entry", "use", "last_exchange", "contract_end", "file_change"
]
"""The instant from which the time of a record counts."""

Place = Literal["rows", "files", "none"]


@dataclass(frozen=True, slots=True)
class DataClass:
    """``default`` is how long a tenant's records are kept where it chose nothing; None is until
    its contract ends. ``at_end`` is how long after the end of the contract the class may stay
    where the tenant chose nothing. ``kept_in`` is where it lies: rows of our database, files that
    another program writes (managed folders), or nowhere yet. ``settable`` is whether a tenant
    chooses; the others follow what they are evidence of."""

    name: str
    title: str
    anchor: Anchor
    default: Span | None
    at_end: Span = A_MONTH
    kept_in: Place = "rows"
    settable: bool = True


_YEAR = Span(months=12)

CLASSES: Mapping[str, DataClass] = MappingProxyType(
    {
        one.name: one
        for one in (
            DataClass("call_record", "call records", "call_end", _YEAR),
            DataClass("verdict", "verdicts, with the findings they rest on", "entry", _YEAR),
            DataClass("attempt", "attempts, for the caps", "entry", _YEAR),
            DataClass("recording", "recordings", "recording_end", _YEAR),
            DataClass("consent", "proofs of consent", "use", _YEAR),
            DataClass("opt_out", "opt-outs", "entry", None),
            DataClass("contact", "contacts", "last_exchange", None),
            DataClass(
                "list", "uploaded lists and what became of them", "entry", Span(days=7), Span()
            ),
            DataClass("account", "the tenant's own settings", "contract_end", None),
            DataClass("audit", "the audit log, accesses among it", "entry", Span(months=60)),
            DataClass("case", "cases", "entry", Span(months=36)),
            DataClass("export", "exports", "entry", Span(days=30)),
            DataClass("voicemail", "voice messages", "file_change", _YEAR, kept_in="files"),
            DataClass("fax", "faxes", "file_change", _YEAR, kept_in="files"),
            DataClass("transcript", "transcripts", "file_change", _YEAR, kept_in="files"),
            DataClass(
                "recording_event", "what became of recordings", "entry", None, settable=False
            ),
            DataClass("delivery", "deliveries of recordings", "entry", None, settable=False),
            DataClass(
                "opt_out_claim", "numbers typed on the opt-out line", "entry", None, settable=False
            ),
            DataClass("archive", "sealed archives", "contract_end", None, settable=False),
        )
    }
)
"""By name."""

SETTABLE = tuple(name for name, one in CLASSES.items() if one.settable)
"""Those whose time a tenant chooses."""
