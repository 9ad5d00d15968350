"""Telephone numbers as the gate sees them: what was dialled or shown, and whom it means.

Parsing and regions are phonenumbers' (Google's libphonenumber data).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

MAX_LENGTH = 64
"""Longest text taken for a number; E.164 has 15 digits, the rest is room for a SIP user part."""

_ANONYMOUS = frozenset({"", "anonymous", "restricted", "unavailable", "unknown", "private"})
_SHAPE = re.compile(r"\+?\(?[0-9][0-9 ().\-/]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """One end of a call.

    ``key`` is what opt-outs, consents and counters are kept under: the E.164 form, or
    ``REGION:digits`` for a short code, or "" when there is no number to speak of.
    """

    raw: str
    key: str
    e164: str | None = None
    region: str | None = None
    anonymous: bool = False
    emergency: bool = False

    @property
    def known(self) -> bool:
        """Whether the text names a number at all."""
        return self.key != ""


@lru_cache(maxsize=65_536)
def parse_number(raw: str, home_region: str) -> Number:
    """Reads a number as somebody in ``home_region`` (ISO 3166-1 alpha-2) would dial it.

    Takes E.164, national forms, the user part of a SIP URI, and short codes. Never raises:
    what is no number comes back with an empty key.
    """
    text = _bare(raw)
    if text.lower() in _ANONYMOUS:
        return Number(raw=raw, key="", anonymous=True)
    if len(text) > MAX_LENGTH or not _SHAPE.fullmatch(text):
        return Number(raw=raw[:MAX_LENGTH], key="")
    digits = re.sub(r"\D", "", text)
    if not text.startswith("+") and phonenumbers.is_emergency_number(digits, home_region):
        return Number(raw, f"{home_region}:{digits}", region=home_region, emergency=True)
    try:
        parsed = phonenumbers.parse(text, home_region)
    except NumberParseException:
        return _short(raw, text, home_region)
    if not phonenumbers.is_possible_number(parsed):
        return _short(raw, text, home_region)
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return Number(raw, e164, e164=e164, region=phonenumbers.region_code_for_number(parsed))


def _bare(raw: str) -> str:
    """The number in a URI. Text that is no URI stays whole, so that what is judged is what would
    be dialled."""
    text = raw.strip()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sip", "sips", "tel"):
        return re.split(r"[@;]", rest, maxsplit=1)[0].strip()
    return text


def _short(raw: str, text: str, region: str) -> Number:
    """A short code means something only inside its region, so the region is part of the key."""
    digits = re.sub(r"\D", "", text)
    if not text.startswith("+") and 2 <= len(digits) <= 6:
        return Number(raw, f"{region}:{digits}", region=region)
    return Number(raw, "")


def mask(key: str) -> str:
    """A number fit for logs and pages: the country or region and the last two digits."""
    if not key:
        return "no number"
    if not key.startswith("+"):
        region, _, digits = key.rpartition(":")
        return f"{region}:{'*' * max(0, len(digits) - 2)}{digits[-2:]}" if region else "***"
    return f"{key[:3]}{'*' * max(0, len(key) - 5)}{key[-2:]}"
