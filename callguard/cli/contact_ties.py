"""What ties a subject to a tenant, as it is typed."""

from dataclasses import dataclass
from datetime import datetime

from callguard.cli.arguments import maybe, read_past
from callguard.contacts.contact import Contact, ContactError
from callguard.policy.facts import RelationKind, Relationship


@dataclass(frozen=True, slots=True)
class Tie:
    kind: RelationKind
    since: datetime | None
    until: datetime | None

    def added(self, contact: Contact) -> Contact:
        """With this tie; or, where only an end is known, with those of its kind ended."""
        if self.since is not None:
            if Relationship(self.kind, self.since, self.until) in contact.relationships:
                return contact
            return contact.related(self.kind, self.since, self.until)
        assert self.until is not None
        ended = contact.ended(self.kind, self.until)
        if ended == contact:
            raise ContactError(f"no {self.kind} is known that had not ended by then")
        return ended


def event(kind: RelationKind, text: str | None, now: datetime) -> Tie | None:
    """What happens in a moment is over with it."""
    if text is None:
        return None
    moment = read_past(text, now)
    return Tie(kind, moment, moment)


def stretch(
    kind: RelationKind, since: str | None, until: str | None, now: datetime | None = None
) -> Tie | None:
    """What lasts; with ``now`` it has begun, and has no length where no end is given."""
    begun = maybe(since) if since is None or now is None else read_past(since, now)
    over = maybe(until)
    if begun is None and over is None:
        return None
    return Tie(kind, begun, begun if over is None and now is not None else over)
