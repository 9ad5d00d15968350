"""The opt-outs that stand as a table, with where each came from; an import takes it back."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from callguard.optout.bulk import EVERYONE
from callguard.optout.lines import EXPORTED
from callguard.optout.standing import Wish

Format = Literal["csv", "json"]


def exported(wishes: Iterable[Wish], how: Format) -> Iterator[str]:
    """The lines of an export: CSV under a line of names, or a JSON object each."""
    if how == "csv":
        yield _line(EXPORTED)
    for wish in wishes:
        values = _values(wish)
        if how == "csv":
            yield _line([_harmless(name, values[name]) for name in EXPORTED])
        else:
            yield json.dumps(values, ensure_ascii=False) + "\n"


def _values(wish: Wish) -> dict[str, str]:
    event = wish.event
    return {
        "number": event.subject,
        "purposes": " ".join(sorted(event.purposes)),
        "channels": " ".join(sorted(event.channels)),
        "since": event.at.isoformat(),
        "tenant": event.tenant or EVERYONE,
        "way": event.way,
        "actor": event.actor,
        "call": event.call_id or "",
        "prompt": event.prompt or "",
        "reason": event.reason or "",
        "evidence": event.evidence or "",
    }


def _harmless(name: str, value: str) -> str:
    """Free text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if name != "number" and value[:1] in ("=", "+", "-", "@", "\t") else value


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
