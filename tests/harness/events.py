"""The headers of the AMI events that the simulator sends, in Asterisk's order."""

from tests.harness.channels import HANGUP_TEXT, Bridge, Channel

Headers = list[tuple[str, str]]


def channel_headers(channel: Channel, prefix: str = "") -> Headers:
    """The snapshot of a channel that nearly every event carries."""
    unknown = "<unknown>"
    values = [
        ("Channel", channel.name),
        ("ChannelState", str(channel.state.value)),
        ("ChannelStateDesc", channel.state.text),
        ("CallerIDNum", channel.caller_number or unknown),
        ("CallerIDName", channel.caller_name or unknown),
        ("ConnectedLineNum", channel.connected_number or unknown),
        ("ConnectedLineName", unknown),
        ("Language", channel.language),
        ("AccountCode", channel.accountcode),
        ("Context", channel.context),
        ("Exten", channel.exten),
        ("Priority", str(channel.priority)),
        ("Uniqueid", channel.uniqueid),
        ("Linkedid", channel.linkedid),
    ]
    return [(prefix + name, value) for name, value in values]


def bridge_headers(bridge: Bridge, prefix: str = "") -> Headers:
    """The snapshot of a bridge."""
    values = [
        ("BridgeUniqueid", bridge.uniqueid),
        ("BridgeType", bridge.kind),
        ("BridgeTechnology", bridge.technology),
        ("BridgeCreator", bridge.creator or "<unknown>"),
        ("BridgeName", bridge.name or "<unknown>"),
        ("BridgeNumChannels", str(len(bridge.channels))),
        ("BridgeVideoSourceMode", "none"),
    ]
    return [(prefix + name, value) for name, value in values]


def halves(one: Channel, two: Channel) -> Headers:
    """Both halves of a Local channel."""
    return [*channel_headers(one, "LocalOne"), *channel_headers(two, "LocalTwo")]


def hangup_headers(channel: Channel) -> Headers:
    """The Hangup event."""
    return [
        *channel_headers(channel),
        ("Cause", str(channel.cause)),
        ("Cause-txt", HANGUP_TEXT.get(channel.cause, "Unknown")),
    ]


def listed(channel: Channel, now: float) -> Headers:
    """One CoreShowChannel event."""
    seconds = int(now - channel.created)
    return [
        *channel_headers(channel),
        ("Application", channel.application),
        ("ApplicationData", channel.data),
        ("Duration", f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"),
        ("BridgeId", channel.bridge.uniqueid if channel.bridge is not None else ""),
    ]
