"""Whom a tenant may call, of very many numbers: what ``decide`` says of each, uncounted.

What a rule sees of a number of which nothing is kept is its sort and what the registries say of
it. Each such pair is decided once, by ``decide`` itself. Whoever opted out, is a contact of the
tenant or was called lately is decided alone, by the same rules and the same facts.

All of it is as it was when the judge was made: what is entered afterwards is not seen.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import StillClock
from callguard.contacts.contact import NOTHING_KNOWN, ContactError
from callguard.gate.decide import Decision, decide
from callguard.gate.dossier import Dossier
from callguard.gate.kept import Kept
from callguard.gate.knowledge import Knowledge
from callguard.gate.parties import parties_of
from callguard.gate.request import Request, read_purpose
from callguard.gate.scrub_alone import Alone
from callguard.gate.scrub_answers import Answers, Snapshot
from callguard.gate.scrub_basis import Basis, ruling_of
from callguard.optout.image import OptOutImage
from callguard.optout.scrub.contract import NO_NUMBER, Read, Ruling
from callguard.policy.facts import Attempt
from callguard.policy.numbers import Number, parse_number
from callguard.policy.rulebook import RINGING, looks_back
from callguard.policy.rules import Rule
from callguard.policy.sorts import Sort, Sorts
from callguard.tenants.tenant import Tenant

T = TypeVar("T")

READ_TEXTS: Final = 100_000
"""Most texts whose reading is remembered."""


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
        self._request, self._tenant = request, tenant
        self._at, self._live = at, live
        self._book = known.policy.of(tenant)
        purpose = read_purpose(request.purpose, tenant.settings.purpose)
        assert purpose is not None
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
        self._answers = Answers([one for name, one in snapshots.items() if name in asked])
        self._bases: dict[tuple[int, int], Basis] = {}
        self._table = np.full((256, 4), -1, np.int32)
        since = _looks_back(self._book.rules, at)
        wished = known.opt_outs.numbers_against(tenant.id)
        kept = Kept(connection, tenant.id, wished, since, at)
        about = (purpose, request.contact_channel)
        self._alone = Alone(known.opt_outs, tenant.id, kept, self._book, about, at, live=live)

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
        answers = self._answers.to(numbers)
        found = self._shared(sorts, answers, numbers)
        people = self._alone.find(numbers)
        if not len(people):
            return found, ()
        those = (sorts[people].tolist(), answers[people].tolist(), numbers[people].tolist())
        bases = [self._basis(*one) for one in zip(*those, strict=True)]
        alone = self._alone.rule(bases, numbers[people])
        some = [ruling for ruling in alone if ruling is not None]
        others = people[[ruling is not None for ruling in alone]]
        found[others] = np.arange(-1, -1 - len(some), -1, dtype=np.int32)
        return found, some

    def _shared(
        self, sorts: NDArray[np.int32], answers: NDArray[np.int32], numbers: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """Where the ruling stands on each number of which nothing is kept."""
        height, width = self._table.shape
        if len(self.sorts.known) > height or self._answers.known > width:
            table = np.full(
                (max(height, 2 * len(self.sorts.known)), max(width, 2 * self._answers.known)), -1
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

    def _basis(self, sort: int, answer: int, number: int) -> Basis:
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
            found = self._bases[sort, answer] = Basis(decision, place, since)
        return found


def _looks_back(rules: Iterable[Rule], at: datetime) -> datetime | None:
    """From when on any rule may look at earlier calls; None where none does."""
    periods = (looks_back(rule.settings) for rule in rules)
    return min((RINGING.before(one.before(at)) for one in periods if one), default=None)
