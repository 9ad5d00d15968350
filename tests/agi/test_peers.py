"""Independent AGI implementations agree with ours on the environment and the replies."""

import asyncio
import io
import signal
from collections.abc import Iterator

import pytest
from asterisk.agi import AGI, AGIError
from panoramisk.fast_agi import Application, Request

from callguard.agi import AgiSession
from callguard.agi.wire import EnvironmentParser, Reply, build_command
from tests.agi.asterisk import call
from tests.agi.samples import DEAD, ENVIRONMENT, USAGE, events
from tests.harness.pipes import pipe
from tests.harness.virtual import virtual_time


@pytest.fixture(autouse=True)
def _keep_the_signal_handler_that_pyst2_replaces() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def pyst2(replies: bytes) -> tuple[AGI, io.StringIO]:
    out = io.StringIO()
    return AGI(io.BytesIO(ENVIRONMENT + replies), out, io.StringIO()), out


def test_pyst2_reads_the_same_environment() -> None:
    parser = EnvironmentParser()
    parser.receive(ENVIRONMENT)
    assert parser.next() == pyst2(b"")[0].env


@pytest.mark.parametrize(
    "sent",
    [
        b"200 result=1\n",
        b"200 result=0 endpos=24953\n",
        b"200 result=57 endpos=1\n",
        b"200 result=1 (allow)\n",
        b"200 result=1 (a b c)\n",
    ],
)
def test_pyst2_reads_the_same_replies(sent: bytes) -> None:
    theirs = pyst2(sent)[0].get_result()
    (ours,) = events(sent)
    assert isinstance(ours, Reply)
    assert theirs.pop("result") == (ours.result, ours.data or "")
    assert {key: value for key, (value, _) in theirs.items()} == dict(ours.fields)


@pytest.mark.parametrize(
    "sent", [b"510 Invalid or unknown command\n", USAGE, f"511 {DEAD}\n".encode()]
)
def test_pyst2_refuses_what_we_refuse(sent: bytes) -> None:
    with pytest.raises(AGIError):
        pyst2(sent)[0].get_result()
    (ours,) = events(sent)
    assert isinstance(ours, Reply)
    assert ours.code != 200


def test_pyst2_words_its_commands_as_ours() -> None:
    agi, out = pyst2(b"200 result=1\n" * 3)
    agi.set_variable("CALLGUARD_VERDICT", "allow")
    agi.verbose("a b", 3)
    agi.hangup()
    theirs = out.getvalue().replace('"3"', "3").splitlines()
    ours = [
        build_command("SET VARIABLE", "CALLGUARD_VERDICT", "allow"),
        build_command("VERBOSE", "a b", "3"),
        build_command("HANGUP"),
    ]
    assert theirs == [line.decode().strip().replace('"3"', "3") for line in ours]


@virtual_time
async def test_panoramisk_reads_the_same_environment_and_replies() -> None:
    seen: list[dict[str, str]] = []
    results: list[tuple[str, str]] = []

    async def route(request: Request) -> None:
        seen.append(dict(request.headers))
        results.extend(
            [
                (await request.send_command(line))["result"]
                for line in ("ANSWER", 'STREAM FILE "n" ""', 'GET VARIABLE "A"')
            ]
        )

    application = Application(loop=asyncio.get_running_loop())
    application.add_route("outbound?pbx=lab&number=%2B4930123456&tenant=acme", route)
    ours, theirs = pipe()
    task = asyncio.create_task(application.handler(*theirs.streams))
    ours.writer.write(ENVIRONMENT)
    replies = (
        b"100 result=0 Trying...\n200 result=0\n",
        b"200 result=57 endpos=8\n",
        b"200 result=1 (x y)\n",
    )
    for reply in replies:
        await ours.reader.readline()
        ours.writer.write(reply)
    await task

    async def handler(agi: AgiSession) -> None:
        assert [dict(agi.env.values)] == seen
        await agi.answer()
        streamed = await agi.stream_file("n", timeout=1)
        value = await agi.get_variable("A")
        assert results == [("0", ""), (str(streamed.result), ""), ("1", value)]

    async with call(handler) as line:
        for reply in replies:
            await line.command()
            line.send(reply)
