"""Two independent AMI clients, panoramisk and pyst2, use the simulated manager on real sockets."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asterisk.manager
import panoramisk

from callguard.clock import SystemClock
from tests.harness.ami_server import Account, SimulatedManager

HANGUP = [("Channel", "PJSIP/a-00000001"), ("Uniqueid", "1.1"), ("Cause", "16")]


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[SimulatedManager, int]]:
    manager = SimulatedManager(
        SystemClock(), [Account("callguard", "secret")], refusal_delay=0.3, write_timeout=5.0
    )
    port = await manager.listen()
    try:
        yield manager, port
    finally:
        await manager.close()


async def test_panoramisk_logs_in_asks_and_hears() -> None:
    async with listening() as (manager, port), asyncio.timeout(10):
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        booted = asyncio.Event()
        client = panoramisk.Manager(
            loop=asyncio.get_running_loop(),
            host="127.0.0.1",
            port=port,
            username="callguard",
            secret="secret",
        )
        client.register_event("Hangup", lambda _, event: heard.set_result(event.uniqueid))
        client.register_event("FullyBooted", lambda *_: booted.set())
        await client.connect()
        await booted.wait()
        pong = await client.send_action({"Action": "Ping"})
        assert (pong.response, pong.ping) == ("Success", "Pong")
        output = await client.send_command("core show version")
        assert output.output == "Asterisk 22.10.1"
        manager.emit("Hangup", "call,all", HANGUP)
        assert await heard == "1.1"
        client.close()


async def test_panoramisk_is_refused_with_a_wrong_secret() -> None:
    async with listening() as (_, port), asyncio.timeout(10):
        client = panoramisk.Manager(
            loop=asyncio.get_running_loop(),
            host="127.0.0.1",
            port=port,
            username="callguard",
            secret="guess",
            reconnect_timeout=3600,
        )
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        client.on_connect = lambda _: asked.set_result(None)
        await client.connect()
        await asked
        refusal = await client.authenticated_future
        assert (refusal.response, refusal.message) == ("Error", "Authentication failed")
        client.close()


def leave(client: asterisk.manager.Manager) -> None:
    """Close; pyst2 may flush a file that its own reading thread has closed a moment before."""
    try:
        client.close()
    except ValueError:
        client.message_thread.join(10)
        client.close()


async def test_pyst2_logs_in_asks_and_hears() -> None:
    async with listening() as (manager, port), asyncio.timeout(20):
        heard = threading.Event()
        logged_in = threading.Event()

        def converse() -> tuple[str, str, str]:
            client = asterisk.manager.Manager()
            client.register_event("Hangup", lambda *_: heard.set())
            client.connect("127.0.0.1", port)
            try:
                client.login("callguard", "secret")
                logged_in.set()
                pong = client.ping()
                version = client.command("core show version")
                assert heard.wait(10)
                return client.title, pong.get_header("Ping"), version.get_header("Output")
            finally:
                leave(client)

        talking = asyncio.create_task(asyncio.to_thread(converse))
        await asyncio.to_thread(logged_in.wait, 10)
        manager.emit("Hangup", "call,all", HANGUP)
        assert await talking == ("Asterisk Call Manager", "Pong", "Asterisk 22.10.1")


async def test_pyst2_is_refused_with_a_wrong_secret() -> None:
    async with listening() as (_, port), asyncio.timeout(20):

        def try_it() -> str:
            client = asterisk.manager.Manager()
            client.connect("127.0.0.1", port)
            try:
                client.login("callguard", "guess")
            except asterisk.manager.ManagerAuthException as error:
                return str(error)
            finally:
                client.message_thread.join(10)  # the server has closed: let the client see it
                leave(client)
            return "let in"

        assert "Authentication failed" in await asyncio.to_thread(try_it)
