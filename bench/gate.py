"""How fast each FastAGI server answers, all in one run on loopback, in alternating rounds.

Every server does the same for a call: takes the environment, sends one ``SET VARIABLE``, reads
the reply and closes; only callguard's full gate does more. Each runs in a process of its own, and
so does the load client.
"""

import asyncio
import importlib
import io
import logging
import multiprocessing
import signal
import socketserver
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from statistics import median
from typing import Final

import uvloop

from bench.load import AT_ONCE, Load, serve_rounds

ROUNDS: Final = 4
SECONDS: Final = 1.2
WARM_UP: Final = 0.3
START_TIMEOUT: Final = 15.0

_COMMAND: Final = b'SET VARIABLE "CALLGUARD_VERDICT" "allow"\n'


async def _bare(pipe: Connection) -> None:
    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in (b"\n", b""):
            pass
        writer.write(_COMMAND)
        await writer.drain()
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(call, "127.0.0.1", 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _panoramisk(pipe: Connection) -> None:
    from panoramisk import fast_agi

    async def call(request: fast_agi.Request) -> None:
        await request.send_command(_COMMAND.decode().strip())

    application = fast_agi.Application(loop=asyncio.get_running_loop())

    class EveryRequest(dict[str, object]):
        def get(self, path: str, default: object = None) -> object:
            return call

    vars(application)["_route"] = EveryRequest()  # it knows routes without a query only
    server = await asyncio.start_server(application.handler, "127.0.0.1", 0, backlog=512)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _ours(pipe: Connection) -> None:
    import structlog

    from callguard.agi import AgiLimits, AgiServer, AgiSession

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

    async def call(session: AgiSession) -> None:
        await session.set_variable("CALLGUARD_VERDICT", "allow")

    allow = [ip_network("127.0.0.0/8")]
    server = AgiServer(call, limits=AgiLimits(), allow=allow)
    pipe.send(await server.start("127.0.0.1", 0))
    await asyncio.Event().wait()


def serve_bare(pipe: Connection) -> None:
    asyncio.run(_bare(pipe))


def serve_bare_uvloop(pipe: Connection) -> None:
    uvloop.run(_bare(pipe))


def serve_panoramisk(pipe: Connection) -> None:
    asyncio.run(_panoramisk(pipe))


def serve_panoramisk_uvloop(pipe: Connection) -> None:
    uvloop.run(_panoramisk(pipe))


def serve_ours(pipe: Connection) -> None:
    asyncio.run(_ours(pipe))


def serve_ours_uvloop(pipe: Connection) -> None:
    uvloop.run(_ours(pipe))


class _Pyst2Call(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        from asterisk.agi import AGI

        class _Out(io.StringIO):
            def flush(self) -> None:
                out.write(self.getvalue().encode())
                self.seek(0)
                self.truncate()

        out = self.wfile
        AGI(self.rfile, _Out(), io.StringIO()).set_variable("CALLGUARD_VERDICT", "allow")


class _Pyst2Server(socketserver.ThreadingTCPServer):
    request_queue_size = 512
    daemon_threads = True


def serve_pyst2(pipe: Connection) -> None:
    # pyst2 sets a signal handler for each call, which Python allows in the main thread only.
    signal.signal = lambda *_: None
    with _Pyst2Server(("127.0.0.1", 0), _Pyst2Call) as server:
        pipe.send(server.server_address[1])
        server.serve_forever()


def serve_full_gate(pipe: Connection) -> None:
    importlib.import_module("bench.full_gate").serve(pipe)


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under measure: ``serve`` sends its port into the pipe and serves until killed."""

    name: str
    serve: Callable[[Connection], None]


CONTENDERS: Final = (
    Contender("do-nothing asyncio streams", serve_bare),
    Contender("do-nothing asyncio streams, uvloop", serve_bare_uvloop),
    Contender("panoramisk", serve_panoramisk),
    Contender("panoramisk, uvloop", serve_panoramisk_uvloop),
    Contender("pyst2, threading server", serve_pyst2),
    Contender("callguard AgiServer", serve_ours),
    Contender("callguard AgiServer, uvloop", serve_ours_uvloop),
    Contender("callguard's full durable gate", serve_full_gate),
)


def _start(context: SpawnContext, contender: Contender) -> tuple[int, Callable[[], None]] | None:
    """The port and a stop function; None where the server does not come up."""
    ours, theirs = context.Pipe()
    process = context.Process(target=contender.serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()

    def stop() -> None:
        process.terminate()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()

    try:
        if ours.poll(START_TIMEOUT):
            return int(ours.recv()), stop
    except EOFError:
        pass
    stop()
    return None


def _row(name: str, loads: list[Load], baseline: float) -> str:
    rate = median(load.rate for load in loads)
    p50 = median(load.p50 for load in loads)
    p99 = median(load.p99 for load in loads)
    failed = sum(load.failed for load in loads)
    ratio = f"{rate / baseline:6.2f}" if baseline else "     -"
    note = f"  ({failed} failed)" if failed else ""
    return f"{name:36} {rate:9,.0f} {p50:8.2f} {p99:8.2f} {ratio}{note}"


def measure(contenders: Sequence[Contender]) -> dict[str, list[Load]]:
    """Runs the contenders in alternating rounds and prints calls/s, p50 and p99 (ms) at
    ``AT_ONCE`` at once, and the ratio to the first; the rounds by name."""
    context = multiprocessing.get_context("spawn")
    orders, client_end = context.Pipe()
    client = context.Process(target=serve_rounds, args=(client_end,), daemon=True)
    client.start()
    running: dict[str, tuple[int, Callable[[], None]]] = {}
    loads: dict[str, list[Load]] = {}
    broken: list[str] = []  # answered nothing in the warm-up: not worth the time-outs
    try:
        for contender in contenders:
            started = _start(context, contender)
            if started is not None:
                running[contender.name] = started
        for number in range(ROUNDS + 1):
            for name, (port, _) in running.items():
                orders.send((port, SECONDS if number else WARM_UP, AT_ONCE))
                load: Load = orders.recv()
                if number == 0 and load.failed:
                    broken.append(name)
                elif number:
                    loads.setdefault(name, []).append(load)
            while broken:
                running.pop(broken.pop())[1]()
        orders.send(None)
    finally:
        for _, stop in running.values():
            stop()
        client.terminate()
        client.join()
    print(f"{f'FastAGI, {AT_ONCE} at once':36} {'calls/s':>9} {'p50 ms':>8} {'p99 ms':>8}  ratio")
    first = contenders[0].name
    baseline = median(load.rate for load in loads[first]) if first in loads else 0.0
    for contender in contenders:
        if contender.name in loads:
            print(_row(contender.name, loads[contender.name], baseline))
        else:
            print(f"{contender.name:36} not available")
    return loads


def main() -> int:
    """Measures all of them; 1 if the first, to which the others are compared, is missing."""
    return 0 if CONTENDERS[0].name in measure(CONTENDERS) else 1


if __name__ == "__main__":
    sys.exit(main())
