"""A scripted Asterisk manager, and a session that watches it."""

import asyncio
import contextlib
import hashlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from callguard.ami import AmiSession, AmiSettings, Connector, Message
from callguard.ami.wire import Parser
from tests.ami.virtual import eventually

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
CHALLENGE = "214491406"
SECRET = "s3cret"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(*headers: tuple[str, str]) -> bytes:
    """The bytes Asterisk sends for one message."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + b"\r\n"


def answer(action: Message, response: str = "Success", *headers: tuple[str, str]) -> bytes:
    """An answer to ``action``."""
    own = [("Response", response), ("ActionID", action.get("ActionID") or "")]
    return message(*own, *headers)


def event(name: str, *headers: tuple[str, str]) -> bytes:
    """An event."""
    return message(("Event", name), ("Privilege", "call,all"), *headers)


Script = Callable[[Message], bytes | None]


def silence(_: Message) -> None:
    """The script that never answers."""


class Pbx:
    """Answers as Asterisk 22 does. ``scripts`` replaces the answer to an action."""

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.greeting = GREETING
        self.reads = True
        self.received: list[Message] = []
        self.connected_at: list[float] = []
        self.closed = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.scripts: dict[str, Script] = {}

    async def connect(self, settings: AmiSettings) -> Streams:
        """A Connector: the session's end of a socket pair."""
        self.connected_at.append(asyncio.get_running_loop().time())
        near, far = socket.socketpair()
        try:
            streams = await asyncio.open_connection(sock=far)
            self.writers.append(streams[1])
            self.tasks.append(asyncio.create_task(self.serve(*streams)))
            return await asyncio.open_connection(sock=near)
        except asyncio.CancelledError:
            near.close()
            raise

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        parser = Parser()
        parser.feed(GREETING)
        with contextlib.suppress(ConnectionError):
            writer.write(self.greeting)
            while self.reads and (data := await reader.read(4096)):
                for action in parser.feed(data):
                    self.received.append(action)
                    self.reply(writer, action)
            if self.reads:
                self.closed += 1
            else:
                await asyncio.Event().wait()
        writer.close()

    def reply(self, writer: asyncio.StreamWriter, action: Message) -> None:
        script = self.scripts.get(action.name, getattr(self, f"_{action.name.lower()}", None))
        data = script(action) if script else answer(action)
        if data and not writer.is_closing():
            writer.write(data)
        if action.name == "Logoff" and data:
            writer.close()

    def send(self, data: bytes) -> None:
        """Sends on the newest connection."""
        self.writers[-1].write(data)

    def hang_up(self) -> None:
        """Closes the newest connection."""
        self.writers[-1].close()

    def names(self) -> list[str]:
        """The actions received, in order."""
        return [action.name for action in self.received]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    def _challenge(self, action: Message) -> bytes:
        return answer(action, "Success", ("Challenge", CHALLENGE))

    def _login(self, action: Message) -> bytes:
        key = hashlib.md5((CHALLENGE + self.secret).encode(), usedforsecurity=False).hexdigest()
        if action.get("Key") == key or action.get("Secret") == self.secret:
            return answer(action, "Success", ("Message", "Authentication accepted"))
        return answer(action, "Error", ("Message", "Authentication failed"))

    def _ping(self, action: Message) -> bytes:
        return answer(action, "Success", ("Ping", "Pong"), ("Timestamp", "1795302617.663819"))

    def _logoff(self, action: Message) -> bytes:
        return answer(action, "Goodbye", ("Message", "Thanks for all the fish."))


def settings(**changes: Any) -> AmiSettings:
    """Settings for the scripted PBX."""
    given: dict[str, Any] = {
        "name": "lab",
        "host": "192.0.2.1",
        "username": "guard",
        "secret": SECRET,
        **changes,
    }
    return AmiSettings(**given)


@dataclass
class Watched:
    """A session and what its callbacks were told."""

    session: AmiSession = field(init=False)
    task: asyncio.Task[None] = field(init=False)
    events: list[Message] = field(default_factory=list)
    ups: int = 0
    downs: list[str] = field(default_factory=list)
    states_in_up: list[str] = field(default_factory=list)

    def on_event(self, event: Message) -> None:
        self.events.append(event)

    async def on_up(self, session: AmiSession) -> None:
        self.ups += 1
        self.states_in_up.append(session.state)

    async def until_up(self) -> None:
        await eventually(lambda: self.session.state == "up")


@contextlib.asynccontextmanager
async def watching(
    pbx: Pbx,
    watched: Watched | None = None,
    *,
    up: bool = True,
    connect: Connector | None = None,
    **changes: Any,
) -> AsyncIterator[Watched]:
    """A running session on ``pbx``, up unless told otherwise, closed in order at the end."""
    watched = watched or Watched()
    watched.session = AmiSession(
        settings(**changes),
        on_event=watched.on_event,
        on_up=watched.on_up,
        on_down=watched.downs.append,
        connect=connect or pbx.connect,
        rng=random.Random(7),
    )
    watched.task = asyncio.create_task(watched.session.run())
    try:
        if up:
            await watched.until_up()
        yield watched
    finally:
        await watched.session.close()
        await watched.task
        await pbx.stop()
