"""The chain of a call: what was decided, said, answered and recorded, in its order. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain as joined

from callguard.consent.states import ConsentState

STARTED = "started"
ENDED = "ended"
SEALED = "sealed"

_RESTS_ON = re.compile(r"consent:(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The verdict on the call. ``findings`` are in their stored form."""

    at: datetime
    tenant: str | None
    direction: str
    purpose: str | None
    subject: str
    verdict: str
    obligations: tuple[str, ...]
    findings: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A row of the ledger. ``call`` is None for what was said elsewhere than in a call; ``rules``
    are those that asked, each with its citation; ``asked`` is how often the prompt was played."""

    id: str
    at: datetime
    tenant: str
    subject: str
    purpose: str
    state: ConsentState
    call: str | None = None
    mode: str | None = None
    rules: tuple[str, ...] = ()
    pbx: str | None = None
    channel: str | None = None
    prompt: str | None = None
    words: str | None = None
    language: str | None = None
    asked: int | None = None
    heard_ms: int | None = None
    length_ms: int | None = None
    answer: str | None = None
    proof: str | None = None
    actor: str | None = None
    until: datetime | None = None

    @property
    def rests_on(self) -> str | None:
        """The row whose consent this one took up, if it did."""
        found = _RESTS_ON.fullmatch(self.proof or "")
        return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recording as its row says it is; ``gone`` is its state where only its events are left."""

    id: str
    call: str
    tenant: str
    pbx: str
    channel: str
    state: str
    started_at: datetime
    ended_at: datetime | None = None
    sealed_at: datetime | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What happened to a recording."""

    at: datetime
    recording: str
    kind: str
    by: str = "callguard"
    reason: str | None = None
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptedOut:
    """A wish that was entered in the call, or lifted in it."""

    at: datetime
    tenant: str | None
    subject: str
    standing: bool
    way: str
    actor: str
    prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """Another call that was part of the same conversation."""

    id: str
    tenant: str | None
    direction: str
    subject: str
    verdict: str


Link = Decided | Telling | Happened | OptedOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """All that is kept of a call. ``tellings`` are also those of linked calls and those that the
    call's own rest on; ``decided`` is None where the verdict is no longer kept."""

    call: str
    decided: Decided | None = None
    tellings: Sequence[Telling] = ()
    recordings: Sequence[Recorded] = ()
    events: Sequence[Happened] = ()
    opt_outs: Sequence[OptedOut] = ()
    linked: Sequence[Linked] = ()

    def links(self) -> tuple[Link, ...]:
        """Everything in the order in which it happened."""
        verdict = [self.decided] if self.decided else []
        happened = joined.from_iterable(map(self._of, self.recordings))
        every: Iterable[Link] = (*verdict, *self.tellings, *happened, *self.opt_outs)
        return tuple(sorted(every, key=lambda link: link.at))

    def _of(self, recording: Recorded) -> list[Happened]:
        """The events of a recording, with those that only its row tells of."""
        found = events_of(recording, self.events)
        kinds = {event.kind for event in found}
        if STARTED not in kinds:
            found.insert(0, _told_by_row(recording, STARTED, recording.started_at))
        if recording.ended_at is not None and recording.state != "gone":
            found.append(_told_by_row(recording, ENDED, recording.ended_at))
        if recording.sealed_at is not None:
            found.append(_told_by_row(recording, SEALED, recording.sealed_at))
        return found


_KINDS = (
    *(STARTED, "paused", "resumed", "silenced", "heard"),
    *("stopped", "withdrawn", "erased", "lost", "cut"),
)
_IN_TURN = {kind: turn for turn, kind in enumerate(_KINDS)}
"""What comes first of what was entered at the same moment: the wish before what came of it."""


def events_of(recording: Recorded, events: Iterable[Happened]) -> list[Happened]:
    """Those of one recording, oldest first."""
    mine = (event for event in events if event.recording == recording.id)
    return sorted(mine, key=lambda e: (e.at, _IN_TURN.get(e.kind, 0), e.id))


def _told_by_row(recording: Recorded, kind: str, at: datetime) -> Happened:
    reason = f"sha256:{recording.sha256}" if kind == SEALED else None
    if kind == ENDED and recording.state in ("empty", "lost"):
        reason = recording.state
    return Happened(at=at, recording=recording.id, kind=kind, reason=reason)
