"""Telephone numbers as the gate sees them: what was dialled or shown, and whom it means.

Parsing and regions are phonenumbers' (Google's libphonenumber data).
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, ValidationResult

from callguard.policy.area_codes import states_of
from callguard.policy.zones import zones_of_number

MAX_LENGTH = 64
"""Longest text taken for a number; E.164 has 15 digits, the rest is room for a SIP user part."""

MAX_TEXT = 256
"""Longest text that is looked at: a URI with its host and parameters."""

MAX_SHORT = 6
"""Most digits of a short code."""

MAX_ADDRESS = 254
"""Longest e-mail address (RFC 5321, section 4.5.3.1.3, less the angle brackets)."""

LINES = (
    "fixed",
    "mobile",
    "fixed_or_mobile",
    "toll_free",
    "premium",
    "shared_cost",
    "voip",
    "personal",
    "pager",
    "company",
    "voicemail",
    "satellite",
    "short",
    "unknown",
)
"""The kinds of line that a number can be seen to have."""

_LINE_OF = {
    PhoneNumberType.FIXED_LINE: "fixed",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "company",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
_SATELLITE = frozenset({870, 881, 882, 883})
"""Inmarsat, the global mobile satellite system, and the international networks (ITU-T E.164)."""

_ANONYMOUS = frozenset({"", "anonymous", "restricted", "unavailable", "unknown", "private"})
_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]+\.)+[^\W\d_][\w-]+")
# No `#`: a dialplan lets it through, and the carrier is sent what the gate would have cut off.
_EXTENSION = re.compile(
    r"\s*(?:;ext=|ext(?:ension)?\.?|x)\s*[0-9]{1,8}\Z", re.ASCII | re.IGNORECASE
)
_CONTEXT = re.compile(r";phone-context=(\+[0-9.()-]+)", re.ASCII | re.IGNORECASE)
_SHAPE = re.compile(r"\+?\(?[0-9][0-9 ().\-/]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """One end of a call.

    ``key`` is what opt-outs, consents and counters are kept under: the E.164 form, or
    ``REGION:digits`` for a short code, the address for e-mail, or "" when there is no number to
    speak of. ``line`` is one of ``LINES``; ``subdivisions`` (ISO 3166-2) and ``zones`` (IANA) are
    all those in which the number may ring, empty where that cannot be told.
    """

    raw: str
    key: str
    e164: str | None = None
    region: str | None = None
    anonymous: bool = False
    emergency: bool = False
    line: str = "unknown"
    subdivisions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the text names a number at all."""
        return self.key != ""


def parse_number(raw: str, home_region: str) -> Number:
    """Reads a number as somebody in ``home_region`` (ISO 3166-1 alpha-2) would dial it.

    Takes E.164 with and without its plus, national forms, SIP and tel URIs, the short codes of
    the region, and an extension after any of them, which is not part of the key. Never raises:
    what belongs to no numbering plan, or is only the local part of a number, comes back with an
    empty key, because nobody could say whom it reaches.
    """
    if len(raw) > MAX_TEXT:  # refused before it is searched or remembered
        return Number(raw=raw[:MAX_LENGTH], key="")
    if raw.startswith("+") and (number := _parsed(raw, _ANYWHERE)).key:
        return number
    return _parsed(raw, home_region)


def key_of(raw: str, home_region: str) -> str:
    """The key that ``parse_number`` finds, and nothing else of the number: for long lists, in half
    the time."""
    return "" if len(raw) > MAX_TEXT else _read(raw, home_region, _bare_number).key


_ANYWHERE = "ZZ"
"""In place of a region, for what means the same in all of them, and so is read only once."""


@lru_cache(maxsize=16_384)
def _parsed(raw: str, home_region: str) -> Number:
    return _read(raw, home_region, _described)


def _read(raw: str, home_region: str, tell: "_Teller") -> Number:
    whole = _bare(raw)
    if whole.lower() in _ANONYMOUS:
        return Number(raw=raw, key="", anonymous=True)
    text = _EXTENSION.sub("", whole)
    if len(text) > MAX_LENGTH or not _SHAPE.fullmatch(text):
        return Number(raw=raw[:MAX_LENGTH], key="")
    digits = re.sub(r"\D", "", text)
    plus = text.startswith("+")
    if not plus and phonenumbers.is_emergency_number(digits, home_region):
        # What stands above every rule is the emergency number and not one digit more.
        alone = text == whole
        return Number(raw, f"{home_region}:{digits}", region=home_region, emergency=alone)
    if not plus and _is_short_code(digits, home_region):
        return Number(raw, f"{home_region}:{digits}", region=home_region, line="short")
    meant = _full(text, home_region)
    if not plus and is_doubtful(digits, meant):
        # E.164 without its plus, as trunks and exports show it: the national reading is none, or
        # one that no numbering plan gives out.
        abroad = _full(f"+{digits}", home_region)
        if meant is None or (abroad is not None and phonenumbers.is_valid_number(abroad[0])):
            meant = abroad
    return tell(raw, *meant) if meant is not None else Number(raw, "")


def is_doubtful(digits: str, meant: "_Meant | None") -> bool:
    """Whether digits that were read nationally could yet be E.164 without its plus."""
    if meant is None:
        return True
    return not digits.startswith("0") and not phonenumbers.is_valid_number(meant[0])


def read_nationally(digits: str, home_region: str) -> "_Meant | None":
    """What digits without a plus mean in a region, if anything."""
    return _full(digits, home_region)


def parse_address(raw: str) -> Number:
    """Reads an e-mail address; its key is the address in lower case, and it lies nowhere. What is
    no address comes back with an empty key."""
    if len(raw) > MAX_TEXT:
        return Number(raw=raw[:MAX_LENGTH], key="")
    key = unicodedata.normalize("NFC", raw.strip().lower())
    if key.startswith("mailto:"):
        key = key.removeprefix("mailto:").partition("?")[0]
    if len(key) > MAX_ADDRESS or not _ADDRESS.fullmatch(key):
        return Number(raw=raw, key="")
    return Number(raw, key)


_Meant = tuple[phonenumbers.PhoneNumber, str]
"""A number that was recognised, and its region."""

_Teller = Callable[[str, phonenumbers.PhoneNumber, str], Number]


def _full(text: str, home_region: str) -> _Meant | None:
    try:
        parsed = phonenumbers.parse(text, home_region)
    except NumberParseException:
        return None
    # A local-only number is possible too, but the area that it lacks decides whom it reaches.
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    region = phonenumbers.region_code_for_number(parsed)
    return None if region is None else (parsed, region)


def _bare_number(raw: str, parsed: phonenumbers.PhoneNumber, region: str) -> Number:
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return Number(raw, e164, e164=e164, region=region)


def _described(raw: str, parsed: phonenumbers.PhoneNumber, region: str) -> Number:
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    kind = phonenumbers.number_type(parsed)
    line = "satellite" if parsed.country_code in _SATELLITE else _LINE_OF.get(kind, "unknown")
    return Number(
        raw,
        e164,
        e164=e164,
        region=region,
        line=line,
        subdivisions=states_of(e164) if region == "US" else (),
        zones=zones_of_number(e164, parsed.country_code or 0, kind),
    )


def _is_short_code(digits: str, region: str) -> bool:
    """A short code means something only inside its region, so the region is part of its key."""
    if not 2 <= len(digits) <= MAX_SHORT:
        return False
    short = phonenumbers.PhoneNumber(
        country_code=phonenumbers.country_code_for_region(region), national_number=int(digits)
    )
    return phonenumbers.is_valid_short_number_for_region(short, region)


def _bare(raw: str) -> str:
    """The number in a URI. Text that is no URI stays whole, so that what is judged is what would
    be dialled."""
    text = raw.strip()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sip", "sips", "tel"):
        number = re.split(r"[@;]", rest, maxsplit=1)[0].strip()
        context = _CONTEXT.search(rest)
        # RFC 3966, 5.1.5: a local number is completed by what its context names.
        return f"{context[1]}{number}" if context and not number.startswith("+") else number
    return text


def mask(key: str) -> str:
    """A number fit for logs and pages: the country or region and the last two digits."""
    if not key:
        return "no number"
    if "@" in key:
        return f"{key[:1]}***@***{key[-3:]}"
    if not key.startswith("+"):
        region, _, digits = key.rpartition(":")
        return f"{region}:{'*' * max(0, len(digits) - 2)}{digits[-2:]}" if region else "***"
    return f"{key[:3]}{'*' * max(0, len(key) - 5)}{key[-2:]}"
