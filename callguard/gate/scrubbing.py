"""Whom a tenant may call, of very many numbers: what ``decide`` says of each, uncounted.

What a rule sees of a number of which nothing is kept is its sort and what the registries say of
it. Each such pair is decided once, by ``decide`` itself. Whoever opted out, is a contact of the
tenant or was called lately is decided alone, by the same rules and the same facts.

All of it is as it was when the judge was made: what is entered afterwards is not seen.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import StillClock
from callguard.contacts.contact import NOTHING_KNOWN, Contact, ContactError
from callguard.gate.decide import Decision, decide, no_later
from callguard.gate.dossier import Dossier, contact_facts
from callguard.gate.kept import Kept, among
from callguard.gate.knowledge import Knowledge
from callguard.gate.parties import parties_of
from callguard.gate.request import Request, read_purpose
from callguard.optout.image import OptOutImage
from callguard.optout.scrub.contract import MAY_CALL, NO_NUMBER, Outcome, Read, Ruling
from callguard.policy.evaluate import judge
from callguard.policy.facts import Attempt, CallFacts, OptOut
from callguard.policy.kinds import opt_out
from callguard.policy.numbers import Number, parse_number
from callguard.policy.rulebook import RINGING, looks_back
from callguard.policy.rules import Outcome as Found
from callguard.policy.rules import Rule, Verdict, refusal
from callguard.policy.sorts import Sort, Sorts
from callguard.storage.attempts import MOST
from callguard.storage.faults import one_line
from callguard.tenants.tenant import Tenant

T = TypeVar("T")

READ_TEXTS: Final = 100_000
"""Most texts whose reading is remembered."""

CONTACTS: Final = 1_000
"""Most rulings on contacts of one sort that are remembered."""

UNTOUCHED: Final = frozenset(
    {
        "abandonment",
        "caller_id",
        "calling_hours",
        "emergency",
        "forbidden_destination",
        "obligation",
        "registry",
        "registry_freshness",
    }
)
"""The kinds of rule that look at nothing that is kept of a subject; their exemptions may."""


class Snapshot(Protocol):
    """The list of one registry, asked about many numbers at once."""

    def covers_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]: ...

    def holds_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]: ...


def ruling_of(verdict: Verdict) -> Ruling:
    """A verdict as what becomes of a row: only what could not be told holds it back, or more."""
    if verdict.allowed:
        return MAY_CALL
    holding = [finding for finding in verdict.findings if finding.blocks]
    known = any(finding.outcome is Found.BLOCK for finding in holding)
    outcome = Outcome.MUST_NOT if known else Outcome.CANNOT_TELL
    return Ruling(outcome, "; ".join(verdict.reasons), tuple(one.rule.id for one in holding))


@dataclass(slots=True)
class _Basis:
    """What is decided of a number of one sort and one set of answers, of which nothing is kept.

    ``place`` is where its ruling stands; ``since`` is from when on the rules look at earlier
    calls to such a number, if any does; ``wished`` is the ruling on one who opted out, in parts
    around the words of the wish; ``contacts`` are rulings on contacts of whom the same is
    known, and ``asked`` the rules that may find otherwise where something is kept.
    """

    decision: Decision
    place: int
    since: datetime | None
    wished: tuple[Outcome, str, str, tuple[str, ...]] | None = None
    contacts: dict[str, Ruling] = field(default_factory=dict)
    asked: tuple[Rule, ...] | None = None


class _Nothing:
    """In place of the attempts: there were none."""

    async def earlier(self, subject: str, since: datetime) -> tuple[Attempt, ...]:
        return ()


class _NoContact:
    """Asks the database, and forgets what it says of the subject."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, question: Callable[[Connection], T]) -> "asyncio.Future[T]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            found: Any = question(self._connection)
            answer.set_result(Dossier(NOTHING_KNOWN, found.figures))
        except (SQLAlchemyError, ContactError) as error:
            answer.set_exception(error)
        return answer


class ScrubJudge:
    """Rules on numbers for one tenant, purpose and moment. To be closed."""

    def __init__(
        self,
        known: Knowledge,
        connection: Connection,
        request: Request,
        tenant: Tenant,
        at: datetime,
        snapshots: Mapping[str, Snapshot],
        *,
        live: bool = False,
    ) -> None:
        """``request`` is a call to any number; ``connection`` is in a reading transaction that
        lasts as long as the judge. ``snapshots`` are those that ``known.registries`` answers by.
        ``live`` is whether ``at`` is this moment and no other: what is dated later was then
        entered by a clock that was ahead, and counts. Raises SQLAlchemyError."""
        self._known = replace(known, clock=StillClock(known.clock, at)) if live else known
        self._connection, self._live = connection, live
        self._request, self._tenant, self._at = request, tenant, at
        self._book = known.policy.of(tenant)
        purpose = read_purpose(request.purpose, tenant.settings.purpose)
        assert purpose is not None
        self._about = (purpose, request.contact_channel)
        self._runner = asyncio.Runner()
        nothing: Any = _Nothing()
        reads: Any = _NoContact(connection)
        self._bare = replace(self._known, opt_outs=OptOutImage(), attempts=nothing, reads=reads)
        self.sorts = Sorts(tenant.settings.home_region, known.home_region)
        self.by_digits = request.contact_channel != "email"
        self.rulings: list[Ruling] = []
        self._places: dict[Ruling, int] = {}
        self._read: OrderedDict[str, Read] = OrderedDict()
        asked = self._book.registries
        self._snapshots = [one for name, one in snapshots.items() if name in asked]
        self._answers = np.zeros((1, 3), np.int32) - 1
        self._answered = 1
        self._bases: dict[tuple[int, int], _Basis] = {}
        self._table = np.full((256, 4), -1, np.int32)
        since = _looks_back(self._book.rules, at)
        wished = known.opt_outs.numbers_against(tenant.id)
        self._kept = Kept(connection, tenant.id, wished, since, at)

    def close(self) -> None:
        self._runner.close()

    def read(self, text: str) -> Read:
        """Reads one text as ``decide`` would."""
        found = self._read.get(text)
        if found is None:
            if len(self._read) >= READ_TEXTS:
                self._read.popitem(last=False)
            found = self._read[text] = self._reading(text)
        return found

    def _reading(self, text: str) -> Read:
        request = replace(self._request, number=text)
        number = parties_of(self._bare, request, self._tenant).subject
        if not number.known:
            return Read(ruling=NO_NUMBER)
        if number.e164 is not None and self._again(number):
            return Read(self.sorts.number(Sort.of(number)), int(number.e164[1:]))
        # A short code or an address: there are few, and each is decided with all that is kept.
        decision = self._decided(self._known, request)
        return Read(ruling=ruling_of(decision.verdict), key=number.key)

    def _decided(self, known: Knowledge, request: Request) -> Decision:
        # Runner.run sets a handler for signals each time, which writes out the whole task in words.
        loop = self._runner.get_loop()
        at = None if self._live else self._at
        return loop.run_until_complete(decide(known, request, count=False, at=at))

    def _again(self, number: Number) -> bool:
        """Whether the E.164 form of a number is read as that very number."""
        assert number.e164 is not None
        read = parse_number(number.e164, self._tenant.settings.home_region)
        return read.e164 == number.e164 and Sort.of(read) == Sort.of(number)

    def rule(
        self, sorts: NDArray[np.int32], numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], Sequence[Ruling]]:
        """The ruling of each number; see ``optout.scrub.contract.Judge``. Raises SQLAlchemyError,
        RegistryError."""
        answers = self._answered_by(numbers)
        found = self._shared(sorts, answers, numbers)
        people = self._kept.find(numbers)
        if not len(people):
            return found, ()
        alone = self._ruled_alone(sorts[people], answers[people], numbers[people])
        some = [ruling for ruling in alone if ruling is not None]
        others = people[[ruling is not None for ruling in alone]]
        found[others] = np.arange(-1, -1 - len(some), -1, dtype=np.int32)
        return found, some

    def _answered_by(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """What all registries say of each number, as one small integer."""
        told = np.zeros(len(numbers), np.int32)
        for snapshot in self._snapshots:
            one = np.where(snapshot.covers_many(numbers), np.int32(0), np.int32(2))
            one[snapshot.holds_many(numbers)] = 1  # who is listed is listed, covered or not
            asked = told * np.int32(3) + one
            told = self._answers.reshape(-1).take(asked)
            if told.min(initial=0) < 0:
                for new in np.unique(asked[told < 0]).tolist():
                    self._answer(new)
                told = self._answers.reshape(-1).take(asked)
        return told

    def _answer(self, asked: int) -> None:
        if self._answered == len(self._answers):
            more = np.full_like(self._answers, -1)
            self._answers = np.concatenate((self._answers, more))
        self._answers.reshape(-1)[asked] = self._answered
        self._answered += 1

    def _shared(
        self, sorts: NDArray[np.int32], answers: NDArray[np.int32], numbers: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Where the ruling stands on each number of which nothing is kept."""
        height, width = self._table.shape
        if len(self.sorts.known) > height or self._answered > width:
            table = np.full(
                (max(height, 2 * len(self.sorts.known)), max(width, 2 * self._answered)), -1
            )
            table[:height, :width] = self._table
            self._table, width = table.astype(np.int32), table.shape[1]
        asked = sorts.astype(np.int64) * width + answers
        places = self._table.reshape(-1).take(asked)
        if places.min(initial=0) < 0:
            new, rows = np.unique(asked[places < 0], return_index=True)
            examples = numbers[places < 0][rows]
            for pair, number in zip(new.tolist(), examples.tolist(), strict=True):
                basis = self._basis(pair // width, pair % width, number)
                self._table.reshape(-1)[pair] = basis.place
            places = self._table.reshape(-1).take(asked)
        return places

    def _basis(self, sort: int, answer: int, number: int) -> _Basis:
        """The decision on a sort and answers, made on one such number."""
        found = self._bases.get((sort, answer))
        if found is None:
            request = replace(self._request, number=f"+{number}")
            decision = self._decided(self._bare, request)
            ruling = ruling_of(decision.verdict)
            place = self._places.setdefault(ruling, len(self.rulings))
            if place == len(self.rulings):
                self.rulings.append(ruling)
            facts = decision.facts
            since = None if facts is None else self._book.looks_back_to(facts)
            found = self._bases[sort, answer] = _Basis(decision, place, since)
        return found

    def _ruled_alone(
        self,
        sorts: NDArray[np.int32],
        answers: NDArray[np.int32],
        numbers: NDArray[np.int64],
    ) -> list[Ruling | None]:
        """The rulings on people of whom something is kept; None for that on all of their sort."""
        pairs = zip(sorts.tolist(), answers.tolist(), numbers.tolist(), strict=True)
        bases = [self._basis(*pair) for pair in pairs]
        kept = self._kept
        known = among(numbers, kept.contacts)
        contacts_of = kept.read_contacts(numbers[known])
        # Nobody need know of calls that no rule looks at.
        looked = known | np.fromiter((one.since is not None for one in bases), np.bool_, len(bases))
        attempts_of = kept.read_attempts(numbers[looked & among(numbers, kept.called)])
        wished = among(numbers, kept.wished)
        wishes = self._wishes(numbers[wished].tolist())
        return [
            self._alone_of(
                basis,
                next(wishes) if has_wish else (),
                contacts_of.get(number),
                attempts_of.get(number),
            )
            for basis, number, has_wish in zip(
                bases, numbers.tolist(), wished.tolist(), strict=True
            )
        ]

    def _wishes(self, numbers: Iterable[int]) -> Iterator[tuple[OptOut, ...]]:
        """The wishes of each that are about this contact. No rule looks at any other."""
        at, live, (purpose, channel) = self._at, self._live, self._about
        for wishes in self._known.opt_outs.of_many(numbers, self._tenant.id):
            yield tuple(
                [
                    wish
                    for wish in wishes
                    if (live or wish.since <= at) and wish.covers(purpose, channel)
                ]
            )

    def _alone_of(
        self,
        basis: _Basis,
        wishes: tuple[OptOut, ...],
        kept: str | None,
        calls: tuple[Attempt, ...] | None,
    ) -> Ruling | None:
        facts = basis.decision.facts
        if facts is None or basis.decision.verdict.emergency:
            return None
        if kept is None and (not calls or basis.since is None):
            return self._wished_ruling(basis, wishes) if wishes else None
        alike = None if kept is None or wishes or calls else kept
        if alike is not None and (found := basis.contacts.get(alike)) is not None:
            return found
        ruling = self._kept_ruling(basis, facts, wishes, kept, calls or ())
        if alike is not None:
            if len(basis.contacts) >= CONTACTS:
                basis.contacts.clear()
            basis.contacts[alike] = ruling
        return ruling

    def _kept_ruling(
        self,
        basis: _Basis,
        facts: CallFacts,
        wishes: tuple[OptOut, ...],
        kept: str | None,
        calls: tuple[Attempt, ...],
    ) -> Ruling:
        """The ruling by the same rules, on the facts with all that is kept."""
        try:
            contact = NOTHING_KNOWN if kept is None else _contact(kept)
        except ContactError as error:
            reason = f"what is known of the subject could not be read: {one_line(error)}"
            return ruling_of(refusal("gate.facts", reason))
        if self._live:
            contact = contact.by(self._at)
        known: dict[str, Any] = {**contact_facts(contact, facts.subject), "opt_outs": wishes}
        alike = known["place"] == facts.place and contact.kind == facts.subject_kind
        if not alike:
            facts = replace(facts, **known)
        since = basis.since if alike else self._book.looks_back_to(facts)
        if since is not None and calls:
            found = tuple(call for call in calls if call.at > since)[:MOST]
            known["attempts"] = no_later(found, self._at) if self._live else found
        facts = replace(facts, **known)
        if alike:
            return _anew(basis, facts)
        return ruling_of(self._book.decide(facts))

    def _wished_ruling(self, basis: _Basis, wishes: tuple[OptOut, ...]) -> Ruling:
        """The ruling on somebody of whom nothing else is kept. Only the moment and the way of the
        wish differ from one to the next, and only in the words."""
        shared = basis.wished
        reason = opt_out.reason_of(wishes)
        if shared is None:
            assert basis.decision.facts is not None
            facts = replace(basis.decision.facts, opt_outs=wishes)
            ruling = _anew(basis, facts)
            before, told, after = ruling.reason.partition(reason)
            if not told or ruling.reason.count(reason) != 1:
                return ruling
            basis.wished = shared = (ruling.outcome, before, after, ruling.rules)
        outcome, before, after, rules = shared
        return Ruling(outcome, f"{before}{reason}{after}", rules)


@lru_cache(maxsize=16_384)
def _contact(kept: str) -> Contact:
    """A contact as it is stored. Raises ContactError."""
    try:
        return Contact.read(json.loads(kept))
    except ValueError as error:
        raise ContactError(f"a contact cannot be read: {error}") from error


def _anew(basis: _Basis, facts: CallFacts) -> Ruling:
    """The ruling on somebody of whom something is kept, from the decision on a number of the same
    sort, place and kind of which nothing is. What a rule finds that looks at none of it stays as
    it was, and one that holds nobody back cannot but be lifted further."""
    findings = basis.decision.verdict.findings
    if basis.asked is None:
        basis.asked = tuple(
            finding.rule
            for finding in findings
            if finding.rule.kind not in UNTOUCHED or (finding.blocks and finding.rule.exemption)
        )
    anew = {finding.rule.id: finding for finding in judge(facts, basis.asked).findings}
    every = tuple([anew.get(finding.rule.id, finding) for finding in findings])
    return ruling_of(Verdict(not any(one.blocks for one in every), every))


def _looks_back(rules: Iterable[Rule], at: datetime) -> datetime | None:
    """From when on any rule may look at earlier calls; None where none does."""
    periods = (looks_back(rule.settings) for rule in rules)
    return min((RINGING.before(one.before(at)) for one in periods if one), default=None)
