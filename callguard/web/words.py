"""What the words of the service are called on the page.

A word that is not here is shown as it is: a fault or a data class may come before its name.
"""

from collections.abc import Mapping
from typing import Final


def N_(text: str) -> str:  # noqa: N802 - the usual name of gettext's mark for later translation
    """Marks a text for the catalogs; it is translated where it is shown."""
    return text


WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "direction": {"outbound": N_("Outbound"), "inbound": N_("Inbound")},
    "purpose": {
        "marketing": N_("Marketing"),
        "service": N_("Service"),
        "collection": N_("Collection"),
        "survey": N_("Survey"),
        "transactional": N_("Transactional"),
    },
    "decision": {"allow": N_("Allowed"), "block": N_("Blocked")},
    "ami": {"up": N_("Connected"), "connecting": N_("Connecting"), "down": N_("Not connected")},
    "notice": {
        "granted": N_("Heard to the end"),
        "refused": N_("Refused"),
        "incomplete": N_("Cut short"),
    },
    "class": {
        "call_record": N_("Call records"),
        "verdict": N_("Verdicts"),
        "consent": N_("Consents"),
        "recording": N_("Recordings"),
    },
    "fault": {
        "unknown_request": N_("Request that is not understood"),
        "answered_without_verdict": N_("Answered call without a verdict"),
        "opt_out_without_number": N_("Opt-out without a number"),
        "feature_without_call": N_("Feature code without a call"),
        "unknown_feature": N_("Feature code that is not known"),
        "recording_not_stopped": N_("Recording not stopped"),
        "prompt_missing": N_("Prompt missing"),
        "unknown_pbx": N_("PBX that is not in the settings"),
        "mixmonitor_refused": N_("Recording refused by the PBX"),
    },
    "error": {
        "400": N_("The request is not understood."),
        "403": N_("Another site may not ask for this."),
        "404": N_("There is no such page."),
        "405": N_("This service is only read, never written to."),
        "413": N_("The request is too large."),
        "421": N_("This service does not answer to that name."),
        "429": N_("Too many pages are open at once. This one shows no live updates for now."),
        "500": N_("Something went wrong in callguard. Its log says what."),
        "503": N_("callguard cannot tell its state: no answer in time. Look at its log."),
    },
}
