"""``callguard campaign``."""

import pytest

from tests.cli.conftest import CommandLine

MACHINE = ("--tenant", "acme", "--purpose", "marketing", "--machine", "--campaign", "אביב 2026")
ANN = "+442079460000"


def report(callguard: CommandLine, *figures: str) -> str:
    return callguard("campaign", "report", "acme", "אביב 2026", *figures).out


def abandonment(callguard: CommandLine) -> str:
    """What the British rule finds for a machine's call of the campaign."""
    said = callguard("explain", ANN, *MACHINE, "--json").json()
    assert isinstance(said, dict)
    found = [f for f in said["findings"] if f["rule"] == "gb.abandonment"]
    return str(found[0]["outcome"])


def test_a_campaign_of_which_nothing_is_known_is_held_back_and_one_that_begins_is_not(
    acme: CommandLine,
) -> None:
    assert abandonment(acme) == "unknown"
    report(acme, "--answered", "0", "--abandoned", "0")
    assert abandonment(acme) == "pass"


def test_a_campaign_that_leaves_too_many_with_nobody_is_held_back(acme: CommandLine) -> None:
    report(acme, "--answered", "1000", "--abandoned", "30")
    assert abandonment(acme) == "pass"
    said = report(acme, "--answered", "1000", "--abandoned", "31")
    assert said.endswith(": 31 of 1000 calls abandoned\n")
    assert abandonment(acme) == "block"


def test_what_is_said_of_a_day_takes_the_place_of_what_was_said(acme: CommandLine) -> None:
    for abandoned in ("7", "9"):
        day = ("--day", "2026-01-02")
        report(acme, "--answered", "100", "--abandoned", abandoned, *day)
    shown = acme("campaign", "show", "acme", "אביב 2026", "--json").json()
    assert shown == [{"day": "2026-01-02", "answered": 100, "abandoned": 9}]
    assert acme("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nobody", "x", "--answered", "1", "--abandoned", "0"), "there is no tenant nobody"),
        (("acme", "", "--answered", "1", "--abandoned", "0"), "1 to 128 characters"),
        (("acme", "x" * 129, "--answered", "1", "--abandoned", "0"), "1 to 128 characters"),
        (("acme", "x", "--answered", "1", "--abandoned", "2"), "2 abandoned of 1 answered"),
        (("acme", "x", "--answered", "-1", "--abandoned", "-1"), "cannot be"),
        (
            ("acme", "x", "--answered", "1", "--abandoned", "0", "--day", "2199-01-01"),
            "lies in the future",
        ),
        (
            ("acme", "x", "--answered", "1", "--abandoned", "0", "--day", "yesterday"),
            "'yesterday' is no day",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    acme: CommandLine, arguments: tuple[str, ...], told: str
) -> None:
    acme("campaign", "report", *arguments).refused(told)
