"""Strict Bech32: the checks of BIP 173 without its limit on length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.recording import bech32

PREFIXES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(str.lower)


@given(PREFIXES, st.binary(max_size=1300))
def test_any_data_comes_back_in_the_case_it_was_written(prefix: str, data: bytes) -> None:
    assert bech32.decode(bech32.encode(prefix, data)) == (prefix, data)
    upper = bech32.encode(prefix, data).upper()
    assert bech32.decode(upper) == (prefix.upper(), data)


@pytest.mark.parametrize(
    "text",
    [
        "A12UEL5L",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j",
    ],
)
def test_the_valid_strings_of_bip_173_decode(text: str) -> None:
    prefix, data = bech32.decode(text)
    assert bech32.encode(prefix, data) == text


FAULTS = {
    "not ASCII": ("ag\u00e91qqqqqqqqqq", "outside ASCII"),
    "mixed case": ("Age1" + bech32.encode("age", b"x")[4:], "mixed"),
    "no separator": ("agepqqqqqqqqqq", "separator"),
    "empty prefix": ("1qqqqqqqqqq", "prefix is empty"),
    "control character in the prefix": ("\x7f1axkwrx", "unprintable"),
    "no room for a checksum": ("age1qqqqq", "too short"),
    "foreign letter": ("age1bqqqqqqqqq", "alphabet"),
    "wrong checksum": (bech32.encode("age", b"x" * 32)[:-1] + "q", "checksum"),
    "checksum of the upper-case prefix": ("A1G7SGD8", "checksum"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_string_is_refused_without_repeating_it(fault: str) -> None:
    text, reason = FAULTS[fault]
    with pytest.raises(bech32.Bech32Error, match=reason) as caught:
        bech32.decode(text)
    assert text not in str(caught.value)


def _with_values(prefix: str, values: list[int]) -> str:
    expanded = bech32._expand(prefix)
    residue = bech32._polymod([*expanded, *values, *(0,) * 6]) ^ 1
    checksum = [(residue >> 5 * (5 - place)) & 31 for place in range(6)]
    return prefix + "1" + "".join(bech32._ALPHABET[value] for value in [*values, *checksum])


@pytest.mark.parametrize(
    ("values", "reason"),
    [([0, 0, 0], "surplus"), ([0, 1], "padding bits"), ([0] * 8 + [0], "surplus")],
)
def test_loose_padding_is_refused(values: list[int], reason: str) -> None:
    with pytest.raises(bech32.Bech32Error, match=reason):
        bech32.decode(_with_values("age", values))


@pytest.mark.parametrize("prefix", ["", "a b", "Age", "\u05d0"])
def test_a_bad_prefix_is_not_encoded(prefix: str) -> None:
    with pytest.raises(bech32.Bech32Error):
        bech32.encode(prefix, b"data")


@given(st.text(max_size=60))
def test_any_text_decodes_or_is_refused(text: str) -> None:
    try:
        prefix, data = bech32.decode(text)
    except bech32.Bech32Error:
        return
    assert bech32.encode(prefix, data) == text
