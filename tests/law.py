"""A law of keeping records, for tests: about one kind of call to one country alone."""

from datetime import date

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.tenants.keeping import Concern

YEARS = 9

DEBTS = RetentionLimit(
    "xx.debts",
    "floor",
    "recording",
    Span(months=12 * YEARS),
    "Recordings of collectors' calls",
    "a statute",
    date(2020, 1, 1),
    regions=frozenset({"GB"}),
    whose="subject",
    purposes=frozenset({"collection"}),
)

DEBTOR = Concern("+442079460000", "collection", "outbound")
