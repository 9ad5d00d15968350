"""What becomes of a data class when a tenant's contract ends. Pure.

Whatever stays longer than a month needs a basis (a law, a contract, a dispute) and an end: nobody
keeps without saying why and until when.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, get_args

from callguard.policy.span import Span
from callguard.retention.classes import A_MONTH, CLASSES

Action = Literal["delete", "archive", "keep"]
"""``delete`` takes it away; ``archive`` moves what a law asks for into a sealed archive and takes
the rest away; ``keep`` leaves it as it is. Each has an end."""

_KEYS = frozenset({"action", "after", "until", "basis"})


@dataclass(frozen=True, slots=True)
class AtEnd:
    """``after`` counts from the end of the contract, ``until`` is the last day on which something
    is left; one of the two says when all is gone. ``basis`` is why it stays."""

    action: Action
    after: Span | None = None
    until: date | None = None
    basis: str = ""

    @classmethod
    def parse(cls, value: object) -> "AtEnd":
        """From what ``as_json`` made, or what somebody wrote. Raises ValueError, in one line."""
        if not isinstance(value, Mapping):
            raise ValueError("what becomes of a class at the end is a table")  # noqa: TRY004
        if unknown := sorted(map(str, value.keys() - _KEYS)):
            raise ValueError(f"there is no such key: {unknown[0]!r}")
        action: Action | None = next(
            (one for one in get_args(Action) if one == value.get("action")), None
        )
        if action is None:
            raise ValueError(f"{value.get('action')!r} is none of delete, archive and keep")
        after, until = value.get("after"), value.get("until")
        match value.get("basis"):
            case None:
                basis = ""
            case str(words):
                basis = words
            case other:
                raise ValueError(f"{other!r} is no basis in words")
        found = cls(
            action,
            None if after is None else Span.parse(after),
            None if until is None else _day(until),
            basis.strip(),
        )
        found.check()
        return found

    def check(self) -> None:
        """Raises ValueError, in one line, where it has no end, two, or no basis that it needs."""
        if self.after is not None and self.until is not None:
            raise ValueError("an end is a length of time or a day, not both")
        if self.after is None and self.until is None:
            missing = "a basis and an end date" if not self.basis else "an end date"
            raise ValueError(f"{self.action} needs {missing}")
        if self.basis:
            return
        if self.action != "delete":
            raise ValueError(f"{self.action} needs a basis and an end date")
        if self.after is None or self.after.may_exceed(A_MONTH):
            raise ValueError(f"what stays longer than {A_MONTH} after the end needs a basis")

    def gone_at(self, ended: datetime, zone: tzinfo = UTC) -> datetime:
        """From when on nothing is left, where the contract ended then; not before that."""
        if self.after is not None:
            return self.after.after(ended, zone)
        if self.until is None or self.until == date.max:
            return datetime.max.replace(tzinfo=UTC)
        night = datetime.combine(self.until + timedelta(days=1), time(), tzinfo=zone)
        return max(ended.astimezone(UTC), night.astimezone(UTC))

    def as_json(self) -> dict[str, object]:
        return {
            "action": self.action,
            "after": None if self.after is None else str(self.after),
            "until": None if self.until is None else self.until.isoformat(),
            "basis": self.basis,
        }

    def in_words(self) -> str:
        """``deleted 30 days after the end``."""
        done = {"delete": "deleted", "archive": "archived, and gone", "keep": "kept, and gone"}
        when = (
            f"{self.after.in_words()} after the end"
            if self.after is not None
            else f"after {self.until}"
        )
        return f"{done[self.action]} {when}" + (f" ({self.basis})" if self.basis else "")


def at_end_of(data_class: str, chosen: object = None) -> AtEnd:
    """What the tenant chose for a class, as it is stored; where nothing, deletion when the class
    says. Raises ValueError where what is stored cannot be read."""
    if chosen is None:
        return AtEnd("delete", CLASSES[data_class].at_end)
    return AtEnd.parse(chosen)


def _day(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{value!r} is no day such as 2030-12-31") from None
