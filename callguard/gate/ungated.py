"""Whether a call that a trunk carries went through the gate. Pure.

A call that Asterisk places is covered by the verdict of the channel that dials it, also through
Local channels. One that comes in is covered by its own.
"""

import re
from collections.abc import Callable

from callguard.ami.calls import Channel, LiveCalls
from callguard.gate.callbook import Call
from callguard.policy.numbers import parse_number

HOPS = 8
"""Most channels between the one that passed the gate and the trunk."""

_DIGITS = re.compile(r"[0-9]+")

CallOf = Callable[[str], Call | None]
"""The call that began on a channel, by its Uniqueid."""


def diallers(channel: Channel, live: LiveCalls) -> tuple[Channel, ...]:
    """Who dialled a channel, and who dialled that one if it is the inner end of a Local channel,
    and so on; empty where nobody did."""
    found: list[Channel] = []
    dialler = channel.dialled_by
    while dialler is not None and len(found) < HOPS:
        here = live.channels.get(dialler)
        if here is None:
            break
        found.append(here)
        outer = live.other_half(here)
        dialler = outer.dialled_by if outer is not None else None
    return tuple(found)


def placed_by(channel: Channel, live: LiveCalls, call_of: CallOf) -> Call | None:
    """The allowed outbound call for which a channel was dialled, or None: nobody gave it a verdict.
    One that nobody dialled was placed by callguard itself, to call somebody back, or by a program
    past the gate."""
    for passed in (channel,) if channel.dialled_by is None else diallers(channel, live):
        call = call_of(passed.uniqueid)
        if call is not None and call.direction == "outbound":
            return call if call.allowed else None
    return None


def may_be_emergency(dialled: str, home_region: str) -> bool:
    """Whether any digits of what was dialled are an emergency number: such a call is never hung
    up, whoever placed it."""
    return any(parse_number(digits, home_region).emergency for digits in _DIGITS.findall(dialled))
