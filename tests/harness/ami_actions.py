"""The AMI actions that are simulated, and what each answers."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.harness.agi_client import NotSimulated
from tests.harness.channels import Channel, ChannelEnded, Target
from tests.harness.dialplan import DialplanError
from tests.harness.events import listed
from tests.harness.functions import ChannelNames

if TYPE_CHECKING:
    from tests.harness.ami_server import Session
    from tests.harness.asterisk import SimulatedAsterisk

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Action:
    """What a client sent."""

    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The first header of that name in any case, empty when there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")

    @property
    def name(self) -> str:
        """The action's name in lower case."""
        return self.get("Action").lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, and the list events that follow it."""

    headers: Headers = field(default_factory=list)
    events: list[tuple[str, Headers]] = field(default_factory=list)
    response: str = "Success"


class ActionError(Exception):
    """``Response: Error``; a fatal one ends the session."""

    def __init__(self, text: str, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.fatal = fatal


class Goodbye(Exception):  # noqa: N818  (an orderly end)
    """The last reply of a session."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("goodbye")
        self.reply = reply


Filter = Callable[[str, str], bool | None]


def wants(filters: list[Filter], name: str, block: str) -> bool:
    """Whether an event passes: an exclusion that applies wins, then any inclusion must apply."""
    verdicts = [each(name, block) for each in filters]
    if False in verdicts:
        return False
    including = [each for each in filters if not getattr(each, "excludes", False)]
    return not including or True in verdicts


def _message(text: str) -> Reply:
    return Reply([("Message", text)])


def _challenge(session: "Session", action: Action) -> Reply:
    if action.get("AuthType").lower() != "md5":
        raise ActionError("Must specify AuthType")
    session.challenge = str(271828182 + len(session.manager.received))
    return Reply([("Challenge", session.challenge)])


def _login(session: "Session", action: Action) -> Reply:
    key = action.get("Key") if action.get("AuthType").lower() == "md5" else ""
    name, secret, mask = action.get("Username"), action.get("Secret"), action.get("Events")
    if not session.login(name, key, secret, mask):
        raise ActionError("Authentication failed", fatal=True)
    return _message("Authentication accepted")


def _logoff(_: "Session", __: Action) -> Reply:
    raise Goodbye(Reply([("Message", "Thanks for all the fish.")], response="Goodbye"))


def _ping(session: "Session", _: Action) -> Reply:
    now = session.manager.clock.now().timestamp()
    return Reply([("Ping", "Pong"), ("Timestamp", f"{now:.6f}")])


def _events(session: "Session", action: Action) -> Reply:
    return Reply([("Events", "On" if session.set_mask(action.get("EventMask")) else "Off")])


class _EventFilter:
    def __init__(self, name: str, regex: str, *, excludes: bool) -> None:
        self._name, self._regex, self.excludes = name, re.compile(regex), excludes

    def __call__(self, name: str, block: str) -> bool | None:
        if (self._name and name != self._name) or not self._regex.search(block):
            return None
        return not self.excludes


def _filter(session: "Session", action: Action) -> Reply:
    if action.get("Operation").lower() != "add":
        raise ActionError("Unknown operation")
    text = action.get("Filter")
    criteria = action.get("MatchCriteria")
    name = re.search(r"name\((\w+)\)", criteria)
    excludes = "action(exclude)" in criteria or (not criteria and text.startswith("!"))
    if not criteria:
        text = text.removeprefix("!")
    session.filters.append(_EventFilter(name[1] if name else "", text, excludes=excludes))
    return _message("Success")


def _pbx(session: "Session") -> "SimulatedAsterisk":
    if session.pbx is None:
        raise ActionError("No such channel")
    return session.pbx


def _channel(session: "Session", action: Action) -> Channel:
    name = action.get("Channel")
    if not name:
        raise ActionError("No channel specified")
    channel = _pbx(session).find_channel(name)
    if channel is None:
        raise ActionError("No such channel")
    return channel


def _setvar(session: "Session", action: Action) -> Reply:
    name, value = action.get("Variable"), action.get("Value")
    if not name:
        raise ActionError("No variable specified")
    if action.get("Channel"):
        ChannelNames(_pbx(session), _channel(session, action)).assign(name, value)
    else:
        _pbx(session).globals[name] = value
    _pbx(session).changed()
    return _message("Variable Set")


def _getvar(session: "Session", action: Action) -> Reply:
    name = action.get("Variable")
    if not name:
        raise ActionError("No variable specified")
    if not action.get("Channel"):
        value = _pbx(session).globals.get(name, "")
    elif name.endswith(")"):
        function, _, argument = name[:-1].partition("(")
        value = ChannelNames(_pbx(session), _channel(session, action)).function(function, argument)
    else:
        value = ChannelNames(_pbx(session), _channel(session, action)).variable(name)
    return Reply([("Variable", name), ("Value", value)])


def _channels(session: "Session", _: Action) -> Reply:
    pbx = session.pbx
    channels = [] if pbx is None else pbx.channels
    events: list[tuple[str, Headers]] = [
        ("CoreShowChannel", listed(channel, session.manager.clock.now().timestamp()))
        for channel in channels
    ]
    done = [("EventList", "Complete"), ("ListItems", str(len(channels)))]
    events.append(("CoreShowChannelsComplete", done))
    return Reply([("EventList", "start"), ("Message", "Channels will follow")], events)


def _mixmonitor(session: "Session", action: Action) -> Reply:
    channel, file = _channel(session, action), action.get("File")
    options = action.get("Options")
    variable = re.search(r"i\((\w+)\)", options)
    letters = options.replace(variable[0], "") if variable else options
    identity = _pbx(session).media.start_recording(
        channel, file, bridged_only="b" in letters, stereo="D" in letters
    )
    if variable is None:  # Asterisk knows the id only where the option i asks for it
        return Reply()
    channel.variables.set(variable[1], identity)
    return Reply([("MixMonitorID", identity)])


def _stopmixmonitor(session: "Session", action: Action) -> Reply:
    channel = _channel(session, action)
    if not _pbx(session).media.stop_recording(channel, action.get("MixMonitorID")):
        raise ActionError("Could not stop monitoring channel")
    return Reply()


def _mixmonitormute(session: "Session", action: Action) -> Reply:
    channel, direction = _channel(session, action), action.get("Direction")
    state = action.get("State")
    if not state:
        raise ActionError("No state specified")
    if direction not in {"read", "write", "both"}:
        raise ActionError("Invalid direction specified")
    muted = state.lower() in {"1", "true", "yes", "y", "t", "on"}
    which = action.get("MixMonitorID")
    if not _pbx(session).media.mute_recording(channel, direction, muted, which):
        raise ActionError("Cannot set mute flag")
    return Reply()


def _hangup(session: "Session", action: Action) -> Reply:
    cause = action.get("Cause")
    _channel(session, action).hang_up(int(cause) if cause.isdigit() else 16)
    return _message("Channel Hungup")


def _redirect(session: "Session", action: Action) -> Reply:
    channel = _channel(session, action)
    place = f"{action.get('Context')},{action.get('Exten')},{action.get('Priority')}"
    try:
        target: Target = _pbx(session).interpreter.target(channel, place)
    except (ChannelEnded, DialplanError):
        raise ActionError("Redirect failed") from None
    channel.send_to(target)
    other = _pbx(session).find_channel(action.get("ExtraChannel"))
    if other is not None:
        other.send_to(target)
    return _message("Redirect successful")


def _command(session: "Session", action: Action) -> Reply:
    output = session.manager.command_output.get(action.get("Command"))
    if output is None:
        lines = [("Output", f"No such command '{action.get('Command')}'")]
        return Reply([("Message", "Command output follows"), *lines], response="Error")
    lines = [("Output", line) for line in output]
    return Reply([("Message", "Command output follows"), *lines])


def _originate(session: "Session", action: Action) -> Reply:
    if action.get("Async") != "true" or action.get("Application"):
        raise NotSimulated("AMI action Originate that waits, or runs an application")
    _pbx(session).originate(
        action.get("Channel"),
        Target(action.get("Context"), action.get("Exten"), int(action.get("Priority"))),
        caller=action.get("CallerID"),
        timeout=int(action.get("Timeout") or 30_000) / 1000,
        uniqueid=action.get("ChannelId"),
        variables=[value for name, value in action.headers if name.lower() == "variable"],
    )
    return _message("Originate successfully queued")


_NONE: frozenset[str] = frozenset()
_CALL = frozenset({"system", "call"})

ACTIONS: dict[str, tuple[frozenset[str], Callable[["Session", Action], Reply]]] = {
    "challenge": (_NONE, _challenge),
    "login": (_NONE, _login),
    "logoff": (_NONE, _logoff),
    "ping": (_NONE, _ping),
    "events": (_NONE, _events),
    "filter": (frozenset({"system"}), _filter),
    "setvar": (frozenset({"call"}), _setvar),
    "getvar": (frozenset({"call"}), _getvar),
    "coreshowchannels": (frozenset({"system", "reporting"}), _channels),
    "mixmonitor": (_CALL, _mixmonitor),
    "stopmixmonitor": (_CALL, _stopmixmonitor),
    "mixmonitormute": (_CALL, _mixmonitormute),
    "hangup": (_CALL, _hangup),
    "redirect": (frozenset({"call"}), _redirect),
    "originate": (frozenset({"originate"}), _originate),
    "command": (frozenset({"command"}), _command),
}
"""Name, the write classes of which one is needed, and what runs."""
