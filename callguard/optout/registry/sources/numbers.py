"""A number as somebody wrote it, where it is not mere digits."""

import re

import numpy as np
import phonenumbers
from numpy.typing import NDArray
from phonenumbers import PhoneMetadata

from callguard.optout.registry.calling_codes import OF_FIRST_THREE
from callguard.optout.registry.sources.digits import (
    MAX_DIGITS,
    MIN_DIGITS,
    POWERS,
    Mask,
    Numbers,
    lengths_of,
)
from callguard.policy.numbers import key_of

NOWHERE = "ZZ"
"""The region of those who must write the country code (phonenumbers)."""

_NANP = re.compile(r"1?([2-9][0-9]{2}[2-9][0-9]{6})", re.ASCII)
_NANP_REGIONS = frozenset({"US", "CA"})
_DECIMAL = re.compile(r"[0-9]+\.0*", re.ASCII)
"""A number out of a spreadsheet that took it for a quantity."""

_FIRSTS = 4
"""Digits that tell the country code and the first digit behind it."""

_PLAIN = re.compile(rf"\+?([1-9][0-9]{{{MIN_DIGITS - 1},{MAX_DIGITS - 1}}})", re.ASCII)


def number_of(text: str, region: str | None) -> int | None:
    """The digits of the E.164 number that a text means to somebody in ``region``, or None. Without
    a region the country code must be there, and a text with anything but digits in it must begin
    with a plus. It is the number that the gate asks for when somebody dials that text: a nought
    behind the country code is not part of it, and what no numbering plan has is none."""
    text = text.strip()
    if _DECIMAL.fullmatch(text):  # its nought would be taken for one more digit
        return None
    if region in _NANP_REGIONS and (local := _NANP.fullmatch(text)):
        return int(f"1{local[1]}")
    plain = _PLAIN.fullmatch(text)
    if plain and (region is None or text.startswith("+")):
        text = f"+{plain[1]}"
    elif region is None and not text.startswith("+"):
        return None
    key = key_of(text, region or NOWHERE)
    return int(key[1:]) if key.startswith("+") else None


def plainly(numbers: Numbers) -> Mask:
    """Which of the numbers are surely just what the gate would ask for; the others want
    ``number_of``."""
    lengths = lengths_of(numbers)
    firsts = numbers // POWERS[np.clip(lengths - _FIRSTS, 0, None)]
    return _PLANS.sure(firsts, lengths) & (lengths >= MIN_DIGITS)


class _Plans:
    """What is sure of a number by its first digits and its length: its plan has numbers so long,
    and nothing at its beginning could be a trunk prefix with a whole number behind it. Codes are
    learnt as they come, because reading the data of all of them takes a while."""

    def __init__(self) -> None:
        self._sure = np.zeros((10**_FIRSTS, MAX_DIGITS + 1), np.bool_)
        self._known = np.zeros(len(OF_FIRST_THREE), np.bool_)

    def sure(self, firsts: Numbers, lengths: NDArray[np.intp]) -> Mask:
        there = np.bincount(OF_FIRST_THREE[firsts // 10], minlength=len(self._known)) > 0
        for code in np.flatnonzero(there & ~self._known).tolist():
            self._learn(code)
        found: Mask = self._sure[firsts, lengths]
        return found

    def _learn(self, code: int) -> None:
        plan = _plan(code) if code else None
        if plan is not None and plan.general_desc is not None:
            width = len(str(code))
            scale = 10 ** (_FIRSTS - width)
            rows = np.arange(code * scale, (code + 1) * scale)
            behind = rows * 10 // scale % 10
            prefix = f"0{plan.national_prefix or ''}" if plan.national_prefix_for_parsing else ""
            cut = np.isin(behind, [int(digit) for digit in prefix])
            lengths = plan.general_desc.possible_length
            for length in lengths:
                if width + length <= MAX_DIGITS:
                    self._sure[rows, width + length] = ~cut | (length == min(lengths))
        self._known[code] = True


def _plan(code: int) -> PhoneMetadata | None:
    region = phonenumbers.region_code_for_country_code(code)
    if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return PhoneMetadata.metadata_for_nongeo_region(code)
    return PhoneMetadata.metadata_for_region(region)


_PLANS = _Plans()


def possible(number: int) -> bool:
    """Whether a numbering plan has numbers of so many digits; a number that was cut off mostly
    fails it."""
    try:
        parsed = phonenumbers.parse(f"+{number}", NOWHERE)
    except phonenumbers.NumberParseException:
        return False
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE)
