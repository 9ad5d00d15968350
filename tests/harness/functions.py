"""The dialplan functions that are simulated, and the names a channel's dialplan can use."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote

from tests.harness.channels import Channel
from tests.harness.substitution import SubstitutionError, split_arguments

if TYPE_CHECKING:
    from tests.harness.records import CallRecord


class Exchange(Protocol):
    """What functions need of the simulated Asterisk."""

    globals: dict[str, str]

    def epoch(self) -> int:
        """The wall time in whole seconds since 1970."""
        ...

    def host_path(self, name: str) -> Path | None:
        """Where a path of Asterisk's lies on the host; None outside the mapped folders."""
        ...

    def record_of(self, channel: Channel) -> "CallRecord":
        """The call record of a channel."""
        ...


def is_true(condition: str) -> bool:
    """``pbx_checkcondition``: a number counts by its value, any other text is true."""
    if not condition:
        return False
    digits = re.match(r"\d+", condition)
    return int(digits[0]) != 0 if digits else True


class ChannelNames:
    """Variables and functions as one channel sees them."""

    def __init__(self, exchange: Exchange, channel: Channel) -> None:
        self._exchange = exchange
        self._channel = channel

    def variable(self, name: str) -> str:
        """Channel variables, then Asterisk's own, then globals."""
        return self.find(name) or ""

    def find(self, name: str) -> str | None:
        """As ``variable``, None when there is no such variable."""
        value = self._channel.variables.get(name)
        if value is not None:
            return value
        builtin = self._builtin(name)
        return builtin if builtin is not None else self._exchange.globals.get(name)

    def _builtin(self, name: str) -> str | None:
        channel = self._channel
        return {
            "EPOCH": str(self._exchange.epoch()),
            "EXTEN": channel.exten,
            "CONTEXT": channel.context,
            "PRIORITY": str(channel.priority),
            "CHANNEL": channel.name,
            "UNIQUEID": channel.uniqueid,
            "HANGUPCAUSE": str(channel.cause),
            "CALLERID": channel.caller_number,
        }.get(name)

    def function(self, name: str, argument: str) -> str:
        """The value of a function; raises SubstitutionError for one that is not simulated."""
        if name not in FUNCTIONS:
            raise SubstitutionError(f"function {name}() is not simulated")
        return FUNCTIONS[name](self._exchange, self._channel, argument)

    def assign(self, target: str, value: str) -> None:
        """Set a variable, or write a function such as ``CDR(userfield)``."""
        match = re.fullmatch(r"(\w+)\((.*)\)", target)
        if match is None:
            self._channel.variables.set(target, value)
        elif match[1] == "GLOBAL":
            self._exchange.globals[match[2]] = value
        elif match[1] == "ARRAY":
            for name, one in zip(match[2].split(","), value.split(","), strict=True):
                self.assign(name, one)
        elif match[1] == "CDR" and match[2] in {"userfield", "accountcode", "amaflags"}:
            setattr(self._exchange.record_of(self._channel), match[2], value)
        elif match[1] == "CHANNEL" and match[2] == "hangup_handler_push":
            if not value.startswith("callguard-hangup,"):
                raise SubstitutionError(f"the hangup handler {value} is not simulated")
            self._exchange.record_of(self._channel).tells_cause = True
        elif match[1] == "CDR":
            # Any other name is a field of the user's own, or read-only: Asterisk says nothing.
            return
        elif match[1] == "CHANNEL" and match[2] in {"language", "accountcode"}:
            setattr(self._channel, match[2], value)
        elif match[1] == "CALLERID" and match[2] in {"num", "name"}:
            attribute = "caller_number" if match[2] == "num" else "caller_name"
            setattr(self._channel, attribute, value)
        else:
            raise SubstitutionError(f"writing {target} is not simulated")


def _uriencode(_: Exchange, __: Channel, argument: str) -> str:
    return quote(argument, safe="-_.!~*'()")


def _uridecode(_: Exchange, __: Channel, argument: str) -> str:
    return unquote(argument)


def _filter(_: Exchange, __: Channel, argument: str) -> str:
    allowed, _comma, text = argument.partition(",")
    characters: set[str] = set()
    index = 0
    while index < len(allowed):
        if index + 2 < len(allowed) and allowed[index + 1] == "-":
            low, high = ord(allowed[index]), ord(allowed[index + 2])
            characters.update(chr(code) for code in range(low, high + 1))
            index += 3
        else:
            characters.add(allowed[index])
            index += 1
    return "".join(character for character in text if character in characters)


def _regex(_: Exchange, __: Channel, argument: str) -> str:
    match = re.match(r'\s*"((?:[^"\\]|\\.)*)"\s?(.*)', argument, re.DOTALL)
    if match is None:
        raise SubstitutionError(f"REGEX({argument}) needs a quoted expression")
    return "1" if re.search(match[1], match[2]) else "0"


def _if(_: Exchange, __: Channel, argument: str) -> str:
    condition, question, branches = argument.partition("?")
    if not question:
        raise SubstitutionError(f"IF({argument}) lacks a question mark")
    parts = [*split_arguments(branches, ":"), ""]
    return parts[0] if is_true(condition.strip()) else parts[1]


def _cdr(exchange: Exchange, channel: Channel, argument: str) -> str:
    name, _, option = argument.partition(",")
    try:
        return exchange.record_of(channel).read(name, option)
    except KeyError:
        return ""


def _channel(_: Exchange, channel: Channel, argument: str) -> str:
    values = {
        "name": channel.name,
        "state": channel.state.text,
        "language": channel.language,
        "accountcode": channel.accountcode,
        "uniqueid": channel.uniqueid,
        "linkedid": channel.linkedid,
        "exten": channel.exten,
        "context": channel.context,
        "onhold": str(int(_is_held(channel))),
        "rtp,hold": str(int(channel.on_hold)),
        "audionativeformat": f"({channel.codec})",
        "audioreadformat": channel.made_compatible,
        "audiowriteformat": channel.made_compatible,
        "channeltype": channel.name.partition("/")[0],
    }
    if argument not in values:
        raise SubstitutionError(f"CHANNEL({argument}) is not simulated")
    return values[argument]


def _is_held(channel: Channel) -> bool:
    """Whether somebody in its bridge put it on hold; who holds is not on hold itself."""
    others = channel.bridge.channels if channel.bridge is not None else []
    return any(other.on_hold for other in others if other is not channel)


def _callerid(_: Exchange, channel: Channel, argument: str) -> str:
    name, number = channel.caller_name, channel.caller_number
    values = {"num": number, "name": name, "all": f'"{name}" <{number}>'}
    if argument not in values:
        raise SubstitutionError(f"CALLERID({argument}) is not simulated")
    return values[argument]


def _stat(exchange: Exchange, _: Channel, argument: str) -> str:
    """``func_env``: only the flag M, the time of last change in whole seconds; "" if no file."""
    flag, _comma, name = argument.partition(",")
    if flag != "M":  # m is the octal mode
        raise ValueError(f"STAT({flag}) is not simulated")
    path = exchange.host_path(name)
    return str(int(path.stat().st_mtime)) if path is not None and path.exists() else ""


Function = Callable[[Exchange, Channel, str], str]

FUNCTIONS: dict[str, Function] = {
    "CSV_QUOTE": lambda _, __, argument: '"' + argument.replace('"', '""') + '"',
    "URIENCODE": _uriencode,
    "URIDECODE": _uridecode,
    "FILTER": _filter,
    "STAT": _stat,
    "REGEX": _regex,
    "IF": _if,
    "LEN": lambda _, __, argument: str(len(argument)),
    "ISNULL": lambda _, __, argument: "0" if argument else "1",
    "EXISTS": lambda _, __, argument: "1" if argument else "0",
    "GLOBAL": lambda exchange, _, argument: exchange.globals.get(argument, ""),
    "CDR": _cdr,
    "CHANNEL": _channel,
    "CALLERID": _callerid,
}
