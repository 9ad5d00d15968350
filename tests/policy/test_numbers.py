"""Numbers as they are dialled and shown."""

import time

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phonenumbers.timezone import time_zones_for_number

from callguard.policy import numbers
from callguard.policy.numbers import (
    LINES,
    MAX_TEXT,
    Number,
    key_of,
    mask,
    parse_address,
    parse_number,
)


@pytest.mark.parametrize(
    ("raw", "region", "key"),
    [
        ("+442079460123", "GB", "+442079460123"),
        ("020 7946 0123", "GB", "+442079460123"),
        ("(020) 7946-0123", "GB", "+442079460123"),
        ("020/7946.0123", "GB", "+442079460123"),
        ("+44 (0)20 7946 0123", "US", "+442079460123"),
        ("00442079460123", "DE", "+442079460123"),
        ("011442079460123", "US", "+442079460123"),
        ("sip:+442079460123@carrier.example;user=phone", "GB", "+442079460123"),
        ("SIPS:+442079460123@carrier.example:5061", "GB", "+442079460123"),
        ("sip:+442079460123;ext=5@carrier.example", "GB", "+442079460123"),
        ("tel:+442079460123", "GB", "+442079460123"),
        ("tel:+44-20-7946-0123;ext=5", "US", "+442079460123"),
        ("tel:7946-0123;phone-context=+44-20", "US", "+442079460123"),
        ("tel:2079460123;phone-context=+1", "GB", "+12079460123"),
        ("03-1234567", "IL", "+97231234567"),
        ("1800", "IL", "IL:1800"),
        ("442079460123", "GB", "+442079460123"),
        ("442079460123", "US", "+442079460123"),
        ("4930123456", "GB", "+4930123456"),
        ("004930123456", "GB", "+4930123456"),
        ("2025550123", "US", "+12025550123"),
        ("12025550123", "US", "+12025550123"),
        ("61234567", "DK", "+4561234567"),
        ("8 (916) 123-45-67", "RU", "+79161234567"),
        ("01 99 00 12 34", "FR", "+33199001234"),
        ("06 12345678", "IT", "+390612345678"),
    ],
)
def test_one_subject_has_one_key_however_it_is_dialled(raw: str, region: str, key: str) -> None:
    assert parse_number(raw, region).key == key


@pytest.mark.parametrize(
    ("raw", "region"), [("112", "GB"), ("999", "GB"), ("911", "US"), ("100", "IL"), ("15", "FR")]
)
def test_emergency_numbers_of_the_region_are_known(raw: str, region: str) -> None:
    assert parse_number(raw, region).emergency


@pytest.mark.parametrize(
    "raw",
    [
        *("9116666666", "999123", "+44112", "0112", "1122"),
        # A dialplan lets `#` and `*` through, so that all of it would be dialled.
        *("112#1", "999#12345678", "112#", "#112", "999*1", "112*02079460"),
        *("999x1", "112 ext 12345678", "112;ext=1"),
    ],
)
def test_a_number_that_only_begins_like_an_emergency_is_none(raw: str) -> None:
    assert not parse_number(raw, "GB").emergency


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("79460123", "GB"),
        ("9460123", "GB"),
        ("460123", "GB"),
        ("5550123", "US"),
        ("+120255501234", "US"),
        ("+1202555012", "US"),
    ],
)
def test_the_local_part_of_a_number_names_nobody(raw: str, region: str) -> None:
    """Which area it is completed with is the carrier's to say, so no opt-out could be found."""
    assert not parse_number(raw, region).known


@pytest.mark.parametrize("raw", ["+112", "+999", "+190"])
def test_no_emergency_number_has_a_plus(raw: str) -> None:
    assert not parse_number(raw, "GB").emergency
    assert not parse_number(raw, "BR").known


@pytest.mark.parametrize(
    "raw",
    [
        *("", "  ", "anonymous", "Restricted", "UNAVAILABLE", "unknown", "private"),
        *("sip:anonymous@anonymous.invalid", "sip:Anonymous@192.0.2.1:5060"),
    ],
)
def test_a_withheld_number_is_anonymous_and_has_no_key(raw: str) -> None:
    number = parse_number(raw, "GB")
    assert number.anonymous
    assert not number.known


@pytest.mark.parametrize(
    "raw",
    [
        *("alice", "+", "+44", "12;34&SIP/evil", "+1" + "2" * 70, "שלום", "+44'; DROP", "1"),
        *("alice x5", "x5", "ext 5", ";ext=5", "anonymous x5", "x442079460123", "xx5"),
        *("7946012x3", "+44207946012x3", "+442079460123x5x6", "+442079460123x999999999"),
        *("+442079460123#5", "+442079460123*5", "+442079460123#", "#31#+442079460123", "*100#"),
        *("+442079460123,5", "+442079460123;5", "1-800-FLOWERS", "٠٢٠٧٩٤٦٠١٢٣", "+44207946012³"),
        *("+442079460123&+442079460999", "+442079460123/5", "+442079460123 +442079460999"),
    ],
)
def test_what_is_no_number_has_no_key_and_is_not_anonymous(raw: str) -> None:
    number = parse_number(raw, "GB")
    assert not number.known
    assert not number.anonymous


EXTENSIONS = ["x5", " x 5", "X5", " ext 5", "ext.5", " extension 12345678", ";ext=5", " EXT. 007"]


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("+442079460123", "US"),
        ("020 7946 0123", "GB"),
        ("+1 (202) 555-0123", "GB"),
        ("1800", "IL"),
        ("999", "GB"),
    ],
)
def test_an_extension_never_changes_whom_the_number_is(
    raw: str, region: str, extension: str
) -> None:
    plain, extended = parse_number(raw, region), parse_number(raw + extension, region)
    assert extended.key == plain.key != ""
    assert (extended.region, extended.line, extended.zones) == (
        *(plain.region, plain.line),
        plain.zones,
    )


@given(
    st.text("0123456789+()-. #*xet;=,/", max_size=20),
    st.from_regex(r"( ?x| ext\.? |;ext=)[0-9]{1,8}", fullmatch=True),
)
def test_an_extension_never_makes_a_number_of_what_was_none(raw: str, extension: str) -> None:
    bare = parse_number(raw, "GB").key
    assert parse_number(raw + extension, "GB").key in ("", bare)


dialled = st.text("0123456789+*#", max_size=20)


@given(st.one_of(dialled, st.builds("{}{}".format, st.sampled_from(["112", "999"]), dialled)))
def test_what_a_dialplan_lets_through_is_judged_to_the_last_digit(raw: str) -> None:
    """Of what can be dialled (digits, `+`, `*`, `#`) nothing is cut off before it is judged."""
    number = parse_number(raw, "GB")
    if number.emergency:
        assert raw in ("112", "999")
    if number.known:
        assert raw.removeprefix("+").isdigit()
        assert number.key.endswith(raw[-6:].removeprefix("+"))


@pytest.mark.parametrize(
    ("raw", "region", "line"),
    [
        ("+442079460123", "GB", "fixed"),
        ("+61491570156", "AU", "mobile"),
        ("+12025550123", "US", "fixed_or_mobile"),
        ("+18005550199", "US", "toll_free"),
        ("0808 157 0000", "GB", "toll_free"),
        ("+80012345678", "GB", "toll_free"),
        ("+19005550199", "US", "premium"),
        ("0909 879 0000", "GB", "premium"),
        ("+979123456789", "GB", "premium"),
        ("+491801123456", "GB", "shared_cost"),
        ("056 0000 0000", "GB", "voip"),
        ("+881612345678", "GB", "satellite"),
        ("+8821612345678", "GB", "satellite"),
        ("+870773111632", "GB", "satellite"),
        ("+883510012345", "GB", "satellite"),
        ("1800", "IL", "short"),
        ("118118", "GB", "short"),
        ("999", "GB", "unknown"),
        ("alice", "GB", "unknown"),
    ],
)
def test_the_kind_of_line_is_seen(raw: str, region: str, line: str) -> None:
    assert parse_number(raw, region).line == line
    assert line in LINES


@pytest.mark.parametrize(
    ("raw", "count", "among"),
    [
        ("+442079460123", 1, "Europe/London"),
        ("+12025550123", 1, "America/New_York"),
        ("+18504320123", 1, "America/Chicago"),
        ("+17095550123", 2, "America/St_Johns"),
        ("+61491570156", 8, "Australia/Perth"),
        ("+79161234567", 16, "Asia/Kamchatka"),
        ("+18005550199", 42, "Pacific/Honolulu"),
    ],
)
def test_every_zone_in_which_the_number_may_ring_counts(raw: str, count: int, among: str) -> None:
    zones = parse_number(raw, "GB").zones
    assert len(zones) == count
    assert among in zones


@pytest.mark.parametrize("raw", ["+881612345678", "+80012345678", "999", "118118", "alice", ""])
def test_where_no_zone_can_be_told_there_is_none(raw: str) -> None:
    assert parse_number(raw, "GB").zones == ()


@pytest.mark.parametrize(
    ("raw", "region", "subdivisions"),
    [
        ("+12025550123", "US", ("US-DC",)),
        ("+13055550123", "US", ("US-FL",)),
        ("+18005550199", "US", ()),
        ("+17095550123", "CA", ()),
        ("+442079460123", "GB", ()),
    ],
)
def test_the_state_is_told_by_the_area_code(
    raw: str, region: str, subdivisions: tuple[str, ...]
) -> None:
    number = parse_number(raw, "GB")
    assert (number.region, number.subdivisions) == (region, subdivisions)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("ann@example.org", "ann@example.org"),
        (" Ann.Lee+x@Example.ORG ", "ann.lee+x@example.org"),
        ("mailto:ann@example.org", "ann@example.org"),
        ("MailTo:Ann@example.org?subject=hello", "ann@example.org"),
        ("ЯНА@пример.рф", "яна@пример.рф"),
        ("e\u0301va@example.org", "\u00e9va@example.org"),
    ],
)
def test_an_address_has_one_key_however_it_is_written(raw: str, key: str) -> None:
    address = parse_address(raw)
    assert address.key == key
    assert (address.region, address.zones, address.line) == (None, (), "unknown")


@pytest.mark.parametrize(
    "raw",
    [
        *("", "ann", "@example.org", "ann@", "ann@example", "ann@ex ample.org", "a b@example.org"),
        *("ann@example..org", "ann@.org", "ann@example.org.", "ann@@example.org", "a@b@c.org"),
        *("Ann <ann@example.org>", "ann<x>@example.org", "ann@example.org,bob@example.org"),
        *("\u200bann@example.org", "ann\n@example.org", "\udcff@example.org", "ann@192.0.2.123"),
        *("a" * 65 + "@example.org", "a@" + "b" * 250 + ".org", "a@" + "b." * 5000 + "org"),
    ],
)
def test_what_is_no_address_has_no_key(raw: str) -> None:
    assert not parse_address(raw).known


@given(st.one_of(st.emails(), st.text(max_size=40), st.text("aİß@.-é\u0301", max_size=12)))
def test_reading_an_address_again_gives_the_same_address(raw: str) -> None:
    key = parse_address(raw).key
    assert key == "" or parse_address(key).key == key
    local, at, _ = key.rpartition("@")
    assert not at or f"{local}@" not in mask(key) or len(local) == 1


def test_a_mask_keeps_the_country_and_two_digits() -> None:
    assert mask("+442079460123") == "+44********23"
    assert mask("IL:1800") == "IL:**00"
    assert mask("ann@example.org") == "a***@***org"
    assert mask("alice") == "***"
    assert mask("") == "no number"


def _shown_at_the_end(masked: str) -> str:
    return masked.rpartition("*")[2]


regions = st.sampled_from(["GB", "US", "IL", "RU", "FR", "ZZ", "001", "", "gb"])
number_like = st.text("0123456789+()-. #*xet;=@:siplm", max_size=30)


@given(st.one_of(st.text(max_size=100), number_like), regions)
def test_the_key_alone_is_the_key_of_the_whole(raw: str, region: str) -> None:
    assert key_of(raw, region) == parse_number(raw, region).key
    assert key_of(raw * 200, region) == parse_number(raw * 200, region).key


@given(st.one_of(st.text(max_size=100), number_like), regions)
def test_any_text_gives_a_number_and_a_mask_that_hides_it(raw: str, region: str) -> None:
    number = parse_number(raw, region)
    assert number.known == bool(number.key)
    assert number.line in LINES
    if len(number.key) > 6:
        assert number.key not in mask(number.key)
        assert len(mask(number.key)) == len(number.key)
        assert len(_shown_at_the_end(mask(number.key))) <= 2


@given(st.from_regex(r"\+(44[127]|1[2-9]|33|972|7)[0-9]{7,10}", fullmatch=True))
def test_a_mask_never_shows_more_than_two_digits_of_the_end(raw: str) -> None:
    masked = mask(raw)
    assert _shown_at_the_end(masked) == raw[-2:]
    assert masked.count("*") == len(raw) - 5


@given(st.from_regex(r"\+44(20|131|161)[0-9]{7,8}", fullmatch=True))
def test_reading_a_key_again_gives_the_same_key(raw: str) -> None:
    key = parse_number(raw, "GB").key
    if key:
        assert parse_number(key, "US").key == key


def test_what_is_remembered_is_bounded() -> None:
    info = numbers._parsed.cache_info()
    assert info.maxsize == 16_384
    before = info.currsize
    for length in (MAX_TEXT + 1, 100_000):
        number = parse_number("+442079460123" + " " * length, "GB")
        assert not number.known
        assert len(number.raw) <= 64
        assert len(parse_address("a" * length).raw) <= 64
    assert numbers._parsed.cache_info().currsize == before


def test_a_long_text_is_refused_at_once() -> None:
    """It is looked at in the loop that answers every call."""
    began = time.perf_counter()
    for text in (" " * 200_000, "1 " * 100_000, "1" + " " * 200_000 + "x", "sip:" + "@" * 200_000):
        assert parse_number("1" + text + "y", "GB") == Number(("1" + text)[:64], "")
    assert time.perf_counter() - began < 0.5


@given(
    st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    st.sampled_from(sorted(phonenumbers.PhoneNumberType.values())),
    st.integers(0, 99),
)
def test_the_zones_of_a_number_are_those_of_the_library(region: str, kind: int, tail: int) -> None:
    example = phonenumbers.example_number_for_type(region, kind)
    assume(example is not None)
    assert example is not None
    national = str(example.national_number)
    text = f"+{example.country_code}{national[:-2]}{tail:02}"
    number = parse_number(text, region)
    assume(number.e164 is not None)
    expected = time_zones_for_number(phonenumbers.parse(text))
    known = {zone for zone in expected if zone != "Etc/Unknown"}
    if region in ("RU", "KZ") and "Europe/Bucharest" in known:
        known = known - {"Europe/Bucharest"} | {"Europe/Kaliningrad"}
    assert known <= set(number.zones)
    mended = text.startswith(("+617", "+618", "+1807", "+1867"))
    assert mended or known == set(number.zones)


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        ("+61730001234", "Australia/Brisbane"),
        ("+61889001234", "Australia/Darwin"),
        ("+74012123456", "Europe/Kaliningrad"),
        ("+79161234567", "Europe/Kaliningrad"),
        ("+18073431234", "America/Winnipeg"),
        ("+18672231234", "America/Iqaluit"),
    ],
)
def test_a_zone_that_the_number_data_leaves_out_is_possible_too(number: str, zone: str) -> None:
    assert zone in parse_number(number, "GB").zones
    assert "Europe/Bucharest" not in parse_number(number, "GB").zones


@pytest.mark.parametrize(
    ("text", "home", "key"),
    [
        ("442079460123", "IL", "+442079460123"),
        ("12025550143", "NL", "+12025550143"),
        ("972526000123", "NL", "+972526000123"),
        ("33612345678", "ES", "+33612345678"),
        ("526000123", "IL", "+972526000123"),
        ("0526000123", "IL", "+972526000123"),
        ("501234567", "IL", "+972501234567"),
        ("612345678", "NL", "+31612345678"),
        ("442", "IL", ""),
    ],
)
def test_digits_that_are_no_number_at_home_are_one_abroad_without_its_plus(
    text: str, home: str, key: str
) -> None:
    assert parse_number(text, home).key == key


@pytest.mark.parametrize("text", ["0442079460123", "012025550143"])
def test_whoever_dials_a_trunk_nought_dials_at_home(text: str) -> None:
    assert not parse_number(text, "IL").key.startswith(("+44", "+1"))
