"""A number as somebody wrote it, where it is not mere digits."""

import re

import phonenumbers

from callguard.optout.registry.sources.digits import MAX_DIGITS, MIN_DIGITS
from callguard.policy.numbers import parse_number

NOWHERE = "ZZ"
"""The region of those who must write the country code (phonenumbers)."""

_NANP = re.compile(r"1?([2-9][0-9]{2}[2-9][0-9]{6})", re.ASCII)
_NANP_REGIONS = frozenset({"US", "CA"})
_PLAIN = re.compile(rf"\+?([1-9][0-9]{{{MIN_DIGITS - 1},{MAX_DIGITS - 1}}})", re.ASCII)


def number_of(text: str, region: str | None) -> int | None:
    """The digits of the E.164 number that a text means to somebody in ``region``, or None. Without
    a region the country code must be there, and a text with anything but digits in it must begin
    with a plus."""
    text = text.strip()
    if region in _NANP_REGIONS and (local := _NANP.fullmatch(text)):
        return int(f"1{local[1]}")
    plain = _PLAIN.fullmatch(text)
    if plain and (region is None or text.startswith("+")):
        return int(plain[1])
    if region is None and not text.startswith("+"):
        return None
    e164 = parse_number(text, region or NOWHERE).e164
    return int(e164[1:]) if e164 else None


def possible(number: int) -> bool:
    """Whether a numbering plan has numbers of so many digits; a number that was cut off mostly
    fails it."""
    try:
        parsed = phonenumbers.parse(f"+{number}", NOWHERE)
    except phonenumbers.NumberParseException:
        return False
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE)
