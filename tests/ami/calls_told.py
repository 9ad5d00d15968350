"""Events as Asterisk tells them, for tests that read like calls."""

from callguard.ami.wire import Message

ALICE, CAROL, BRIDGE = "1795302617.4", "1795302617.5", "19e0040a-7e19"
NAMES = {ALICE: "PJSIP/alice-00000001", CAROL: "PJSIP/carrier-00000002"}
DOWN, RINGING, UP = "0", "5", "6"


def leg(uniqueid: str, state: str = DOWN, prefix: str = "") -> list[tuple[str, str]]:
    """The headers that show one channel."""
    return [
        (f"{prefix}Channel", NAMES.get(uniqueid, f"PJSIP/x-{uniqueid}")),
        (f"{prefix}ChannelState", state),
        (f"{prefix}CallerIDNum", "<unknown>"),
        (f"{prefix}Uniqueid", uniqueid),
        (f"{prefix}Linkedid", ALICE),
    ]


def told(name: str, *headers: tuple[str, str]) -> Message:
    return Message((("Event", name), *headers))


def new(uniqueid: str) -> Message:
    return told("Newchannel", *leg(uniqueid))


def state(uniqueid: str, value: str) -> Message:
    return told("Newstate", *leg(uniqueid, value))


def dials(caller: str, called: str) -> Message:
    return told("DialBegin", *leg(caller, "4"), *leg(called, DOWN, "Dest"))


def dialled(caller: str, called: str, status: str) -> Message:
    return told("DialEnd", *leg(caller, "4"), *leg(called, DOWN, "Dest"), ("DialStatus", status))


def enters(uniqueid: str, bridge: str = BRIDGE) -> Message:
    return told("BridgeEnter", ("BridgeUniqueid", bridge), *leg(uniqueid, UP))


def leaves(uniqueid: str, bridge: str = BRIDGE) -> Message:
    return told("BridgeLeave", ("BridgeUniqueid", bridge), *leg(uniqueid, UP))


def hangs_up(uniqueid: str, cause: str = "16") -> Message:
    return told("Hangup", *leg(uniqueid, UP), ("Cause", cause), ("Cause-txt", "Normal Clearing"))


def listed(uniqueid: str, value: str = UP, bridge: str = "") -> Message:
    return told("CoreShowChannel", *leg(uniqueid, value), ("BridgeId", bridge))
