"""What numbers share that are read alike: the very same as each of them is read alone."""

import random
import re
from collections.abc import Iterator

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberFormat

from callguard.policy.automaton import OPEN, Automaton
from callguard.policy.numbers import parse_number
from callguard.policy.patterns import Doubt, Opening, Pattern, Prefixes, UnprovableError, widths
from callguard.policy.sorts import SLOW, UNKNOWN, Sort, Sorts

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
FAST = ("US", "CA", "GB", "DE", "FR", "NL", "IL", "RU", "IT", "ES", "IN")


def typed(rng: random.Random, home: str) -> Iterator[tuple[str, bool]]:
    """Texts near the numbers that the numbering data gives as examples, as they are dialled."""
    kinds = range(11)
    while True:
        region = rng.choice([home, home, rng.choice(REGIONS), "US", "GB", "KZ", "VA", "SJ"])
        example = phonenumbers.example_number_for_type(region, rng.choice(kinds))
        if example is None:
            example = phonenumbers.example_number_for_non_geo_entity(
                rng.choice(sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
            )
        assert example is not None
        national = phonenumbers.national_significant_number(example)
        kept = rng.randint(0, len(national))
        national = national[:kept] + "".join(rng.choice("0123456789") for _ in national[kept:])
        national = national[: len(national) - rng.choice([0] * 15 + [1])]
        national += rng.choice([""] * 15 + ["7"])
        code = str(example.country_code)
        metadata = PhoneMetadata.metadata_for_region(home)
        assert metadata is not None
        way_out = metadata.international_prefix or "00"
        way_out = way_out if way_out.isdigit() else "00"
        text, plus = rng.choice(
            [
                (national, False),
                (f"{metadata.national_prefix or '0'}{national}", False),
                (f"{code}{national}", True),
                (f"{code}{national}", False),
                (f"{way_out}{code}{national}", False),
                ("".join(rng.choice("0123456789") for _ in range(rng.randint(7, 15))), True),
                ("".join(rng.choice("0123456789") for _ in range(rng.randint(7, 15))), False),
            ]
        )
        if 7 <= len(text) <= 15:
            yield text, plus


def check(sorts: Sorts, text: str, *, plus: bool, home: str) -> int:
    """Compares a text read by its sort with the same read alone; returns its sort."""
    sort, digits = sorts.of(text, plus=plus)
    if sort == SLOW:
        return sort
    read = parse_number(f"{'+' if plus else ''}{text}", home)
    if sort == UNKNOWN:
        assert not read.known, text
    else:
        assert read.e164 == f"+{digits}", text
        assert Sort.of(read) == sorts.known[sort], text
        assert sorts.known[sort].number(f"+{digits}") == parse_number(f"+{digits}", home)
    return sort


@pytest.mark.parametrize("seed", range(4))
def test_numbers_of_any_country_typed_in_any_have_the_sort_that_they_have_alone(seed: int) -> None:
    rng = random.Random(seed)
    for home in rng.sample(REGIONS, 10):
        sorts = Sorts(home, rng.choice(REGIONS))
        texts = typed(rng, home)
        for _ in range(300):
            text, plus = next(texts)
            check(sorts, text, plus=plus, home=home)


@pytest.mark.parametrize("home", FAST)
def test_ordinary_numbers_of_these_countries_are_read_by_their_sort(home: str) -> None:
    rng = random.Random(home)
    sorts = Sorts(home)
    slow = total = 0
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        example = phonenumbers.example_number_for_type(home, kind)
        assert example is not None
        for _ in range(100):
            number = phonenumbers.PhoneNumber(
                example.country_code,
                int(f"{str(example.national_number)[:-3]}{rng.randrange(1000):03}"),
                italian_leading_zero=example.italian_leading_zero,
                number_of_leading_zeros=example.number_of_leading_zeros,
            )
            e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            if not parse_number(e164, home).known:
                continue
            local = re.sub(
                r"\D", "", phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
            )
            for text, plus in ((e164[1:], True), (local, False)):
                total += 1
                slow += check(sorts, text, plus=plus, home=home) == SLOW
    assert total > 100
    assert slow == 0


def test_all_exchanges_of_an_area_are_few_sorts() -> None:
    sorts = Sorts("US")
    for area in ("202", "907", "850", "684", "264", "800", "900"):
        for exchange in range(200, 1000, 7):
            check(sorts, f"{area}{exchange}0123", plus=False, home="US")
            check(sorts, f"1{area}{exchange}0123", plus=True, home="US")
    assert len(sorts.known) < 40


@pytest.mark.parametrize("home", ["US", "GB", "IL", "AU", "AG"])
def test_short_and_long_texts_and_those_in_an_emergency_are_left_to_be_read_alone(
    home: str,
) -> None:
    sorts = Sorts(home)
    for text in ("911", "112", "999", "123456", "0" * 16):
        assert sorts.of(text, plus=False) == (SLOW, "")


TEXT = st.text("0123456789", max_size=9)
EXPRESSIONS = (
    r"[2-9]\d{3}",
    r"1(?:2|3[4-6])?\d{2,4}",
    r"(?:20|3\d)[0-57]{2}(?:1|22)",
    r"(\d{2})?0|7(?:8|90)",
    r"268",
)


@settings(max_examples=300)
@given(st.sampled_from(EXPRESSIONS), TEXT)
def test_a_pattern_matches_what_the_expression_matches(expression: str, text: str) -> None:
    pattern = Pattern(expression)
    state = pattern.start
    for digit in text:
        state = pattern.row(state)[int(digit)]
    assert pattern.accepts(state) == (re.fullmatch(expression, text) is not None)


@settings(max_examples=300)
@given(st.sampled_from(EXPRESSIONS), TEXT)
def test_an_opening_ends_where_a_match_ends(expression: str, text: str) -> None:
    opening, doubt = Opening(expression), Doubt(expression)
    state, other = opening.start, doubt.start
    for digit in text:
        state, other = opening.row(state)[int(digit)], doubt.row(other)[int(digit)]
    found = re.match(expression, text)
    if found is None:
        assert opening.value(state) is None
    else:
        assert opening.value(state) == (found.end(), text[found.end() :][:1] == "0")
        assert doubt.value(other)


@settings(max_examples=300)
@given(st.dictionaries(st.text("012", min_size=1, max_size=4), st.integers()), TEXT)
def test_the_longest_prefix_counts(values: dict[str, int], text: str) -> None:
    prefixes = Prefixes(dict(values))
    state = prefixes.start
    for digit in text:
        state = prefixes.row(state)[int(digit)]
    known = [text[:end] for end in range(1, len(text) + 1) if text[:end] in values]
    assert prefixes.value(state) == (values[known[-1]] if known else None)


@settings(max_examples=200)
@given(st.text("0123456789", max_size=4), st.integers(0, 3), st.data())
def test_what_is_settled_is_so_whatever_digits_come(
    begun: str, rest: int, data: st.DataObject
) -> None:
    automaton = Automaton([Pattern(one) for one in EXPRESSIONS])
    state = automaton.start
    for digit in begun:
        state = automaton.step(state, int(digit))
    settled = automaton.settled(state, rest)
    ends = set()
    for number in range(10**rest):
        last = state
        for digit in f"{number:0{rest}}" if rest else "":
            last = automaton.step(last, int(digit))
        ends.add(automaton.settled(last, 0))
    assert ends == {settled} if settled != OPEN else len(ends) > 1


@pytest.mark.parametrize("expression", [r"\d+", "a", r"(?=1)2", r"^1", r"1$", r"\w", "[^1]"])
def test_what_is_no_plain_expression_over_digits_proves_nothing(expression: str) -> None:
    with pytest.raises(UnprovableError):
        Pattern(expression)


def test_every_pattern_of_the_numbering_data_can_be_followed() -> None:
    for region in REGIONS:
        metadata = PhoneMetadata.metadata_for_region(region)
        assert metadata is not None
        for name in dir(metadata):
            described = getattr(metadata, name)
            if isinstance(described, phonenumbers.PhoneNumberDesc):
                text = described.national_number_pattern
                if text:
                    Pattern(text)
                    assert widths(text)[1] <= 17
