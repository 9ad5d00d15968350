"""A tiny AGI server with a script for each request: what the harness is checked against."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


class Conversation:
    """One AGI session, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.environment: dict[str, str] = {}
        self.hangups = 0
        self.lines: list[str] = []
        self._reader, self._writer = reader, writer

    async def begin(self) -> None:
        while line := (await self._reader.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            self.environment[name] = value

    async def ask(self, command: str) -> str:
        """Send a command; the reply, all lines of it, without HANGUP lines."""
        self._writer.write(command.encode() + b"\n")
        await self._writer.drain()
        lines: list[str] = []
        while True:
            raw = await self._reader.readline()
            if not raw:
                raise ConnectionResetError("Asterisk has gone")
            line = raw.decode().rstrip("\n")
            self.lines.append(line)
            if line == "HANGUP":
                self.hangups += 1
                continue
            lines.append(line)
            if not lines[0].startswith("520-") or line.startswith("520 "):
                return "\n".join(lines)


Script = Callable[[Conversation], Awaitable[None]]


@dataclass
class Gate:
    """Serves requests by their path: ``outbound``, ``answered``, ``inbound``, ``feature``."""

    scripts: dict[str, Script]
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(reader, writer)
        try:
            await conversation.begin()
            request = conversation.environment.get("agi_network_script")
            if request is None:  # the connection ended before it had begun
                return
            self.requests.append(request)
            await self.scripts[request.partition("?")[0]](conversation)
        finally:
            writer.close()


async def allow(agi: Conversation) -> None:
    """The outbound verdict ``allow``."""
    await agi.ask('SET VARIABLE CALLGUARD_CALL "0190-call"')
    await agi.ask("SET VARIABLE CALLGUARD_VERDICT allow")


async def notice_then_record(agi: Conversation) -> None:
    """Play the notice; record unless somebody pressed 9 or hung up."""
    reply = await agi.ask('STREAM FILE notice "9"')
    if reply.startswith("200 result=0 "):
        await agi.ask('EXEC MixMonitor "/var/spool/asterisk/callguard/a/b.sln,b"')


async def admit(agi: Conversation) -> None:
    """Inbound: answer, notice, record."""
    await agi.ask('SET VARIABLE CALLGUARD_CALL "0190-call"')
    await agi.ask("SET VARIABLE CALLGUARD_VERDICT allow")
    await agi.ask("ANSWER")
    await notice_then_record(agi)


def gate(**scripts: Script) -> Gate:
    """A gate that allows, announces and records, but for the scripts given."""
    usual = {"outbound": allow, "answered": notice_then_record, "inbound": admit}
    return Gate({**usual, **scripts})
