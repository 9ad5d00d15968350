"""What of a subject's consents stands now is what the next call would go by."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from callguard.consent.chain import Telling
from callguard.consent.standing import standing
from callguard.consent.states import ConsentState
from callguard.policy.facts import GivenConsent

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def day(days: int) -> datetime:
    return NOW + timedelta(days=days)


def said(
    days: int, state: str, *, call: str | None = None, until: int | None = None, to: str = "survey"
) -> Telling:
    return Telling(
        id=f"{days + 500}{state}",
        at=day(days),
        tenant="acme",
        subject="+44",
        purpose=to,
        state=ConsentState(state),
        call=call,
        until=None if until is None else day(until),
    )


def known(days: int, until: int | None = None, *, withdrawn: bool = False) -> GivenConsent:
    end = None if until is None else day(until)
    return GivenConsent("survey", day(days), end, "form 7", withdrawn)


@pytest.mark.parametrize(
    ("tellings", "given", "state", "since", "until"),
    [
        ([said(-9, "granted")], [known(-9)], "granted", -9, None),
        ([said(-9, "granted", until=9)], [known(-9, 9)], "granted", -9, 9),
        ([said(-9, "granted", until=-1)], [known(-9, -1)], "expired", -1, -1),
        ([said(-9, "granted", until=0)], [known(-9, 0)], "expired", 0, 0),
        ([said(-9, "granted"), said(-2, "withdrawn")], [known(-9, -2)], "withdrawn", -2, None),
        # Two consents: the one that lasts longer is what counts.
        ([said(-9, "granted", until=1)], [known(-9, 1), known(-5, 3)], "granted", -9, 3),
        ([said(-9, "granted", until=-1)], [known(-9, -1), known(-5)], "granted", -5, None),
        ([said(-9, "withdrawn"), said(-5, "granted")], [known(-5)], "granted", -5, None),
        # A no in one call does not end what was given elsewhere.
        ([said(-9, "granted"), said(-1, "refused", call="c")], [known(-9)], "granted", -9, None),
        ([said(-1, "refused", call="c")], [], "refused", -1, None),
        ([said(-1, "incomplete", call="c")], [], "incomplete", -1, None),
        # The evidence is gone; what is known of the contact tells how it ended.
        ([], [known(-9, -1)], "expired", -1, None),
        ([], [known(-9, -1, withdrawn=True)], "withdrawn", -1, None),
        ([], [known(-9)], "granted", -9, None),
    ],
)
def test_what_stands(
    tellings: Sequence[Telling],
    given: Sequence[GivenConsent],
    state: str,
    since: int,
    until: int | None,
) -> None:
    (found,) = standing(tellings, given, NOW)
    end = None if until is None else day(until)
    assert (found.purpose, found.state, found.since, found.until) == (
        *("survey", state, day(since)),
        end,
    )
    assert found.call is None


def test_a_yes_in_a_call_was_for_that_call_alone() -> None:
    (found,) = standing([said(-9, "granted", call="c7")], [], NOW)
    assert (found.state, found.call) == ("granted", "c7")


def test_each_purpose_stands_for_itself() -> None:
    tellings = [said(-9, "refused", to="recording"), said(-8, "withdrawn", to="marketing")]
    assert [(one.purpose, one.state) for one in standing(tellings, [known(-1)], NOW)] == [
        ("marketing", "withdrawn"),
        ("recording", "refused"),
        ("survey", "granted"),
    ]
