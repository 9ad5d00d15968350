"""The states of a consent, as the ledger keeps them."""

from enum import StrEnum


class ConsentState(StrEnum):
    """What a row of the ledger says. Rows are only ever added: the last one of a call, or of a
    subject and purpose, is what holds. ``EXPIRED`` is what a consent is after its end; no row
    says so, since time does."""

    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    INCOMPLETE = "incomplete"
    EXPIRED = "expired"
