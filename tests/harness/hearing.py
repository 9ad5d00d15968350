"""Whose voice reaches what is recorded, at each instant."""

from dataclasses import dataclass

from tests.harness.channels import Channel, State


@dataclass(frozen=True, slots=True)
class Audible:
    """A party was heard in a recording from one instant to another, in seconds of the loop."""

    channel: str
    uniqueid: str
    outside: bool
    since: float
    until: float


def talks(channel: Channel) -> bool:
    """Whether sound comes from the person on a channel: answered, not gone, not on hold."""
    return (
        channel.speaking
        and not channel.on_hold
        and not channel.is_local
        and not channel.hung_up
        and (channel.state is State.UP or channel.early_media)
    )


def heard_by(channel: Channel) -> set[Channel]:
    """Everybody whose sound Asterisk writes to a channel."""
    return {other for other in connected_with(channel) if talks(other)}


def connected_with(channel: Channel) -> set[Channel]:
    """The parties in its bridge, and those behind the Local channels in it, whether they speak or
    not; before a bridge, the one that it dials."""
    found: set[Channel] = set()
    seen, todo = {channel}, [channel]
    while todo:
        here = todo.pop()
        others = [here.dials] if here.dials is not None else []
        if here.bridge is not None and not here.bridge.holding:
            others += here.bridge.channels
        for other in others:
            if other in seen:
                continue
            seen.add(other)
            if other.other_half is not None:
                seen.add(other.other_half)
                todo.append(other.other_half)
            else:
                found.add(other)
    return found


def spoken_into(channel: Channel) -> set[Channel]:
    """Everybody whose sound Asterisk reads from a channel."""
    if channel.other_half is not None:
        return heard_by(channel.other_half)
    return {channel} if talks(channel) else set()
