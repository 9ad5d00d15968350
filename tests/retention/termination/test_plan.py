"""What becomes of a record at the end: the shortest promise, unless a law wants it longer. Each of
the promises of facts and conflicts is one row."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd
from callguard.retention.classes import CLASSES
from callguard.retention.schedule import RecordFacts
from callguard.retention.termination.plan import Fate, Tally, fate, plan, promises
from callguard.tenants.tenant import Tenant, TenantSettings

END = datetime(2026, 11, 30, tzinfo=UTC)
BEGUN = datetime(2026, 10, 1, 12, tzinfo=UTC)
MONTH = END + timedelta(days=30)
YEAR = datetime(2027, 11, 30, tzinfo=UTC)
CLAUSE = "contract, Annex A"


def tenant(**choices: AtEnd) -> Tenant:
    return Tenant("acme", "Acme", TenantSettings(), (), {}, at_end=choices)


def law(citation: str, months: int, *minimum: str, **scope: Any) -> RetentionLimit:
    since = date(2020, 1, 1)
    name, span = "call_record", Span(months=months)
    return RetentionLimit(
        citation, "floor", name, span, "kept", citation, since, minimum=minimum, **scope
    )


def judged(
    choice: AtEnd | None = None,
    *floors: RetentionLimit,
    expires: datetime | None = None,
    data_class: str = "call_record",
    whole: bool = False,
) -> Fate:
    promise = promises(tenant(**({data_class: choice} if choice else {})), END)[data_class]
    facts = RecordFacts(BEGUN, "FR", subject_region="US", purpose="marketing")
    return fate(promise, facts, floors, expires, END, whole=whole)


@pytest.mark.parametrize("data_class", sorted(set(CLASSES) - {"list"}))
def test_everything_is_gone_thirty_days_after_the_end_where_nothing_was_agreed(
    data_class: str,
) -> None:
    assert judged(data_class=data_class) == Fate("delete", MONTH)


def test_lists_go_with_the_contract() -> None:
    assert judged(data_class="list") == Fate("delete", END)


def test_general_information_may_stay_for_a_year_by_contract() -> None:
    assert judged(AtEnd("delete", Span(months=12), basis=CLAUSE)).at == YEAR


def test_contacts_may_be_kept_with_a_basis_and_an_end() -> None:
    until = AtEnd("keep", until=date(2027, 11, 29), basis=CLAUSE)
    assert judged(until, data_class="contact") == Fate("keep", YEAR, None, CLAUSE)


@pytest.mark.parametrize(
    "choice",
    [
        AtEnd("keep", Span(months=12)),
        AtEnd("archive", Span(months=12)),
        AtEnd("keep", basis=CLAUSE),
        AtEnd("delete", Span(months=12)),
    ],
)
def test_nothing_is_kept_without_a_basis_and_an_end(choice: AtEnd) -> None:
    with pytest.raises(ValueError, match=r"needs|the end"):
        promises(tenant(contact=choice), END)


def test_the_records_own_time_counts_where_it_is_shorter() -> None:
    soon = END + timedelta(days=2)
    assert judged(expires=soon) == Fate("delete", soon)
    assert judged(expires=YEAR) == Fate("delete", MONTH)


def test_a_law_that_ends_before_the_promise_changes_nothing() -> None:
    assert judged(None, law("L. 34-1", 1)) == Fate("delete", MONTH)


def test_a_law_moves_its_fields_to_an_archive_with_its_citation() -> None:
    sales = law("16 CFR 310.5", 60, "caller", "called", regions=frozenset({"US"}), whose="subject")
    until = Span(months=60).after(BEGUN)
    what = Fate("archive", MONTH, until, "16 CFR 310.5", ("called", "caller"))
    assert judged(None, sales, expires=until) == what
    elsewhere = law("16 CFR 310.5", 60, regions=frozenset({"CA"}), whose="subject")
    assert judged(None, elsewhere) == Fate("delete", MONTH)


def test_two_laws_are_both_named_and_both_have_their_fields() -> None:
    one, two = law("A", 12, "caller"), law("B", 24, "called")
    what = judged(None, one, two)
    assert (what.basis, what.fields) == ("A; B", ("called", "caller"))
    assert what.until == Span(months=24).after(BEGUN)
    assert judged(None, one, law("C", 24)).fields == ()  # one wants all of it


def test_audio_has_no_fields_and_stays_sealed() -> None:
    until = Span(months=36).after(BEGUN)
    assert judged(None, law("A", 36, "x"), whole=True) == Fate("keep", until, None, "A")


def test_what_was_agreed_to_be_archived_is_after_thirty_days() -> None:
    choice = AtEnd("archive", Span(months=12), basis=CLAUSE)
    assert judged(choice) == Fate("archive", MONTH, YEAR, CLAUSE, ())
    assert judged(choice, expires=MONTH) == Fate("delete", MONTH)
    assert judged(choice, law("A", 60, "caller")).fields == ("caller",)


def test_days_are_counted_where_the_tenant_is() -> None:
    there = Tenant("acme", "Acme", TenantSettings(time_zone="Europe/Paris"), (), {})
    night = datetime(2026, 9, 30, 22, tzinfo=UTC)  # midnight there, and clocks change within
    found = promises(there, night)["contact"].gone_at
    assert found == datetime(2026, 10, 30, 23, tzinfo=UTC)


def test_the_plan_names_every_class_and_ends_with_the_keys() -> None:
    ending = promises(tenant(), END)
    tally = Tally()
    for months in (60, 60, 61):
        tally.add("call_record", judged(None, law("A", months, "caller")))
    tally.add("verdict", judged(data_class="verdict"))
    steps = plan(ending, tally, END, returned=True)
    assert [one.data_class for one in steps[:3]] == ["access", "export", "credentials"]
    records = [(one.count, one.action) for one in steps if one.data_class == "call_record"]
    assert records == [(2, "archive"), (1, "archive")]
    assert {"contact", "fax", "account"} <= {one.data_class for one in steps}
    assert (steps[-1].data_class, steps[-1].at) == ("keys", MONTH)
