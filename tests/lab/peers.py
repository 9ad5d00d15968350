"""Small, independent far ends for the laboratory: a FastAGI answerer and an AMI client.

They know nothing of callguard, so that the dialplan can be proved without it, and they keep
every byte, which is where the transcripts come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Self
from urllib.parse import parse_qs, urlsplit

from tests.lab.asterisk import Credentials

_PATIENCE = 30.0


class Conversation:
    """One FastAGI session; `received` and `sent` keep its bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.environment: dict[str, str] = {}
        self.received = b""
        self.sent = b""
        self.replies: list[str] = []
        self.hangups = 0

    @property
    def path(self) -> str:
        return urlsplit(self.environment["agi_request"]).path.lstrip("/")

    @property
    def query(self) -> dict[str, str]:
        """The arguments of the request, decoded; the empty ones too."""
        parts = parse_qs(urlsplit(self.environment["agi_request"]).query, keep_blank_values=True)
        return {name: values[0] for name, values in parts.items()}

    async def _line(self) -> str:
        line = await asyncio.wait_for(self._reader.readline(), _PATIENCE)
        if not line:
            raise ConnectionError("Asterisk closed the session")
        self.received += line
        return line.decode(errors="replace").rstrip("\n")

    async def read_environment(self) -> None:
        while line := await self._line():
            name, _, value = line.partition(": ")
            self.environment[name] = value

    async def send(self, command: str) -> str:
        """Send a command; the (last line of the) reply."""
        self.sent += command.encode() + b"\n"
        self._writer.write(command.encode() + b"\n")
        return await self.reply()

    async def reply(self) -> str:
        """The next reply, passing over in-band HANGUP lines."""
        while True:
            line = await self._line()
            if line == "HANGUP":
                self.hangups += 1
            elif line.startswith("520-"):
                while not line.startswith("520 "):
                    line = await self._line()
                break
            else:
                break
        self.replies.append(line)
        return line

    async def rest(self) -> None:
        """Read until Asterisk closes."""
        self.received += await asyncio.wait_for(self._reader.read(), _PATIENCE)


Script = Callable[[Conversation], Awaitable[None]]


class Answerer:
    """A FastAGI server that plays one script for each request path."""

    def __init__(self, port: int, scripts: Mapping[str, Script]) -> None:
        self._port = port
        self._scripts = scripts
        self._server: asyncio.Server | None = None
        self.conversations: list[Conversation] = []
        self.failures: list[Exception] = []
        self._done = asyncio.Condition()
        self._ended: list[Conversation] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(reader, writer)
        self.conversations.append(conversation)
        try:
            await conversation.read_environment()
            await self._scripts[conversation.path](conversation)
        except (ConnectionError, TimeoutError, KeyError) as error:
            self.failures.append(error)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            async with self._done:
                self._ended.append(conversation)
                self._done.notify_all()

    async def ended(self, path: str, count: int = 1) -> Conversation:
        """The `count`-th session of that path, once it is over."""

        def those() -> list[Conversation]:
            return [c for c in self._ended if c.path == path]

        async with asyncio.timeout(_PATIENCE), self._done:
            await self._done.wait_for(lambda: len(those()) >= count)
        return those()[count - 1]

    def paths(self) -> list[str]:
        """Which requests came, in order."""
        return [conversation.path for conversation in self.conversations]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._server is not None:
            self._server.close()
        async with asyncio.timeout(_PATIENCE), self._done:
            await self._done.wait_for(lambda: len(self._ended) == len(self.conversations))


Event = dict[str, str]


class AmiClient:
    """A plain AMI client that keeps every byte it received."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.received = b""
        self.sent = b""
        self.messages: list[Event] = []
        self._arrived = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._count = 0

    def forge_secret(self, secret: str) -> None:
        """Log in with another secret than the right one."""
        self._credentials = replace(self._credentials, secret=secret)

    async def connect(self, *, events: str = "on") -> Event:
        """Log in with the MD5 challenge; the answer to Login."""
        host, port = self._credentials.host, self._credentials.port
        reader, self._writer = await asyncio.open_connection(host, port)
        self.received += await asyncio.wait_for(reader.readline(), _PATIENCE)
        self._reading = asyncio.create_task(self._read(reader))
        challenge = (await self.action("Challenge", AuthType="MD5"))["Challenge"]
        key = hashlib.md5((challenge + self._credentials.secret).encode(), usedforsecurity=False)
        return await self.action(
            "Login",
            AuthType="MD5",
            Username=self._credentials.username,
            Key=key.hexdigest(),
            Events=events,
        )

    async def _read(self, reader: asyncio.StreamReader) -> None:
        pending = b""
        while chunk := await reader.read(65536):
            self.received += chunk
            *whole, pending = (pending + chunk).split(b"\r\n\r\n")
            async with self._arrived:
                for block in whole:
                    lines = block.decode(errors="replace").split("\r\n")
                    self.messages.append(dict(line.partition(": ")[::2] for line in lines))
                self._arrived.notify_all()

    async def action(self, name: str, **headers: str) -> Event:
        """Send an action; its response, whatever it says."""
        assert self._writer is not None
        self._count += 1
        own = str(self._count)
        lines = [f"Action: {name}", f"ActionID: {own}"]
        lines += [f"{header}: {value}" for header, value in headers.items()]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.sent += data
        self._writer.write(data)
        return await self.wait(lambda m: "Response" in m and m.get("ActionID") == own)

    async def wait(self, wanted: Callable[[Event], bool], *, timeout: float = 10.0) -> Event:
        """The first message, past or coming, that is wanted."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: any(map(wanted, self.messages)))
        return next(filter(wanted, self.messages))

    async def event(self, name: str, *, timeout: float = 10.0, **fields: str) -> Event:
        """The first event of that name with those fields."""
        return await self.wait(
            lambda m: m.get("Event") == name and all(m.get(k) == v for k, v in fields.items()),
            timeout=timeout,
        )

    def events(self, *names: str) -> list[Event]:
        """Events so far, of those names or all."""
        return [m for m in self.messages if "Event" in m and (not names or m["Event"] in names)]

    async def close(self) -> None:
        """Leave without a word; more than once is harmless."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
