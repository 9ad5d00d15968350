"""Whether a consent stood whenever a recording was audible, by what was written down. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Final

from callguard.consent.chain import STARTED, Chain, Happened, Recorded, Telling, events_of
from callguard.consent.states import ConsentState

GRACE: Final = timedelta(seconds=1)
"""How soon a recording must be silent once somebody no longer agrees."""

_ENDING = frozenset({"stopped", "erased", "lost"})
UNSEALED: Final = timedelta(minutes=1)
"""How long after it was stopped a recording may lie about unsealed without being wondered at."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which a recording was audible, or was so without a consent."""

    recording: str
    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Statement:
    """What an auditor asks: whether a consent stood in every stretch in which a recording was
    audible. ``doubts`` are what the ledger leaves open, a line each."""

    recordings: int
    audible: timedelta
    without: tuple[Stretch, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.without


def recorded_with_consent(chain: Chain, now: datetime) -> Statement:
    """Judges each recording by whoever is on the channel that is recorded.

    A recording that goes on is judged up to ``now``. Others who were told in the conversation and
    did not agree are a doubt, unless the recording fell silent for them: the ledger does not keep
    when somebody left.
    """
    audible = {r.id: audible_stretches(r, chain.events, now) for r in chain.recordings}
    without: list[Stretch] = []
    doubts: list[str] = []
    for recording in chain.recordings:
        about = _about(recording, chain.tellings)
        for stretch in audible[recording.id]:
            without += _without(stretch, about)
        events = events_of(recording, chain.events)
        heard_until = max((s.until for s in audible[recording.id]), default=None)
        doubts += _unsilenced(recording, events, heard_until, _others(chain.tellings, about))
        doubts += _unended(recording, events, now)
        doubts += _set_back(recording, events)
    doubts += _rootless(chain)
    total = sum((s.length for stretches in audible.values() for s in stretches), timedelta())
    return Statement(len(chain.recordings), total, tuple(without), tuple(doubts))


def audible_stretches(
    recording: Recorded, events: Iterable[Happened], now: datetime
) -> tuple[Stretch, ...]:
    """When a recording was not silent, by what Asterisk confirmed; of one without events all of
    it. A pause is a wish until it was confirmed that it is silent."""
    if recording.state == "empty":  # nothing was ever written
        return ()
    mine = events_of(recording, events)
    since: datetime | None = next((e.at for e in mine if e.kind == STARTED), recording.started_at)
    end = _end(recording, mine, now)
    found: list[Stretch] = []
    for event in mine:
        if event.kind == "silenced" and since is not None:
            found.append(Stretch(recording.id, since, min(event.at, end)))
            since = None
        elif event.kind == "heard" and since is None:
            since = event.at
    if since is not None:
        found.append(Stretch(recording.id, since, end))
    return tuple(s for s in found if s.since < s.until)


def _end(recording: Recorded, events: Sequence[Happened], now: datetime) -> datetime:
    """When nothing more was written. That it shall be stopped is a wish, too; until the recording
    is sealed that is all that is kept of its end."""
    if recording.ended_at is not None:
        return recording.ended_at
    return min((e.at for e in events if e.kind in _ENDING), default=now)


def _without(stretch: Stretch, about: Sequence[Telling]) -> list[Stretch]:
    """The parts of a stretch in which no consent stood, by the rows about it, oldest first."""
    found: list[Stretch] = []
    covered = stretch.since
    for telling, after in zip_longest(about, about[1:]):
        if telling.state is not ConsentState.GRANTED:
            continue
        if telling.at > covered:
            found.append(Stretch(stretch.recording, covered, min(telling.at, stretch.until)))
        again = after is not None and after.state is ConsentState.GRANTED
        # Who changes their mind is obeyed a moment later; what begins after that has no excuse.
        late = timedelta() if again or after is None or stretch.since >= after.at else GRACE
        ends = after.at + late if after else stretch.until
        ends = min(ends, telling.until or ends)
        covered = max(covered, ends)
        if covered >= stretch.until:
            break
    found.append(Stretch(stretch.recording, covered, stretch.until))
    return [part for part in found if part.since < part.until]


def _about(recording: Recorded, tellings: Sequence[Telling]) -> list[Telling]:
    """The rows that speak of whoever is on the recorded channel, oldest first; where none names
    that channel, those of the call that name none, or all of them where it is not known."""
    mine = [t for t in tellings if t.tenant == recording.tenant and t.purpose == "recording"]
    named = [t for t in mine if (t.pbx, t.channel) == (recording.pbx, recording.channel)]
    here = named or [
        t for t in mine if t.call == recording.call and (t.channel is None or not recording.channel)
    ]
    subjects = {t.subject for t in here} - {""}
    ended = [
        t
        for t in mine
        if t.state is ConsentState.WITHDRAWN
        and t.channel is None
        and (t.subject in subjects or t.call == recording.call)
    ]
    return sorted({t.id: t for t in (*here, *ended)}.values(), key=lambda t: (t.at, t.id))


def _others(tellings: Sequence[Telling], about: Sequence[Telling]) -> list[Telling]:
    """What was last said on each other channel."""
    last: dict[tuple[str | None, str | None], Telling] = {}
    for telling in sorted(tellings, key=lambda t: (t.at, t.id)):
        if telling.channel is not None and telling not in about:
            last[telling.pbx, telling.channel] = telling
    return list(last.values())


def _unsilenced(
    recording: Recorded,
    events: Sequence[Happened],
    heard_until: datetime | None,
    others: Sequence[Telling],
) -> list[str]:
    """Others who did not agree, and for whom the recording did not fall silent."""
    silenced = [event for event in events if event.kind == "silenced"]
    return [
        f"whether channel {other.channel}, where it was {other.state.value}, was ever on recording "
        f"{recording.id} is not in the ledger"
        for other in others
        if other.state is not ConsentState.GRANTED
        and heard_until is not None
        and heard_until > other.at + GRACE
        and not any(e.at >= other.at or _names(e.reason, other.channel) for e in silenced)
    ]


def _names(reason: str | None, channel: str | None) -> bool:
    """Whether a silence was for somebody on that channel."""
    return channel is not None and channel in re.split(r"[ ,]+", reason or "")


def _unended(recording: Recorded, events: Sequence[Happened], now: datetime) -> list[str]:
    """One that was to be stopped, and of which nothing tells that it was."""
    wished = [e.at for e in events if e.kind == "stopped"]
    if recording.state != "recording" or not wished or now < min(wished) + UNSEALED:
        return []
    return [f"recording {recording.id} was stopped, but it is not sealed yet, so its end is open"]


def _set_back(recording: Recorded, events: Sequence[Happened]) -> list[str]:
    """One of which something happened before it began, by its own account."""
    moments = [event.at for event in events] + [recording.ended_at or recording.started_at]
    if min(moments) >= recording.started_at:
        return []
    return [f"the clock was set back during recording {recording.id}: its times prove nothing"]


def _rootless(chain: Chain) -> list[str]:
    """Consents of the call that rest on a row which is no longer kept."""
    kept = {telling.id for telling in chain.tellings}
    return [
        f"consent {t.id} rests on {t.rests_on}, which is no longer kept"
        for t in chain.tellings
        if t.call == chain.call
        and t.state is ConsentState.GRANTED
        and t.rests_on not in (None, *kept)
    ]
