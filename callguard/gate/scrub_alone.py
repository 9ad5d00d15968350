"""Ruling on those of whom something is kept: a wish, a contact of the tenant, late calls. Each is
decided alone, by the rules and the facts of all other numbers of that sort."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from callguard.contacts.contact import NOTHING_KNOWN, Contact, ContactError
from callguard.gate.decide import no_later
from callguard.gate.dossier import contact_facts
from callguard.gate.kept import Kept, among
from callguard.gate.scrub_basis import Basis, anew, ruling_of
from callguard.optout.image import OptOutImage
from callguard.optout.scrub.contract import Ruling
from callguard.policy.facts import Attempt, CallFacts, Channel, OptOut, Purpose
from callguard.policy.kinds import opt_out
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import refusal
from callguard.storage.attempts import MOST
from callguard.storage.faults import one_line

CONTACTS: Final = 1_000
"""Most rulings on contacts of one sort that are remembered."""


class Alone:
    """For one tenant, contact and moment."""

    def __init__(
        self,
        opt_outs: OptOutImage,
        tenant: str,
        kept: Kept,
        book: Rulebook,
        about: tuple[Purpose, Channel],
        at: datetime,
        *,
        live: bool,
    ) -> None:
        self._opt_outs, self._tenant = opt_outs, tenant
        self._kept, self._book, self._about = kept, book, about
        self._at, self._live = at, live

    def find(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of those of whom anything is kept."""
        return self._kept.find(numbers)

    def rule(self, bases: Sequence[Basis], numbers: NDArray[np.int64]) -> list[Ruling | None]:
        """The rulings on such people, each with what is decided of its sort; None for that very
        decision. Raises SQLAlchemyError."""
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
        for wishes in self._opt_outs.of_many(numbers, self._tenant):
            yield tuple(
                [
                    wish
                    for wish in wishes
                    if (live or wish.since <= at) and wish.covers(purpose, channel)
                ]
            )

    def _alone_of(
        self,
        basis: Basis,
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
        basis: Basis,
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
            return anew(basis, facts)
        return ruling_of(self._book.decide(facts))

    def _wished_ruling(self, basis: Basis, wishes: tuple[OptOut, ...]) -> Ruling:
        """The ruling on somebody of whom nothing else is kept. Only the moment and the way of the
        wish differ from one to the next, and only in the words."""
        shared = basis.wished
        reason = opt_out.reason_of(wishes)
        if shared is None:
            assert basis.decision.facts is not None
            facts = replace(basis.decision.facts, opt_outs=wishes)
            ruling = anew(basis, facts)
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
