"""The verbs that a dialogue with one channel uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from callguard.agi.environment import AgiEnvironment
from callguard.agi.link import ChannelDead, Link
from callguard.agi.wire import (
    AgiError,
    LocalProtocolError,
    RemoteProtocolError,
    Reply,
    build_command,
)


class CommandRefused(AgiError):  # noqa: N818 - says what happened
    """Asterisk does not know the command or application, or not with these arguments.

    ``code`` is the reply's: 510, 520, or 200 for an application that does not exist.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Streamed:
    """How playing a file ended.

    ``digit`` is the escape digit that ended it, ``endpos`` the samples played, counted from the
    start of the file; ``result`` is Asterisk's own, -1 on a hang-up. A missing file is also
    answered with -1 by Asterisk 22 (0 by older ones), always with ``endpos`` 0: whether the
    channel lives is then known from the next verb.
    """

    digit: str | None
    endpos: int
    hung_up: bool
    result: int


class AgiSession:
    """A channel under our command.

    Every verb raises ``ChannelDead`` (hung up, or connection closed), ``AgiTimeout`` (after
    which only the end of the session is left), ``CommandRefused``, ``LocalProtocolError`` and
    ``RemoteProtocolError``; all are ``AgiError``. Verbs go one at a time.
    """

    def __init__(self, env: AgiEnvironment, link: Link) -> None:
        self.env = env
        self._link = link

    @classmethod
    async def begin(cls, link: Link) -> Self:
        """Reads the environment from ``link``; raises what ``Link.read_environment`` does."""
        return cls(AgiEnvironment.parse(await link.read_environment()), link)

    @property
    def hung_up(self) -> bool:
        """Whether the channel was known to be gone when the last reply was read.

        Some verbs (``set_variable``, ``get_variable``, ``verbose``) still work then.
        """
        return self._link.hung_up

    async def set_variable(self, name: str, value: str) -> None:
        """Sets a channel variable or writes a dialplan function."""
        await self._ask("SET VARIABLE", name, value)

    async def set_variables(self, values: Mapping[str, str]) -> None:
        """Sets several channel variables in one step, with the function ARRAY. No value may hold
        a comma, which would end it."""
        for name, value in values.items():
            if "," in value or "|" in value:
                raise LocalProtocolError(f"the value of {name} would be taken for two")
        await self._ask("SET VARIABLE", f"ARRAY({','.join(values)})", ",".join(values.values()))

    async def get_variable(self, name: str) -> str | None:
        """The value of a channel variable or function; None where it is not set."""
        reply = await self._ask("GET VARIABLE", name)
        return None if reply.number == 0 else reply.data or ""

    async def answer(self) -> None:
        """Answers the channel, if it is not answered yet."""
        await self._ask_living("ANSWER")

    async def stream_file(
        self,
        name: str,
        escape_digits: str = "",
        *,
        timeout: float,
    ) -> Streamed:
        """Plays a sound file (name without its format) until it ends or a digit ends it.

        ``timeout`` is in seconds and covers the whole playing.
        """
        reply = await self._ask("STREAM FILE", name, escape_digits, within=timeout)
        result = reply.number
        return Streamed(_digit(result), reply.endpos, result == -1, result)

    async def exec(
        self,
        application: str,
        *arguments: str,
        timeout: float | None = None,
    ) -> str:
        """Runs a dialplan application and returns its result as Asterisk words it.

        The arguments are joined by commas, as in the dialplan; a comma inside one separates
        there too. ``timeout`` is in seconds; some applications take their time. An unknown
        application (-2) raises ``CommandRefused``; -1, the word of an application for hanging
        up, raises ``ChannelDead``.
        """
        words = (application, ",".join(arguments)) if arguments else (application,)
        reply = await self._ask_living("EXEC", *words, within=timeout)
        if reply.result == "-2":
            raise CommandRefused(reply.code, f"no application {application}")
        return reply.result

    async def hangup(self) -> None:
        """Hangs the channel up; a channel that is gone already is no error."""
        try:
            await self._ask("HANGUP")
        except ChannelDead:
            self._link.hung_up = True

    async def wait_for_digit(self, timeout_ms: int) -> str | None:
        """The next digit within ``timeout_ms`` milliseconds, or None."""
        if timeout_ms < 0:
            raise ValueError("a wait without end is not allowed")
        within = timeout_ms / 1000 + self._link.reply_timeout
        reply = await self._ask_living("WAIT FOR DIGIT", str(timeout_ms), within=within)
        return _digit(reply.number)

    async def verbose(self, text: str, level: int = 1) -> None:
        """Writes ``text`` to Asterisk's console at a verbosity of ``level``."""
        await self._ask("VERBOSE", text, str(level))

    async def _ask(self, verb: str, *arguments: str, within: float | None = None) -> Reply:
        reply = await self._link.ask(build_command(verb, *arguments), within)
        if reply.code == 200:
            return reply
        if reply.code == 511:
            self._link.hung_up = True
            raise ChannelDead(f"{verb}: {reply.text}")
        raise CommandRefused(reply.code, reply.text)

    async def _ask_living(self, verb: str, *arguments: str, within: float | None = None) -> Reply:
        reply = await self._ask(verb, *arguments, within=within)
        if reply.result == "-1":
            raise ChannelDead(f"{verb}: hung up")
        return reply


def _digit(result: int) -> str | None:
    """The digit whose ASCII code a result is; none for 0 (ran out) and -1 (hung up)."""
    if result <= 0:
        return None
    digit = chr(result) if result < 128 else ""
    if digit not in "0123456789*#ABCDabcd" or not digit:
        raise RemoteProtocolError("result is no digit")
    return digit
