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
    "recording": {
        "recorded": N_("Being recorded"),
        "paused": N_("Paused"),
        "silent": N_("Silent for now"),
        "none": N_("Not recorded"),
    },
    "consent": {
        "granted": N_("given"),
        "refused": N_("refused"),
        "withdrawn": N_("withdrawn"),
        "incomplete": N_("not complete"),
    },
    "mode": {
        "silent": N_("no notice needed"),
        "prior": N_("given before"),
        "notice": N_("notice"),
        "notice_or_refuse": N_("notice, with a key to refuse"),
        "ask": N_("asked"),
    },
    "act": {
        "paused": N_("Paused: the recording is silent, on both sides, until it is resumed."),
        "resumed": N_("Resumed."),
        "stopped": N_("Stopped: nothing more of this call is recorded."),
        "erased": N_("Erased: what was recorded of this call can never be read again."),
        "opted_out": N_("Entered, and kept. The number will not be called any more."),
        "nothing_recorded": N_("Nothing of this call is recorded."),
        "refused": N_("Whoever is recorded has ended that: it is not resumed."),
        "pending": N_(
            "Nothing more of this call is recorded. The rest could not be kept yet, and is tried "
            "again until it is: look at the log."
        ),
        "failed": N_("That could not be done: try again, and look at the log."),
        "not_opted_out": N_(
            "It could not be kept, or the number is not known. Nothing was entered: try again, and "
            "look at the log."
        ),
        "gone": N_("This call has ended."),
        "old": N_("This page was too old. Nothing was done: please press again."),
    },
    "class": {
        "call_record": N_("Call records"),
        "verdict": N_("Verdicts"),
        "consent": N_("Consents"),
        "recording": N_("Recordings"),
        "list": N_("Scrubbed lists"),
        "opt_out_claim": N_("Opt-outs by a typed number"),
    },
    "registry": {
        "usable": N_("In use"),
        "ageing": N_("Soon too old"),
        "stale": N_("Too old"),
        "ahead": N_("Of a day still to come"),
        "silent": N_("Cannot tell"),
    },
    "fault": {
        "unknown_request": N_("Request that is not understood"),
        "answered_without_verdict": N_("Answered call without a verdict"),
        "opt_out_without_number": N_("Opt-out without a number"),
        "sms_to_unknown_number": N_("Text message to a number of no tenant"),
        "feature_without_call": N_("Feature code without a call"),
        "unknown_feature": N_("Feature code that is not known"),
        "recording_not_stopped": N_("Recording not stopped"),
        "recording_not_paused": N_("Recording not paused"),
        "recording_not_resumed": N_("Recording not resumed"),
        "recording_not_erased": N_("Recording not erased at once"),
        "prompt_missing": N_("Prompt missing"),
        "unknown_pbx": N_("PBX that is not in the settings"),
        "mixmonitor_refused": N_("Recording refused by the PBX"),
        "spool_full": N_("Not recorded: the spool is full"),
        "store_full": N_("Not recorded: the store is full"),
        "key_missing": N_("Not recorded: no key can be used"),
        "not_durable": N_("Not recorded: it could not be written down"),
        "recording_lost": N_("Recording lost"),
        "recording_cut": N_("Recording whose end is missing"),
        "part_lost": N_("Sealed part of a recording lost"),
        "spool_entry_gone": N_("Recording lost its spool entry while it ran"),
        "recorded_in_mono": N_("Recorded in mono instead of stereo"),
    },
    "opt_out": {
        "bad": N_("That is no telephone number. Nothing was entered."),
        "long": N_("The reason is too long. Nothing was entered."),
        "unknown": N_("Choose whose calls are not wanted. Nothing was entered."),
        "old": N_("This form was too old. Nothing was entered: please send it again."),
        "lost": N_("It could not be kept. Nothing was entered: try again, and look at the log."),
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
