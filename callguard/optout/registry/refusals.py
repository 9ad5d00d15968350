"""Why a list is not taken. Pure: what was read and what is in use in, RegistryError out.

Whatever is refused here leaves the snapshot in use as it is. The lists of the authorities come cut
short, doubled, of the wrong day and for the wrong place; a list that is taken wrongly lets calls
through that the law forbids, one that is refused wrongly goes stale with an alarm.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from callguard.optout.registry.contract import Coverage, Format, RegistryError

FIRST_TO_SEE_A_DAY = timezone(timedelta(hours=14))
"""Where a day begins first (the Line Islands): a list dated after their day is of the future."""

TOLD = 3
"""Most prefixes that one line names."""

UK = ("+44",)


@dataclass(frozen=True, slots=True)
class Fall:
    """A prefix, or "" for all that both lists cover, with the numbers it had and would have."""

    prefix: str
    before: int
    after: int

    def __str__(self) -> str:
        share = (self.before - self.after) / self.before
        where = f"{self.prefix} has" if self.prefix else "the list has"
        return f"{where} {self.after} numbers, the present one {self.before} ({share:.1%} fewer)"


def list_date(given: date | None, told: Iterable[tuple[str, date | None]]) -> date:
    """The date of a list: the given one, or the one that the files' names bear. ``told`` are the
    files, each with the date in its name. Raises RegistryError where there is none or they
    differ."""
    source, found = "the date given", given
    for name, day in told:
        if day is None:
            continue
        if found is None:
            source, found = name, day
        elif day != found:
            raise RegistryError(f"{name} is of {day}, {source} is of {found}")
    if found is None:
        raise RegistryError("no file name bears the date of the list: give it with --date")
    return found


def check_date(day: date, present: date | None, now: datetime) -> None:
    """Raises RegistryError for a list of the future, and one older than that in use."""
    latest = now.astimezone(FIRST_TO_SEE_A_DAY).date()
    if day > latest:
        raise RegistryError(f"the list is dated {day}, which is in the future")
    if present is not None and day < present:
        raise RegistryError(f"the list is dated {day}, the present one {present}")


def coverage(
    list_format: Format, asked: Sequence[str], told: Sequence[tuple[str, Sequence[str]]]
) -> Coverage:
    """What a list can speak for. ``asked`` is what the operator says of it, ``told`` are the
    files, each with the prefixes it says it is about.

    Where every file says so, the list covers no more than that: a file that was forgotten must not
    make its numbers clear. Raises RegistryError where nobody says it, where a file is about
    something else than the operator says, or where one is missing.
    """
    wanted = normal(asked)
    if told and all(prefixes for _, prefixes in told):
        found = {p for name, prefixes in told for p in _both(name, normal(prefixes), wanted)}
        missing = [w for w in wanted if not any(p.startswith(w) for p in found)]
        if missing:
            raise RegistryError(f"no file is about {short(missing)}, which the list is to cover")
        return Coverage(normal(found))
    if wanted:
        return Coverage(wanted)
    if list_format == "uk-tps":
        return Coverage(UK)
    raise RegistryError(
        "nothing says which prefixes the list covers: give them with --covers, such as +44"
    )


def _both(name: str, told: Sequence[str], wanted: tuple[str, ...]) -> Iterator[str]:
    """The prefixes that a file is about and the list is to cover. Raises RegistryError for one of
    the file's that is not to be covered in any part."""
    for prefix in told:
        if not wanted or prefix.startswith(wanted):
            yield prefix
        elif narrower := [w for w in wanted if w.startswith(prefix)]:
            yield from narrower
        else:
            raise RegistryError(f"{name} is about {prefix}, the list is to cover {short(wanted)}")


def normal(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The prefixes in order, each once, without those that another one includes."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def short(prefixes: Sequence[str], most: int = TOLD) -> str:
    """The first few of them, and how many more there are."""
    told = ", ".join(prefixes[:most])
    return f"{told} and {len(prefixes) - most} more" if len(prefixes) > most else told


def check_lines(file: str, lines: int, bad: int, most: float) -> None:
    """Raises RegistryError where too many lines of a file hold no number."""
    if bad > most * lines:
        raise RegistryError(f"{file}: {bad} of {lines} lines hold no number ({_share(bad, lines)})")


def check_any(lines: int) -> None:
    """Raises RegistryError for a list of nothing: no authority has one."""
    if not lines:
        raise RegistryError("there is no number in the list")


def check_doubled(numbers: int, distinct: int, most: float) -> None:
    """Raises RegistryError where too many numbers stand in the list more than once."""
    doubled = numbers - distinct
    if doubled > most * numbers:
        raise RegistryError(
            f"{doubled} of {numbers} numbers stand there more than once "
            f"({_share(doubled, numbers)}): the list is doubled"
        )


def check_outside(outside: int, numbers: int, covered: Coverage, most: float) -> None:
    """Raises RegistryError where too many numbers lie outside what the list is to cover."""
    if outside > most * numbers:
        raise RegistryError(
            f"{outside} of {numbers} numbers ({_share(outside, numbers)}) do not begin with "
            f"{short(covered.prefixes)}: it is the wrong list, or covers something else"
        )


def check_fit(misfits: int, changes: int, most: float) -> None:
    """Raises RegistryError where a change list adds what is there and removes what is not."""
    if misfits > most * changes:
        raise RegistryError(
            f"{misfits} of {changes} changes ({_share(misfits, changes)}) were so before: "
            "the change list is not of the present list"
        )


def check_sum(file: str, digest: str, sums: Mapping[str, str] | None) -> None:
    """Raises RegistryError where a file is not the one that the checksums are of."""
    if sums is None:
        return
    wanted = sums.get(file)
    if wanted is None:
        raise RegistryError(f"{file}: the checksums do not name it")
    if wanted != digest:
        raise RegistryError(f"{file}: its SHA-256 is {digest}, the checksums say {wanted}")


def lost(before: Coverage, after: Coverage) -> tuple[str, ...]:
    """The prefixes that a list no longer speaks for."""
    return tuple(p for p in before.prefixes if not after.covers(p))


def falls(
    before: Mapping[str, int],
    after: Coverage,
    count: Callable[[str], int],
    most: float,
) -> tuple[Fall, ...]:
    """Where a list is too much shorter than the present one. ``before`` are the present one's
    numbers by covered prefix, ``count`` says how many the new one has of a prefix; compared is
    only what both cover. In all first, then the prefixes, the worst first."""
    pairs = [Fall(p, had, count(p)) for p, had in before.items() if after.covers(p)]
    total = Fall("", sum(f.before for f in pairs), sum(f.after for f in pairs))
    fallen = [f for f in (total, *pairs) if f.before - f.after > most * f.before]
    return tuple(sorted(fallen, key=lambda f: (f.prefix != "", f.after / f.before, f.prefix)))


def told_falls(missing: Sequence[str], fallen: Sequence[Fall]) -> str:
    """What is smaller than before, in one line; "" where nothing is."""
    told = [f"{short(missing)} is no longer covered"] if missing else []
    if fallen:
        more = f", and {len(fallen) - TOLD} prefixes more" if len(fallen) > TOLD else ""
        told.append(", ".join(map(str, fallen[:TOLD])) + more)
    return "; ".join(told)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}"
