"""In which language somebody is spoken to. Pure."""

from collections.abc import Sequence

_SPOKEN = {
    "en": (
        *("AU", "CA", "GB", "GG", "GI", "IE", "IM", "IN", "JE", "KE", "MT", "NG", "NZ", "SG"),
        *("US", "ZA"),
    ),
    "he": ("IL",),
    "nl": ("BE", "NL", "SR"),
    "ru": ("BY", "KG", "KZ", "RU"),
    "fr": (
        *("BE", "BF", "BJ", "BL", "CA", "CD", "CG", "CH", "CI", "CM", "FR", "GA", "GF", "GN", "GP"),
        *("LU", "MC", "MF", "ML", "MQ", "NC", "NE", "PF", "PM", "RE", "SN", "TG", "WF", "YT"),
    ),
    "de": ("AT", "BE", "CH", "DE", "LI", "LU"),
    "es": (
        *("AR", "BO", "CL", "CO", "CR", "CU", "DO", "EC", "ES", "GQ", "GT", "HN", "MX", "NI", "PA"),
        *("PE", "PR", "PY", "SV", "UY", "VE"),
    ),
}
"""Where each language of the prompts is everybody's, or that of a large part."""


def language_of(region: str | None, languages: Sequence[str], own: str) -> str:
    """The language for a subject in ``region`` (ISO 3166-1), among those that the tenant offers.

    Where several are spoken there the tenant's ``own`` goes first; where none of them is, or the
    region is not known, it is the tenant's own.
    """
    fitting = [each for each in languages if region in _SPOKEN.get(each.split("-")[0].lower(), ())]
    return own if own in fitting or not fitting else fitting[0]
