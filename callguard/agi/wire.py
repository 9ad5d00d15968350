"""AGI as bytes: the environment, the commands and the replies, without any I/O.

Modelled on ``res_agi.c`` of Asterisk 22, which sends one LF-ended line at a time and never a CR.
Both parsers take bytes in any cutting (``receive``) and hand out what is whole (``next``); their
work is linear in the bytes received and their memory is capped. Whatever the peer sends gives a
value or ``RemoteProtocolError``, and a parser that has raised goes on raising.
"""

import re
from dataclasses import dataclass
from typing import Final

COMMAND_BYTES: Final = 8191
"""Longest command line with its LF: Asterisk reads into AGI_BUF_LEN (8,192) bytes with a NUL."""

_CODES: Final = frozenset({b"100", b"200", b"510", b"511", b"520"})
_END_OF_USAGE: Final = b"520 "
_FIELDS: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*=[^ ]*(?: |\Z))*")
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,18}")


class AgiError(Exception):
    """Whatever can go wrong between callguard and Asterisk in one AGI session."""


class ProtocolError(AgiError):
    """Bytes that AGI does not allow."""


class LocalProtocolError(ProtocolError):
    """We were about to send something that AGI cannot carry; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that AGI does not allow; the session cannot go on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply to a command.

    ``code`` is 100 (trying, the real reply follows), 200, 510 (unknown command), 511 (dead
    channel) or 520 (wrong usage). With 200, ``result`` is what follows ``result=`` and may be
    empty, ``data`` is what stood in parentheses, ``fields`` are the ``key=value`` pairs after
    them. With any other code ``text`` is the line, or the lines of a 520 block.
    """

    code: int
    result: str = ""
    data: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    text: str = ""

    @property
    def number(self) -> int:
        """``result`` as a whole number; ``RemoteProtocolError`` where it is none."""
        return _whole_number("result", self.result)

    @property
    def endpos(self) -> int:
        """Samples played, from ``endpos=``; ``RemoteProtocolError`` where it is missing."""
        for key, value in self.fields:
            if key == "endpos":
                return _whole_number(key, value)
        raise RemoteProtocolError("reply without endpos")


@dataclass(frozen=True, slots=True)
class Hangup:
    """The in-band line ``HANGUP``: the channel is gone, most commands will get 511."""


HANGUP: Final = Hangup()


def build_command(verb: str, *arguments: str) -> bytes:
    """One command line: ``verb`` as it stands, then each argument in quotes.

    Asterisk (``parse_args``) takes what stands in quotes as one argument and drops the backslash
    before a quote or a backslash. CR, LF and NUL have no escape and would end the command, so
    they raise ``LocalProtocolError``, as do a lone surrogate and more than ``COMMAND_BYTES``.
    """
    text = verb
    for argument in arguments:
        if "\\" in argument or '"' in argument:
            argument = argument.replace("\\", "\\\\").replace('"', '\\"')
        text += f' "{argument}"'
    if "\n" in text or "\r" in text or "\0" in text:
        raise LocalProtocolError(f"CR, LF or NUL in an argument of {verb[:40]!r}")
    try:
        line = f"{text}\n".encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"a lone surrogate in an argument of {verb[:40]!r}") from None
    if len(line) > COMMAND_BYTES:
        raise LocalProtocolError(f"{verb[:40]!r} is longer than {COMMAND_BYTES} bytes")
    return line


class EnvironmentParser:
    """The ``agi_…: value`` lines up to the empty line, at most ``limit`` bytes of them.

    A repeated key and a line without a colon are refused: only a line break smuggled into a
    value (a caller's name, say) could make them, and what follows it could pose as ours.
    """

    def __init__(self, limit: int = 65536) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._failed = False

    def receive(self, data: bytes) -> None:
        """Takes the next bytes from the peer."""
        self._buffer += data

    def next(self) -> dict[str, str] | None:
        """The environment, once, as soon as it is whole; until then None."""
        if self._failed:
            raise RemoteProtocolError("the environment was refused before")
        try:
            return self._parse()
        except RemoteProtocolError:
            self._failed = True
            self._buffer.clear()
            raise

    def rest(self) -> bytes:
        """What came after the environment: the first bytes for the reply parser."""
        return bytes(self._buffer)

    def _parse(self) -> dict[str, str] | None:
        end = self._buffer.find(b"\n\n", max(0, self._searched - 1), self._limit)
        if end < 0:
            if len(self._buffer) >= self._limit:
                raise RemoteProtocolError(f"no end of the environment in {self._limit} bytes")
            self._searched = len(self._buffer)
            return None
        values: dict[str, str] = {}
        lines = self._buffer[:end].decode("utf-8", "replace").split("\n")
        for line in lines:
            key, colon, value = line.partition(": ")
            if not colon:
                key, colon, value = line.partition(":")
            if not colon or not key:
                raise RemoteProtocolError("a line of the environment is not «key: value»")
            values[key] = value
        if len(values) != len(lines):
            raise RemoteProtocolError("a key of the environment comes twice")
        del self._buffer[: end + 2]
        return values


class ReplyParser:
    """Replies and in-band hang-ups, in the order they came.

    ``line_bytes`` caps one line, ``block_bytes`` a whole 520 block. A ``HANGUP`` between the
    lines of a 520 block is handed out before the block.
    """

    def __init__(self, line_bytes: int = 8192, block_bytes: int = 65536) -> None:
        self._line_bytes = line_bytes
        self._block_bytes = block_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._usage: list[bytes] | None = None
        self._usage_bytes = 0
        self._failed = False

    def receive(self, data: bytes) -> None:
        """Takes the next bytes from the peer."""
        self._buffer += data

    def next(self) -> Reply | Hangup | None:
        """The next whole reply or hang-up, or None until more bytes come."""
        if self._failed:
            raise RemoteProtocolError("a reply was refused before")
        try:
            while (line := self._line()) is not None:
                event = self._event(line)
                if event is not None:
                    return event
        except RemoteProtocolError:
            self._failed = True
            self._buffer.clear()
            raise
        return None

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        if (end if end >= 0 else len(self._buffer)) > self._line_bytes:
            raise RemoteProtocolError(f"a reply line is longer than {self._line_bytes} bytes")
        if end < 0:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _event(self, line: bytes) -> Reply | Hangup | None:
        if line == b"HANGUP":
            return HANGUP
        if self._usage is not None:
            return self._usage_line(self._usage, line)
        if line.startswith(b"200 result="):
            return _success(line[11:].decode("utf-8", "replace"))
        if line.startswith(b"520-"):
            self._usage = [line[4:]]
            self._usage_bytes = len(line)
            return None
        code, _, text = line.partition(b" ")
        if code not in _CODES or code == b"200":
            raise RemoteProtocolError("a line that is no AGI reply")
        return Reply(int(code), text=text.decode("utf-8", "replace"))

    def _usage_line(self, usage: list[bytes], line: bytes) -> Reply | None:
        self._usage_bytes += len(line) + 1
        if self._usage_bytes > self._block_bytes:
            raise RemoteProtocolError(f"a 520 block is longer than {self._block_bytes} bytes")
        if not line.startswith(_END_OF_USAGE):
            usage.append(line)
            return None
        self._usage = None
        return Reply(520, text=b"\n".join(usage).decode("utf-8", "replace"))


def _success(text: str) -> Reply:
    """What follows ``200 result=``: the result, ``(data)``, ``key=value`` pairs.

    Data may hold parentheses and spaces of its own, and a variable's value may look like the
    pairs: so data reaches to the last parenthesis after which nothing but pairs follows.
    """
    result, _, tail = text.partition(" ")
    if not tail:
        return Reply(200, result)
    data: str | None = None
    if tail[0] == "(":
        if tail[-1] == ")":
            return Reply(200, result, tail[1:-1])
        data, closing, tail = tail[1:].rpartition(") ")
        if not closing:
            raise RemoteProtocolError("the data of a reply has no end")
    if not _FIELDS.fullmatch(tail):
        # The speech verbs, which callguard does not use, put quoted texts here.
        raise RemoteProtocolError("a reply ends in something that is not key=value")
    pairs = [pair.partition("=") for pair in tail.split(" ") if pair]
    return Reply(200, result, data, tuple((key, value) for key, _, value in pairs))


def _whole_number(what: str, text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise RemoteProtocolError(f"{what} is not a whole number")
    return int(text)
