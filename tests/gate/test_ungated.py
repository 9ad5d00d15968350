"""A call on a trunk is covered by the verdict of whoever dials it, and by no other."""

from datetime import UTC, datetime

import pytest

from callguard.ami.calls import LiveCalls
from callguard.gate.callbook import Call
from callguard.gate.ungated import may_be_emergency, placed_by
from tests.ami.calls_told import told

AGENT, OUTER, INNER, TRUNK = "1.1", "1.2", "1.3", "1.4"
NAMES = {
    AGENT: "PJSIP/agent1-00000001",
    OUTER: "Local/44@out-00000001;1",
    INNER: "Local/44@out-00000001;2",
    TRUNK: "PJSIP/carrier-00000002",
}


def living(**dialled_by: str) -> LiveCalls:
    """The four channels; ``dialled_by`` by the names above, in lower case."""
    ids = {"agent": AGENT, "outer": OUTER, "inner": INNER, "trunk": TRUNK}
    live = LiveCalls()
    for uniqueid, name in NAMES.items():
        shown = (("Uniqueid", uniqueid), ("Channel", name), ("Linkedid", AGENT))
        live.apply(told("Newchannel", *shown), 0.0)
    for name, by in dialled_by.items():
        ends = (("Uniqueid", by), ("DestUniqueid", ids[name]))
        live.apply(told("DialBegin", *ends), 1.0)
    return live


def call(uniqueid: str, direction: str = "outbound", *, allowed: bool = True) -> Call:
    return Call(
        id="c",
        tenant="acme",
        pbx="asterisk",
        uniqueid=uniqueid,
        direction=direction,  # type: ignore[arg-type]  # a word of the table
        purpose="service",
        subject="+442079460123",
        allowed=allowed,
        obligations=frozenset(),
        decided_at=datetime(2026, 11, 20, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("dialled_by", "passed", "covered"),
    [
        ({"trunk": AGENT}, call(AGENT), True),
        ({"trunk": AGENT}, call(AGENT, allowed=False), False),
        ({"trunk": AGENT}, call(AGENT, "inbound"), False),
        ({"trunk": AGENT}, call(OUTER), False),
        ({"trunk": INNER, "outer": AGENT}, call(AGENT), True),
        ({"trunk": INNER, "outer": AGENT}, call(INNER), True),
        ({"trunk": INNER}, call(AGENT), False),
        ({}, call(TRUNK), True),
        ({}, call(AGENT), False),
    ],
)
def test_the_verdict_is_that_of_who_dials_it(
    dialled_by: dict[str, str], passed: Call, covered: bool
) -> None:
    live = living(**dialled_by)
    found = placed_by(
        live.channels[TRUNK], live, lambda uniqueid: passed if uniqueid == passed.uniqueid else None
    )
    assert (found is passed) is covered


def test_local_channels_that_dial_one_another_in_a_circle_end() -> None:
    live = living(trunk=INNER, outer=INNER)
    assert placed_by(live.channels[TRUNK], live, lambda _: None) is None


@pytest.mark.parametrize(
    ("dialled", "region", "emergency"),
    [
        ("112@carrier", "GB", True),
        ("carrier/sip:999@10.0.0.1", "GB", True),
        ("911", "US", True),
        ("442079460123@carrier", "GB", False),
        ("9990123@carrier", "GB", False),
        ("", "GB", False),
    ],
)
def test_digits_that_are_an_emergency_number_are_seen_in_what_is_dialled(
    dialled: str, region: str, emergency: bool
) -> None:
    assert may_be_emergency(dialled, region) is emergency
