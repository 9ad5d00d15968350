"""What of a subject's consents stands now, towards one tenant. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from callguard.consent.chain import Telling
from callguard.consent.states import ConsentState
from callguard.policy.facts import GivenConsent


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with one purpose. ``call`` is the only call for which a consent was given,
    where it is no more than that."""

    purpose: str
    state: ConsentState
    since: datetime
    until: datetime | None = None
    call: str | None = None


def standing(
    tellings: Iterable[Telling], known: Iterable[GivenConsent], now: datetime
) -> tuple[Standing, ...]:
    """For each purpose, by name: what the next call would go by (``known``); where nothing stands,
    what was said last."""
    last: dict[str, Telling] = {}
    for telling in sorted(tellings, key=lambda t: (t.at, t.id)):
        last[telling.purpose] = telling
    given: dict[str, list[GivenConsent]] = {}
    for one in known:
        given.setdefault(one.purpose, []).append(one)
    found = []
    for purpose in sorted({*last, *given}):
        state = _granted(purpose, given.get(purpose, []), now)
        if state is None and purpose in last:
            state = _said(last[purpose])
        if state is None:  # the evidence is gone, and what it was of is over
            over = max(given[purpose], key=lambda g: g.until or g.granted_at)
            gone = ConsentState.WITHDRAWN if over.withdrawn else ConsentState.EXPIRED
            state = Standing(purpose, gone, over.until or over.granted_at)
        found.append(state)
    return tuple(found)


def _granted(purpose: str, given: list[GivenConsent], now: datetime) -> Standing | None:
    standing = [g for g in given if g.granted_at <= now and (g.until is None or now < g.until)]
    if not standing:
        return None
    ends = [g.until for g in standing]
    until = None if None in ends else max(filter(None, ends))
    return Standing(purpose, ConsentState.GRANTED, min(g.granted_at for g in standing), until)


def _said(last: Telling) -> Standing:
    if last.state is not ConsentState.GRANTED:
        return Standing(last.purpose, last.state, last.at)
    if last.call is not None and last.until is None:
        return Standing(last.purpose, last.state, last.at, call=last.call)
    return Standing(last.purpose, ConsentState.EXPIRED, last.until or last.at, last.until)
