"""Whether what a tenant chose is within what the law lets it choose. Pure.

A limit on every record of a class that the tenant has is kept to at entry. One on some of them
(sales calls, numbers of one country) is heeded record by record: it is only told.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.tenants.tenant import TenantError, TenantSettings


def check_span(
    limits: Iterable[RetentionLimit],
    settings: TenantSettings,
    data_class: str,
    span: Span,
    now: datetime,
) -> None:
    """Raises TenantError, with the citation, where it crosses a limit on all such records."""
    for limit in limits:
        if limit.data_class == data_class and _on_all(limit, settings, now) and _cut(limit, span):
            wrong = "shorter" if limit.bound == "floor" else "longer"
            raise TenantError(
                f"{data_class} {span} is {wrong} than the law lets it be, {limit.span}: "
                f"{cited(limit)}"
            )


def check_standing(
    limits: Iterable[RetentionLimit],
    settings: TenantSettings,
    standing: Mapping[str, Span],
    now: datetime,
) -> None:
    """The same of all that a tenant chose, where it becomes another in the eyes of the law."""
    known = tuple(limits)
    for data_class, span in standing.items():
        check_span(known, settings, data_class, span, now)


def notes(
    limits: Iterable[RetentionLimit],
    settings: TenantSettings,
    data_class: str,
    span: Span | None,
    now: datetime,
) -> tuple[str, ...]:
    """One line for each limit by which some records, or where nothing was chosen all of them, are
    kept longer or shorter than ``span``; None is without an end."""
    return tuple(
        f"{data_class}: {in_words(limit, settings)}"
        for limit in of_class(limits, settings, data_class, now)
        if (limit.bound == "ceiling" if span is None else _cut(limit, span))
    )


def of_class(
    limits: Iterable[RetentionLimit],
    settings: TenantSettings,
    data_class: str,
    now: datetime,
) -> tuple[RetentionLimit, ...]:
    """Those in force that may be about a tenant's records of a class."""
    home, operator = settings.home_region, settings.licensed_operator
    return tuple(
        limit
        for limit in limits
        if limit.data_class == data_class
        and limit.in_force(now)
        and limit.may_concern(home, operator=operator)
    )


def in_words(limit: RetentionLimit, settings: TenantSettings) -> str:
    """``at least 5y for marketing calls with numbers of US: 16 CFR 310.5``."""
    most = "at least" if limit.bound == "floor" else "at most"
    home, operator = settings.home_region, settings.licensed_operator
    whose = "" if limit.concerns_all(home, operator=operator) else _some(limit)
    return f"{most} {limit.span}{whose}: {cited(limit)}"


def cited(limit: RetentionLimit) -> str:
    """Its citation, and a word where nobody has checked it."""
    return limit.citation + ("" if limit.status == "verified" else " (unverified)")


def _on_all(limit: RetentionLimit, settings: TenantSettings, now: datetime) -> bool:
    return limit.in_force(now) and limit.concerns_all(
        settings.home_region, operator=settings.licensed_operator
    )


def _cut(limit: RetentionLimit, span: Span) -> bool:
    if limit.bound == "floor":
        return limit.span.may_exceed(span)
    return span.may_exceed(limit.span)


def _some(limit: RetentionLimit) -> str:
    what = [*sorted(limit.purposes), *sorted(limit.directions)]
    said = f" for {' or '.join(what)} calls" if what else " for some"
    return said + (f" with numbers of {', '.join(sorted(limit.regions))}" if limit.regions else "")
