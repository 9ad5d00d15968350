"""The Asterisk Manager Interface as bytes: messages in, actions out. No I/O.

A manager connection opens with one greeting line, then carries messages: header lines
``Name: value`` ended by an empty line. Every line ends in CR LF. Source: Asterisk's
``main/manager.c`` and its "AMI v2 Specification".
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

GREETING = b"Asterisk Call Manager/"

#: Asterisk reads action lines into a buffer of this many bytes, CR LF included, and discards
#: the whole message when one does not fit (``get_input`` in ``main/manager.c``).
ACTION_LINE_BYTES = 1024
#: Asterisk keeps this many header lines of one action (``AST_MAX_MANHEADERS``).
ACTION_LINES = 128

_LINE_END = b"\r\n"
_MESSAGE_END = b"\r\n\r\n"
_EVENT = b"Event: "
_ACTION_ID = b"\r\nActionID: "
_KINDS = ("event", "response", "action")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_UNSAFE = re.compile(r"[\r\n\0]")


class ProtocolError(Exception):
    """The manager protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We were asked to send what the protocol cannot carry; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The other side sent what no Asterisk sends; the connection cannot be trusted further."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the other side may send before it must have made sense, in bytes.

    ``line_bytes`` bounds the greeting and each header line that is parsed, ``message_bytes``
    each message, parsed or skipped, finished or not; both without their line ends. What the
    parser holds between two feeds never exceeds ``message_bytes`` by more than three bytes.
    """

    line_bytes: int = 64 * 1024
    message_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        if not len(GREETING) <= self.line_bytes <= self.message_bytes:
            raise ValueError("AMI limits: a greeting fits a line, a line fits a message")


@dataclass(frozen=True, slots=True)
class Message:
    """One event, response or action: its headers in the order they came.

    Empty values and repeated headers are kept. Bytes that are not UTF-8 became U+FFFD.
    """

    headers: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of ``name``, in any case; ``default`` if there is none."""
        wanted = name.lower()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value
        return default

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of ``name``, in any case and in order."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)

    @property
    def kind(self) -> Literal["event", "response", "action", ""]:
        """What the message is, from the first header that says so."""
        for key, _ in self.headers:
            lowered = key.lower()
            if lowered == "event":
                return "event"
            if lowered == "response":
                return "response"
            if lowered == "action":
                return "action"
        return ""

    @property
    def name(self) -> str:
        """The value of Event, Response or Action, whichever comes first; empty without one."""
        for key, value in self.headers:
            if key.lower() in _KINDS:
                return value
        return ""


@dataclass(slots=True, eq=False)
class Parser:
    """Turns the bytes of one connection into messages, however they are cut.

    ``wanted`` names the event kinds to return; None means all of them. Other events are
    stepped over without being parsed. Responses are always returned. Time is linear in the
    bytes fed, even when one message drips in byte by byte.
    """

    wanted: Collection[str] | None = None
    limits: Limits = field(default_factory=Limits)
    #: Also return events that carry an ActionID, wanted or not: set while a list is awaited.
    answers: bool = False
    #: How many events were stepped over so far.
    skipped: int = field(default=0, init=False)
    #: The greeting without its line end, None until it came.
    greeting: str | None = field(default=None, init=False)
    _names: frozenset[bytes] | None = field(default=None, init=False)
    #: What the wanted events begin with, all cut to one length. Most unwanted events are told
    #: apart by it alone, which is what makes stepping over them cheap.
    _heads: frozenset[bytes] = field(default=frozenset(), init=False)
    _head_bytes: int = field(default=0, init=False)
    _held: bytearray = field(default_factory=bytearray, init=False)
    _broken: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.wanted is not None:
            self._names = frozenset(name.encode() for name in self.wanted)
            self._head_bytes = len(_EVENT) + min(map(len, self._names), default=0)
            self._heads = frozenset((_EVENT + name)[: self._head_bytes] for name in self._names)

    @property
    def held(self) -> int:
        """Bytes of an unfinished message kept for the next feed."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completed.

        Raises RemoteProtocolError when the other side broke the protocol or a limit. The
        parser then stays broken; messages completed by the same ``data`` are lost with the
        connection, as everything is that Asterisk would have sent after it.
        """
        if self._broken is not None:
            raise RemoteProtocolError(self._broken)
        try:
            return self._feed(data)
        except RemoteProtocolError as error:
            self._broken = str(error)
            self._held.clear()
            raise

    def _feed(self, data: bytes) -> list[Message]:
        held = self._held
        if held:
            # Only the seam and the new bytes can hold a terminator that was not there before.
            seam = max(0, len(held) - 3)
            held += data
            end = _LINE_END if self.greeting is None else _MESSAGE_END
            if held.find(end, seam) < 0:
                self._check_held()
                return []
            data = bytes(held)
            held.clear()
        if self.greeting is None:
            start = self._greet(data)
            if start is None:
                held += data
                self._check_held()
                return []
            data = data[start:]
        blocks = data.split(_MESSAGE_END)
        rest = blocks.pop()
        longest = self.limits.message_bytes
        if len(data) > longest and any(len(block) > longest for block in blocks):
            raise RemoteProtocolError(f"a message is longer than {longest} bytes")
        if rest:
            held += rest
            self._check_held()
        return self._read(blocks)

    def _read(self, blocks: list[bytes]) -> list[Message]:
        """The messages among whole blocks that are not to be stepped over."""
        heads, size = self._heads, self._head_bytes
        passing = self._names is not None and not self.answers
        skipped = 0
        messages = []
        for block in blocks:
            head = block[:size]
            if passing and head not in heads and head[:7] == _EVENT:
                skipped += 1
                continue
            block = block.removeprefix(_LINE_END)
            if not self._is_wanted(block):
                skipped += 1
            elif block:
                messages.append(self._parse(block))
        self.skipped += skipped
        return messages

    def _is_wanted(self, block: bytes) -> bool:
        if self._names is None or not block.startswith(_EVENT):
            return True
        kind = block[len(_EVENT) :].partition(_LINE_END)[0]
        return kind in self._names or (self.answers and _ACTION_ID in block)

    def _parse(self, block: bytes) -> Message:
        longest = self.limits.line_bytes
        if len(block) > longest and any(len(line) > longest for line in block.split(_LINE_END)):
            raise RemoteProtocolError(f"a line is longer than {longest} bytes")
        lines = block.decode("utf-8", "replace").split("\r\n")
        parted = [line.partition(": ") for line in lines]
        # "Name:" of an empty value, and lines that are no header at all, are kept too.
        return Message(
            tuple(
                [
                    (name, value) if separator else name.partition(":")[::2]
                    for name, separator, value in parted
                ]
            )
        )

    def _greet(self, data: bytes) -> int | None:
        """Reads the greeting; returns where the messages begin, None if it is not all there."""
        head = data[: len(GREETING)]
        if not GREETING.startswith(head):
            raise RemoteProtocolError("the greeting is not Asterisk's")
        end = data.find(_LINE_END)
        if end > self.limits.line_bytes:
            raise RemoteProtocolError("the greeting is too long")
        if end < 0:
            return None
        self.greeting = data[:end].decode("utf-8", "replace")
        return end + 2

    def _check_held(self) -> None:
        """Refuses held bytes that can no longer become a message within the limits."""
        if self.greeting is None:
            if not GREETING.startswith(self._held[: len(GREETING)]):
                raise RemoteProtocolError("the greeting is not Asterisk's")
            if len(self._held) > self.limits.line_bytes + 1:
                raise RemoteProtocolError("the greeting is too long")
        elif len(self._held) > self.limits.message_bytes + 3:
            longest = self.limits.message_bytes
            raise RemoteProtocolError(f"a message is longer than {longest} bytes")


def build_action(name: str, headers: Collection[tuple[str, str]], action_id: str) -> bytes:
    """The bytes of one action, ActionID included, ready to be written.

    Raises LocalProtocolError for what would not arrive as it was meant: CR, LF or NUL, a
    name that is not a header's, a second Action or ActionID, or more or longer lines than
    Asterisk reads.
    """
    lines: list[bytes] = []
    for key, value in (("Action", name), ("ActionID", action_id), *headers):
        if lines[1:] and key.lower() in ("action", "actionid"):
            raise LocalProtocolError(f"a second {key} header")
        if not _HEADER_NAME.fullmatch(key):
            raise LocalProtocolError("a header name is empty or holds a character it must not")
        if _UNSAFE.search(value):
            raise LocalProtocolError(f"the value of {key} holds CR, LF or NUL")
        try:
            line = f"{key}: {value}\r\n".encode()
        except UnicodeEncodeError:
            raise LocalProtocolError(f"the value of {key} is not text") from None
        if len(line) > ACTION_LINE_BYTES:
            raise LocalProtocolError(f"the line of {key} is over {ACTION_LINE_BYTES} bytes")
        lines.append(line)
    if not name:
        raise LocalProtocolError("an action needs a name")
    if len(lines) > ACTION_LINES:
        raise LocalProtocolError(f"an action of more than {ACTION_LINES} lines")
    return b"".join(lines) + _LINE_END
