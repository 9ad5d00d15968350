"""The AGI side of Asterisk: what ``AGI(agi://…)`` does on a channel.

Command lines come from the server and are answered as ``res_agi.c`` answers them: argument
counts, 510, 511 on a dead channel, the 520 block, the bare ``HANGUP`` line, ``endpos`` in samples.
A command that Asterisk has and the simulator has not raises ``NotSimulated`` instead of lying.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from tests.harness.channels import Channel, ChannelEnded, Digit, Gone, State
from tests.harness.expressions import evaluate
from tests.harness.functions import ChannelNames
from tests.harness.pipes import Streams
from tests.harness.substitution import substitute

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk

_LINE = 8192
_COMMAND_IDS = count(1)
_NOT_SIMULATED = (
    *("ASYNCAGI", "CONTROL", "DATABASE", "GET DATA", "GET OPTION", "GOSUB"),
    *("RECEIVE", "RECORD", "SAY", "SEND", "SET AUTOHANGUP", "SET CALLERID", "SET CONTEXT"),
    *("SET EXTENSION", "SET MUSIC", "SET PRIORITY", "SPEECH", "TDD"),
)


class NotSimulated(RuntimeError):  # noqa: N818  (names what is missing)
    """Real Asterisk would understand this; the simulator does not."""


class _Usage(Exception):  # noqa: N818  (an answer, not an error)
    """Wrong arguments: answered with the 520 block."""


class AgiRun:
    """One AGI session on a channel."""

    def __init__(self, pbx: "SimulatedAsterisk", channel: Channel, url: str) -> None:
        self._pbx = pbx
        self._channel = channel
        self._url = url
        self._names = ChannelNames(pbx, channel)
        self._hangup_told = False
        self._failed = False
        self.commands = 0

    async def run(self, streams: Streams) -> str:
        """Serve commands until the server closes; returns AGISTATUS."""
        reader, writer = streams
        channel = self._channel
        reading: asyncio.Task[bytes] | None = None
        try:
            writer.write(self._environment())
            while True:
                if channel.interrupted and not self._hangup_told:
                    self._tell_hangup(writer)
                if reading is None:
                    reading = asyncio.create_task(reader.readuntil(b"\n"))
                if not await self._next_line(reading):
                    continue
                line, reading = reading.result(), None
                await self._answer(line[: _LINE - 1].decode("utf-8", "replace"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server has closed, halfway or not: Asterisk calls both a success
        finally:
            if reading is not None:
                reading.cancel()
                with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
                    await reading
            writer.close()
        if channel.interrupted:
            return "HANGUP"
        return "FAILURE" if self._failed else "SUCCESS"

    async def _next_line(self, reading: "asyncio.Task[bytes]") -> bool:
        """Wait for a command or for something on the channel; True when there is a command."""
        if self._channel.interrupted:
            await asyncio.wait({reading})
            return True
        idle = asyncio.create_task(self._channel.idle())
        try:
            await asyncio.wait({reading, idle}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
            with suppress(asyncio.CancelledError):
                await idle
        return reading.done()

    def _tell_hangup(self, writer: asyncio.StreamWriter) -> None:
        self._hangup_told = True
        writer.write(b"HANGUP\n")

    def _environment(self) -> bytes:
        channel, script = self._channel, self._url.partition("://")[2].partition("/")[2]
        values = [("network", "yes")]
        if script:
            values.append(("network_script", script))
        values += [
            ("request", self._url),
            ("channel", channel.name),
            ("language", channel.language),
            ("type", channel.name.partition("/")[0]),
            ("uniqueid", channel.uniqueid),
            ("version", "22.10.0"),
            ("callerid", channel.caller_number or "unknown"),
            ("calleridname", channel.caller_name or "unknown"),
            ("callingpres", "0"),
            ("callingani2", "0"),
            ("callington", "0"),
            ("callingtns", "0"),
            ("dnid", channel.dialled_number or "unknown"),
            ("rdnis", "unknown"),
            ("context", channel.context),
            ("extension", channel.exten),
            ("priority", str(channel.priority - 1)),
            ("enhanced", "0.0"),
            ("accountcode", channel.accountcode),
            ("threadid", "139637976721152"),
        ]
        return "".join(f"agi_{name}: {value}\n" for name, value in values).encode() + b"\n"

    async def _answer(self, line: str, writer: asyncio.StreamWriter) -> None:
        self.commands += 1
        identity = str(1_000_000_000 + next(_COMMAND_IDS))
        self._pbx.before_command(self._channel, self.commands, identity, line.strip())
        words = _split(line)
        verb, run, dead = self._find(words)
        if run is None:
            reply = "510 Invalid or unknown command\n"
        elif self._hangup_told and not dead:
            reply = "511 Command Not Permitted on a dead channel or intercept routine\n"
        else:
            try:
                reply = await run(words)
            except _Usage:
                reply = (
                    "520-Invalid command syntax.  Proper usage follows:\n"
                    f"Usage: {verb}\n\n520 End of proper usage.\n"
                )
        if self._pbx.hangup_line_first and self._channel.interrupted and not self._hangup_told:
            self._tell_hangup(writer)
        writer.write(reply.encode())
        await writer.drain()
        self._pbx.after_command(self._channel, self.commands, identity, line.strip(), reply.strip())

    def _find(
        self, words: list[str]
    ) -> tuple[str, Callable[[list[str]], Awaitable[str]] | None, bool]:
        upper = [word.upper() for word in words[:3]]
        for verb, (run, dead) in {
            "ANSWER": (self._do_answer, False),
            "CHANNEL STATUS": (self._do_status, False),
            "EXEC": (self._do_exec, True),
            "GET FULL VARIABLE": (self._do_get_full, True),
            "GET VARIABLE": (self._do_get, True),
            "HANGUP": (self._do_hangup, False),
            "NOOP": (self._do_noop, True),
            "SET VARIABLE": (self._do_set, True),
            "STREAM FILE": (self._do_stream, False),
            "VERBOSE": (self._do_verbose, True),
            "WAIT FOR DIGIT": (self._do_digit, False),
        }.items():
            if upper[: verb.count(" ") + 1] == verb.split():
                return verb, run, dead
        spoken = " ".join(upper)
        if any(f"{spoken} ".startswith(f"{verb} ") for verb in _NOT_SIMULATED):
            raise NotSimulated(f"AGI command {spoken}")
        return spoken, None, True

    async def _do_answer(self, words: list[str]) -> str:
        _count(words, 1, 1)
        self._pbx.answer(self._channel)
        return "200 result=0\n"

    async def _do_exec(self, words: list[str]) -> str:
        _count(words, 2, 128)
        if not self._pbx.interpreter.has_application(words[1]):
            return "200 result=-2\n"
        try:
            await self._pbx.interpreter.execute(self._channel, words[1], ",".join(words[2:]))
        except ChannelEnded:
            return "200 result=-1\n"
        return "200 result=0\n"

    async def _do_get(self, words: list[str]) -> str:
        _count(words, 3, 3)
        name = words[2]
        if name.endswith(")"):
            value: str | None = self._names.function(*name[:-1].split("(", 1))
        else:
            value = self._names.find(name)
        return "200 result=0\n" if value is None else f"200 result=1 ({value})\n"

    async def _do_get_full(self, words: list[str]) -> str:
        _count(words, 4, 5)
        channel = self._pbx.find_channel(words[4]) if len(words) == 5 else self._channel
        if channel is None:
            return "200 result=0\n"
        value = substitute(words[3], ChannelNames(self._pbx, channel), evaluate)
        return f"200 result=1 ({value})\n"

    async def _do_status(self, words: list[str]) -> str:
        _count(words, 2, 3)
        channel = self._pbx.find_channel(words[2]) if len(words) == 3 else self._channel
        return f"200 result={-1 if channel is None else channel.state.value}\n"

    async def _do_set(self, words: list[str]) -> str:
        _count(words, 4, 4)
        self._names.assign(words[2], words[3])
        self._pbx.changed()
        return "200 result=1\n"

    async def _do_hangup(self, words: list[str]) -> str:
        _count(words, 1, 2)
        channel = self._pbx.find_channel(words[1]) if len(words) == 2 else self._channel
        if channel is None:
            return "200 result=-1\n"
        channel.hang_up(16)
        return "200 result=1\n"

    async def _do_noop(self, words: list[str]) -> str:
        return "200 result=0\n"

    async def _do_verbose(self, words: list[str]) -> str:
        _count(words, 2, 3)
        self._pbx.log("VERBOSE", words[1])
        return "200 result=1\n"

    async def _do_digit(self, words: list[str]) -> str:
        _count(words, 4, 4)
        milliseconds = int(words[3]) if words[3].lstrip("-").isdigit() else 0
        happened = await self._channel.wait(None if milliseconds < 0 else milliseconds / 1000)
        if isinstance(happened, Digit):
            return f"200 result={ord(happened.key)}\n"
        return f"200 result={-1 if isinstance(happened, Gone) else 0}\n"

    async def _do_stream(self, words: list[str]) -> str:
        _count(words, 4, 5)
        offset = int(words[4]) if len(words) == 5 else 0
        heard = await self._pbx.media.play(self._channel, words[2], words[3], offset)
        if heard.of is None:  # the channel lives, yet this is what Asterisk 22 answers
            self._failed = True
            return "200 result=-1 endpos=0\n"
        return f"200 result={heard.result} endpos={heard.samples}\n"


def _count(words: list[str], least: int, most: int) -> None:
    if not least <= len(words) <= most:
        raise _Usage


def _split(line: str) -> list[str]:
    """Words with quotes and backslashes, as ``parse_args``; an open quote ends with the line."""
    lexer = shlex.shlex(line.strip("\r\n"), posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.quotes = True, "", '"'
    lexer.escapedquotes = '"'
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    return words


async def run_agi(pbx: "SimulatedAsterisk", channel: Channel, url: str) -> None:
    """The application ``AGI``: fails open, sets AGISTATUS."""
    if not url.startswith("agi://"):
        raise NotSimulated(f"AGI({url}): only FastAGI")
    pbx.note("agi", channel, url)
    try:
        streams = await pbx.agi_connect()
    except OSError as error:
        pbx.log("WARNING", f"FastAGI failed: {error}")
        channel.variables.set("AGISTATUS", "FAILURE")
        pbx.note("agi_failed", channel, url)
        return
    run = AgiRun(pbx, channel, url)
    status = await run.run(streams)
    channel.variables.set("AGISTATUS", status)
    pbx.note("agi_ended", channel, url, commands=str(run.commands))
    if status == "HANGUP" or (channel.state is State.DOWN and channel.interrupted):
        raise ChannelEnded
