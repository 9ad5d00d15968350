"""Transfers: what Asterisk does to the channels when a phone passes a call on."""

import asyncio
from typing import TYPE_CHECKING

from tests.harness import events
from tests.harness.channels import Bridge, Channel, Target

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk


def _other(pbx: "SimulatedAsterisk", channel: Channel) -> tuple[Bridge, Channel]:
    """The bridge of two that a channel is in, and the other channel there."""
    bridge = channel.bridge
    if bridge is None or len(bridge.channels) != 2:
        raise AssertionError(f"{channel.name} is not in a bridge of two\n{pbx.story()}")
    (other,) = (each for each in bridge.channels if each is not channel)
    return bridge, other


def tell_blind_transfer(
    pbx: "SimulatedAsterisk", transferer: Channel, exten: str, context: str, *, external: bool
) -> Channel:
    """What every blind transfer begins with; returns whoever is transferred."""
    bridge, transferee = _other(pbx, transferer)
    if not external:
        pbx.media.hold(transferer, held=True)
    pbx.media.hold(transferer, held=False)
    transferee.variables.set("BLINDTRANSFER", transferer.name)
    transferee.variables.set("TRANSFERERNAME", transferer.name)
    headers = [
        ("Result", "Success"),
        *events.channel_headers(transferer, "Transferer"),
        *events.channel_headers(transferee, "Transferee"),
        *events.bridge_headers(bridge),
        ("IsExternal", "Yes" if external else "No"),
        ("Context", context),
        ("Extension", exten),
    ]
    pbx.emit("BlindTransfer", "call,all", headers)
    pbx.note("blind_transfer", transferer, f"{exten}@{context}")
    return transferee


def blind_transfer(
    pbx: "SimulatedAsterisk",
    transferer: Channel,
    exten: str,
    context: str,
    *,
    external: bool = True,
) -> Channel:
    """A phone's REFER (``external``), or the feature code, in a bridge of two: the other channel
    is sent to an extension, on whose dialplan it goes on alone. Returns that channel."""
    transferee = tell_blind_transfer(pbx, transferer, exten, context, external=external)
    transferee.send_to(Target(context, exten))
    return transferee


def attended_transfer(pbx: "SimulatedAsterisk", first: Channel, second: Channel) -> None:
    """A phone's REFER with Replaces: of its two calls, both bridged, the other side of the first
    takes the phone's place in the second."""
    bridge, transferee = _other(pbx, first)
    there, target = _other(pbx, second)
    for each in (first, second):
        pbx.media.hold(each, held=False)
    headers = _attended_headers(first, bridge, second, there, transferee, target, there)
    pbx.bridging.move(transferee, there, instead_of=second)
    pbx.emit("AttendedTransfer", "call,all", headers)
    pbx.note("attended_transfer", first, target.name)
    pbx.bridging.kick(first)
    second.stir.set()


def _attended_headers(
    first: Channel,
    bridge: Bridge,
    second: Channel,
    there: Bridge,
    transferee: Channel,
    target: Channel,
    at_last: Bridge,
) -> events.Headers:
    return [
        ("Result", "Success"),
        *events.channel_headers(first, "OrigTransferer"),
        *events.bridge_headers(bridge, "Orig"),
        *events.channel_headers(second, "SecondTransferer"),
        *events.bridge_headers(there, "Second"),
        *events.channel_headers(transferee, "Transferee"),
        *events.channel_headers(target, "TransferTarget"),
        ("IsExternal", "No"),
        ("DestType", "Bridge"),
        ("DestBridgeUniqueid", at_last.uniqueid),
    ]


async def consult(pbx: "SimulatedAsterisk", transferer: Channel, exten: str, context: str) -> None:
    """The feature code for an attended transfer: the other side is put on hold, the transferer
    talks with the extension through a Local channel, and its hang-up merges the two bridges."""
    bridge, transferee = _other(pbx, transferer)
    pbx.media.hold(transferer, held=True)
    address = f"{exten}@{context}"
    one = pbx.locals.make(transferer, address)
    there = pbx.bridging.new()
    bridge.consulting = there.consulting = True
    pbx.locals.call(one, address)
    pbx.bridging.impart(there, one, answer=False)
    pbx.bridging.move(transferer, there)
    # Asterisk's own hold ends with the phone's: it talks with the target now.
    transferer.on_hold = False
    pbx.media.follow_sound()

    def merge() -> None:
        bridge.consulting = False
        headers = _attended_headers(transferer, bridge, transferer, there, transferee, one, bridge)
        if one.bridge is there and transferee.bridge is bridge:
            to_from = [*events.bridge_headers(bridge, "To"), *events.bridge_headers(there, "From")]
            pbx.emit("BridgeMerge", "call,all", to_from)
            pbx.bridging.move(one, bridge)
            pbx.emit("AttendedTransfer", "call,all", headers)
        else:
            for each in (one, transferee):
                pbx.bridging.kick(each)

    pbx.bridging.at_end[transferer] = merge
    await asyncio.sleep(0)
