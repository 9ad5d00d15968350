"""An AMI server that behaves as Asterisk 22's, over streams in memory or real sockets.

``serve`` takes the two ends of any stream; ``listen`` opens a socket. What a client may do comes
from its account's ``read`` and ``write`` classes, as in manager.conf. Faults are attributes and
methods: refuse logins, stay silent, drop, garbage, torn bytes.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, repeat
from typing import TYPE_CHECKING, Protocol

from tests.harness.ami_actions import ACTIONS, Action, ActionError, Goodbye, Reply, wants

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
_LINE = 1024
_EVERY_CLASS = frozenset(
    {
        *("agent", "agi", "aoc", "call", "cc", "cdr", "command", "config", "dialplan", "dtmf"),
        *("log", "message", "originate", "reporting", "security", "system", "test", "user"),
        "verbose",
    }
)


class WallClock(Protocol):
    """Where the server gets its timestamps."""

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Account:
    """A user of manager.conf. ``events`` lists the kinds that its eventfilter lets through; None
    is no filter."""

    name: str
    secret: str = field(repr=False)
    read: frozenset[str] = _EVERY_CLASS
    write: frozenset[str] = _EVERY_CLASS
    events: frozenset[str] | None = None


class Session:
    """One client's connection."""

    def __init__(
        self,
        manager: "SimulatedManager",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.manager = manager
        self.account: Account | None = None
        self.mask: frozenset[str] = frozenset()
        self.filters: list[Callable[[str, str], bool | None]] = []
        self.challenge = ""
        self._login: int | None = None
        self.ended = asyncio.Event()
        self._reader, self._writer = reader, writer
        self._outgoing: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(20_000)

    @property
    def pbx(self) -> "SimulatedAsterisk | None":
        """The exchange that the actions act on."""
        return self.manager.pbx

    def send(self, data: bytes) -> None:
        """Queue bytes; a client that lets 20,000 blocks pile up is dropped."""
        due = asyncio.get_running_loop().time() + self.manager.delay_s
        try:
            self._outgoing.put_nowait((due, data))
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()

    def login(self, name: str, key: str, secret: str, mask: str) -> bool:
        """Check the key against the challenge, or the plain secret."""
        account = next((each for each in self.manager.accounts if each.name == name), None)
        if account is None or self.manager.refuse_logins:
            return False
        digest = hashlib.md5(  # noqa: S324  (AMI's own scheme)
            (self.challenge + account.secret).encode()
        ).hexdigest()
        if not (key == digest if key else secret == account.secret):
            return False
        self.account = account
        self.set_mask(mask)
        self._login = len(self.manager.logins)
        self.manager.logins.append((asyncio.get_running_loop().time(), None))
        return True

    def log_out(self) -> None:
        """The connection is over."""
        if self._login is not None:
            since, _ = self.manager.logins[self._login]
            self.manager.logins[self._login] = since, asyncio.get_running_loop().time()

    def set_mask(self, mask: str) -> bool:
        """``on``, ``off`` or a list of classes; True when any event can come through."""
        assert self.account is not None
        text = mask.strip().lower()
        if text in {"on", "all", "-1", "true", "yes", ""}:
            self.mask = self.account.read
        elif text in {"off", "none", "0", "false", "no"}:
            self.mask = frozenset()
        else:
            self.mask = self.account.read & {part.strip() for part in text.split(",")}
        return bool(self.mask)

    def deliver(self, name: str, privilege: str, block: bytes) -> None:
        """Send an event that this client may see and asked for."""
        if self.account is None or privilege.split(",", maxsplit=1)[0] not in self.mask:
            return
        if self.account.events is not None and name not in self.account.events:
            return
        if wants(self.filters, name, block.decode()):
            self.send(block)

    async def run(self) -> None:
        """Serve until the client leaves or is dropped."""
        sender = asyncio.create_task(self._send_all())
        try:
            self.send(GREETING)
            await self._read_all()
            # What was answered last still goes out before the connection closes.
            await self._outgoing.join()
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError, OSError, TimeoutError):
                await sender
            self._writer.close()

    async def _send_all(self) -> None:
        while True:
            due, block = await self._outgoing.get()
            try:
                late = due - asyncio.get_running_loop().time()
                if late > 0:
                    await asyncio.sleep(late)
                for piece in self.manager.pieces(block):
                    self._writer.write(piece)
                    async with asyncio.timeout(self.manager.write_timeout):
                        await self._writer.drain()
                    if len(piece) < len(block):
                        await asyncio.sleep(0)
            except (OSError, TimeoutError):
                self.drop()  # a reader that stalls is dropped, and told nothing
                raise
            finally:
                self._outgoing.task_done()

    async def _read_all(self) -> None:
        headers: list[tuple[str, str]] = []
        while True:
            line = (await self._reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")
            if len(line) >= _LINE:
                continue  # "Dumping long line": as get_input does
            if line:
                name, colon, value = line.partition(":")
                if colon:
                    headers.append((name.strip(), value.strip()))
                continue
            if headers:
                action, headers = Action(tuple(headers)), []
                if not await self._handle(action):
                    return

    async def _handle(self, action: Action) -> bool:
        manager = self.manager
        manager.received.append(action)
        if manager.deaf or (action.name == "ping" and not manager.answer_pings):
            return True
        known = ACTIONS.get(action.name)
        try:
            if self.account is None and action.name not in {"login", "challenge", "logoff"}:
                raise ActionError("Permission denied")
            if known is None:
                raise ActionError(
                    f"Invalid/unknown command: {action.get('Action')}. "
                    "Use Action: ListCommands to show available commands."
                )
            needed, run = known
            if needed and self.account is not None and not needed & self.account.write:
                raise ActionError("Permission denied")
            reply = run(self, action)
        except Goodbye as goodbye:
            self._reply(action, goodbye.reply)
            return False
        except ActionError as error:
            if error.fatal:
                await asyncio.sleep(manager.refusal_delay)
            self._reply(action, Reply([("Message", str(error))], response="Error"))
            return not error.fatal
        self._reply(action, reply)
        if action.name == "login":
            booted = [("Uptime", "12"), ("LastReload", "12"), ("Status", "Fully Booted")]
            self.deliver("FullyBooted", "system,all", _event("FullyBooted", "system,all", booted))
        return True

    def _reply(self, action: Action, reply: Reply) -> None:
        identity = action.get("ActionID")
        tag = [("ActionID", identity)] if identity else []
        self.send(_block([("Response", reply.response), *tag, *reply.headers]))
        for name, headers in reply.events:
            self.send(_block([("Event", name), *tag, *headers]))


class SimulatedManager:
    """The AMI of one Asterisk.

    Faults: ``refuse_logins``; ``answer_pings`` = False; ``deaf`` (reads and answers nothing);
    ``tear(*sizes)``; ``garbage(data)``; ``drop()``.
    """

    def __init__(
        self,
        clock: WallClock,
        accounts: Sequence[Account],
        *,
        pbx: "SimulatedAsterisk | None" = None,
        write_timeout: float = 0.1,
        refusal_delay: float = 1.0,
    ) -> None:
        self.clock = clock
        self.accounts = list(accounts)
        self.pbx = pbx
        self.delay_s = 0.0
        """How long everything that is sent is under way."""
        self.write_timeout = write_timeout
        self.refusal_delay = refusal_delay
        self.refuse_logins = False
        self.answer_pings = True
        self.deaf = False
        self.command_output: dict[str, list[str]] = {"core show version": ["Asterisk 22.10.1"]}
        self.received: list[Action] = []
        self.sessions: list[Session] = []
        self.logins: list[tuple[float, float | None]] = []
        """From when to when somebody was logged in, in seconds of the loop; None: still is."""
        self._sizes: tuple[int, ...] = ()
        self._server: asyncio.Server | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves."""
        session = Session(self, reader, writer)
        self.sessions.append(session)
        try:
            await session.run()
        finally:
            self.sessions.remove(session)
            session.log_out()
            session.ended.set()

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Serve on a real socket; returns its port."""
        self._server = await asyncio.start_server(self.serve, host, port)
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def close(self) -> None:
        """Stop listening and cut every client."""
        if self._server is not None:
            self._server.close()
        self.drop()
        await asyncio.gather(*(session.ended.wait() for session in list(self.sessions)))
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def logged_in(self) -> int:
        """How many clients are logged in."""
        return sum(session.account is not None for session in self.sessions)

    def emit(self, name: str, privilege: str, headers: list[tuple[str, str]]) -> None:
        """Send an event to every client that may see it and wants it."""
        block = _event(name, privilege, headers)
        for session in list(self.sessions):
            session.deliver(name, privilege, block)

    def tear(self, *sizes: int) -> None:
        """Send in pieces of these sizes, the last repeating; none: whole blocks again."""
        self._sizes = sizes

    def pieces(self, block: bytes) -> list[bytes]:
        """A block as it is to be written."""
        if not self._sizes:
            return [block]
        out, start = [], 0
        for size in chain(self._sizes, repeat(self._sizes[-1])):
            if start >= len(block):
                break
            out.append(block[start : start + size])
            start += size
        return out

    def garbage(self, data: bytes) -> None:
        """Send raw bytes to every client."""
        for session in self.sessions:
            session.send(data)

    def drop(self) -> None:
        """Cut every connection."""
        for session in list(self.sessions):
            session.drop()


def _block(headers: list[tuple[str, str]]) -> bytes:
    return ("".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n").encode()


def _event(name: str, privilege: str, headers: list[tuple[str, str]]) -> bytes:
    return _block([("Event", name), ("Privilege", privilege), *headers])
