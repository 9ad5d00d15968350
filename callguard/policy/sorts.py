"""The sort of a number: all that is read off it but its own digits.

A rule sees of a number where it lies and what line it is, and numbers are told apart for that by
the patterns of the numbering data alone. So of all texts of so many digits that these patterns
take alike, one is read with ``parse_number`` and stands for the rest. What cannot be proved to be
alike is ``SLOW``: it is read one by one. A text here is its digits, with or without a plus before
them; the punctuation that ``parse_number`` takes between them changes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    PhoneNumberDesc,
    country_code_for_region,
    region_code_for_country_code,
)
from phonenumbers.shortdata import _AVAILABLE_REGION_CODES as SHORT_REGIONS
from phonenumbers.tzdata import TIMEZONE_DATA

from callguard.policy.area_codes import states_of
from callguard.policy.automaton import Automaton
from callguard.policy.numbers import (
    MAX_SHORT,
    Number,
    is_doubtful,
    parse_number,
    read_nationally,
)
from callguard.policy.patterns import (
    Doubt,
    Machine,
    Opening,
    Pattern,
    Prefixes,
    UnprovableError,
    anchored,
    widths,
)
from callguard.policy.zones import ALSO_IN

SHORTEST: Final = MAX_SHORT + 1
LONGEST: Final = 15
"""How many digits a text has that is read by its sort."""

UNKNOWN: Final = -1
"""No number is meant."""

SLOW: Final = -2
"""To be read one by one."""

_OPENING = 6
"""Most digits of a prefix that are remembered one by one."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What is known of a number beside its digits; the words are those of ``Number``."""

    region: str | None
    line: str
    subdivisions: tuple[str, ...]
    zones: tuple[str, ...]

    @classmethod
    def of(cls, number: Number) -> "Sort":
        return cls(number.region, number.line, number.subdivisions, number.zones)

    def number(self, e164: str) -> Number:
        """A number of this sort, as ``parse_number`` reads it from its E.164 form."""
        return Number(
            e164,
            e164,
            e164=e164,
            region=self.region,
            line=self.line,
            subdivisions=self.subdivisions,
            zones=self.zones,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """How digits without a plus are read: without the first ``strip`` of them they are a number of
    the calling code ``code``, or, where that is None, begin with a calling code."""

    strip: int
    code: int | None


SLOWLY: Final = Reading(-1, None)


class Sorts:
    """The sorts met so far, by number, and the automata that tell them."""

    def __init__(self, home_region: str, here: str | None = None) -> None:
        """``home_region`` is whose national forms are read, ``here`` where the PBX stands, whose
        emergency numbers count too."""
        self.home_region = home_region
        self.known: list[Sort] = []
        self._numbers: dict[Sort, int] = {}
        self._sorts: dict[tuple[int, int], int] = {}
        self._readings: dict[tuple[int, int], Reading] = {}
        self.international = _international()
        self.national: Automaton | None = None
        self._offsets: tuple[int, ...] = ()
        self._code = country_code_for_region(home_region)
        if all(map(_short_is_short, {home_region, here or home_region})):
            try:
                machines, self._offsets = _national(home_region, self._code)
                self.national = Automaton(machines)
            except UnprovableError:
                pass

    def number(self, sort: Sort) -> int:
        """The number under which a sort is known from now on."""
        found = self._numbers.setdefault(sort, len(self.known))
        if found == len(self.known):
            self.known.append(sort)
        return found

    def international_sort(self, told: int, digits: str) -> int:
        """The sort of the E.164 digits that ``international`` settled as ``told``, of which these
        are some; or ``UNKNOWN`` or ``SLOW``. Of any other number than that of its very digits
        nothing is said."""
        found = self._sorts.get((told, len(digits)))
        if found is None:
            found = self._sorts[told, len(digits)] = self._international_sort(told, digits)
        return found

    def _international_sort(self, told: int, digits: str) -> int:
        if any(value is _DOUBT for _, value in self.international.told[told]):
            return SLOW
        read = parse_number(f"+{digits}", self.home_region)
        if not read.known:
            return UNKNOWN
        return self.number(Sort.of(read)) if read.e164 == f"+{digits}" else SLOW

    def reading(self, told: int, digits: str) -> Reading:
        """How digits are read that ``national`` settled as ``told``, of which these are some."""
        found = self._readings.get((told, len(digits)))
        if found is None:
            found = self._readings[told, len(digits)] = self._reading(told, digits)
        return found

    def _reading(self, told: int, digits: str) -> Reading:
        assert self.national is not None
        values = dict(self.national.told[told])
        if any(value is _DOUBT for value in values.values()):
            return SLOWLY
        abroad = values.get(0)
        if isinstance(abroad, tuple) and not abroad[1]:
            return Reading(abroad[0], None)
        read = parse_number(digits, self.home_region)
        if read.emergency or read.line == "short":
            return SLOWLY
        national = read_nationally(digits, self.home_region)
        if national is not None and is_doubtful(digits, national):
            return SLOWLY  # other digits of the sort may be a number abroad, or none
        if not read.known or read.e164 == f"+{digits}":
            return Reading(0, None)
        for strip in self._offsets:
            if read.e164 == f"+{self._code}{digits[strip:]}":
                return Reading(strip, self._code)
        return SLOWLY

    def of(self, digits: str, *, plus: bool) -> tuple[int, str]:
        """The sort of a text and its E.164 digits; or ``UNKNOWN`` or ``SLOW`` and nothing."""
        if not SHORTEST <= len(digits) <= LONGEST:
            return SLOW, ""
        if plus:
            sort = self.international_sort(_told(self.international, digits), digits)
            return (sort, digits) if sort >= 0 else (sort, "")
        if self.national is None:
            return SLOW, ""
        read = self.reading(_told(self.national, digits), digits)
        if read is SLOWLY:
            return SLOW, ""
        meant = f"{read.code or ''}{digits[read.strip :]}"
        if len(meant) < SHORTEST:
            return SLOW, ""
        sort, found = self.of(meant, plus=True)
        return (sort if sort >= 0 else if_unknown(sort, read, digits)), found


def if_unknown(sort: int, read: Reading, digits: str) -> int:
    """What a text is whose reading is no number. Where a way out of the country was left off, or
    the country's own code was added, the digits as they stand may yet be one."""
    whole = read.strip == 0 and read.code is None
    return sort if whole or (read.code is None and digits[:1] == "0") else SLOW


def _told(automaton: Automaton, digits: str) -> int:
    state = automaton.start
    for digit in digits:
        state = automaton.step(state, int(digit))
    return automaton.settled(state, 0)


class _Doubtful:
    """What stands for a prefix that may be left off in a way that is not followed here."""


_DOUBT = _Doubtful()


class _Doubt(Doubt):
    def value(self, state: int) -> object:
        return None if super().value(state) is None else _DOUBT


class _International(Automaton):
    """Reads the digits after a plus. The machines of a country are made when its code is met."""

    def __init__(self) -> None:
        self._codes: list[str] = [""]
        super().__init__(())
        self._states[0] = ((-1, 0),)
        self._numbers = {self._states[0]: 0}

    def _reach(self, state: int, digit: int) -> None:
        present = self._states[state]
        if present and present[0][0] < 0:
            code = f"{self._codes[present[0][1]]}{digit}"
            self._steps[state][digit] = self._begun(code)
        else:
            super()._reach(state, digit)

    def _begun(self, code: str) -> int:
        """The state after these first digits."""
        if int(code) in COUNTRY_CODE_TO_REGION_CODE and code[0] != "0":
            first = len(self.machines)
            self.machines += _of_code(int(code))
            opened = enumerate(self.machines[first:], first)
            return self._number(tuple((place, one.start) for place, one in opened))
        if len(code) == 3 or code[0] == "0":
            self.machines.append(_Always())  # no such code: retried by the library in its own way
            return self._number(((len(self.machines) - 1, 1),))
        self._codes.append(code)
        return self._number(((-1, len(self._codes) - 1),))


@lru_cache(maxsize=1)
def _international() -> _International:
    """The one there is: it learns, but what it tells does not depend on who asked before."""
    return _International()


class _Always:
    """Doubts everything."""

    start = 1

    def row(self, state: int) -> Sequence[int]:
        return (state,) * 10

    def value(self, state: int) -> object:
        return _DOUBT


def _of_code(code: int) -> list[Machine]:
    """What reads the digits after a calling code."""
    try:
        main = _metadata(code, region_code_for_country_code(code))
        machines: list[Machine] = [Pattern(text) for text in sorted(_patterns(code))]
        machines += [Opening(text) for text in sorted(_leading(code))]
        if main.national_prefix_for_parsing:
            machines.append(_Doubt(main.national_prefix_for_parsing))
    except UnprovableError:
        return [_Always()]
    return [*machines, _places(str(code))]


def _places(code: str) -> Prefixes:
    """Tells the time zones and the state of the numbers of a calling code."""
    prefixes = {key for key in TIMEZONE_DATA if key.startswith(code)}
    prefixes |= {key for key, _ in ALSO_IN if key.startswith(code)}
    if code == "1":
        prefixes |= {f"1{area}" for area in range(200, 1000) if states_of(f"+1{area}")}
    zones = {key: TIMEZONE_DATA.get(key) for key in prefixes}
    values: dict[str, object] = {}
    for key in sorted(prefixes, key=len):
        within = [zones[key[:end]] for end in range(1, len(key) + 1) if zones.get(key[:end])]
        also = tuple(one for one, _ in ALSO_IN if key.startswith(one))
        values[key] = (within[-1:], also, states_of(f"+{key}") if code == "1" else ())
    # Something is always told, so that no two calling codes are taken for one.
    return Prefixes({"": code, **{key: repr(value) for key, value in values.items()}}, code)


def _national(region: str, code: int) -> tuple[list[Machine], tuple[int, ...]]:
    """What reads digits without a plus, the way out of the country first, and how many digits may
    be left off them. Raises UnprovableError."""
    home, main = _metadata(code, region), _metadata(code, region_code_for_country_code(code))
    way_out = home.international_prefix or ""
    machines: list[Machine] = []
    if way_out and not anchored(way_out) and widths(way_out)[1] <= _OPENING:
        machines.append(Opening(way_out))
    else:
        machines.append(_Doubt(way_out) if way_out else Prefixes({}))
    machines += [Opening(str(code)), Opening("0")]
    offsets = {0, len(str(code))}
    for metadata in (home, main):
        prefix = metadata.national_prefix_for_parsing
        if not prefix:
            continue
        least, most = widths(prefix)
        plain = not metadata.national_prefix_transform_rule and not anchored(prefix)
        if plain and most <= _OPENING:
            machines.append(Opening(prefix))
            offsets.update(range(least, most + 1))
        else:
            machines.append(_Doubt(prefix))
        machines.append(_Doubt(f"{code}(?:{prefix})"))
    for offset in sorted(offsets):
        machines += [Pattern(rf"\d{{{offset}}}(?:{one})") for one in sorted(_patterns(code))]
        machines += [Opening(rf"\d{{{offset}}}(?:{one})") for one in sorted(_leading(code))]
    return machines, tuple(sorted(offsets))


def _metadata(code: int, region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    assert found is not None
    return found


def _all_metadata(code: int) -> Iterator[PhoneMetadata]:
    for region in COUNTRY_CODE_TO_REGION_CODE[code]:
        yield _metadata(code, region)


def _patterns(code: int) -> set[str]:
    """Every pattern that the kind or the region of a number of a calling code is told by."""
    return {
        desc.national_number_pattern
        for metadata in _all_metadata(code)
        for desc in _descriptions(metadata)
        if desc.national_number_pattern
    }


def _leading(code: int) -> set[str]:
    """The beginnings by which the regions of a calling code are told apart."""
    return {one.leading_digits for one in _all_metadata(code) if one.leading_digits}


def _descriptions(metadata: PhoneMetadata) -> Iterable[PhoneNumberDesc]:
    found = (getattr(metadata, name) for name in dir(metadata) if not name.startswith("_"))
    return [one for one in found if isinstance(one, PhoneNumberDesc)]


def _short_is_short(region: str) -> bool:
    """Whether every emergency number of a region is shorter than any text that is read here."""
    if region not in SHORT_REGIONS:
        return True
    metadata = PhoneMetadata.short_metadata_for_region(region)
    if metadata is None or metadata.emergency is None:
        return True
    pattern = metadata.emergency.national_number_pattern
    try:
        return not pattern or widths(pattern)[1] < SHORTEST
    except (UnprovableError, ValueError):
        return False
