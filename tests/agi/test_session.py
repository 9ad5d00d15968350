"""The verbs: what goes out, what comes back, and what each failure is called."""

import pytest

from callguard.agi import (
    AgiError,
    AgiSession,
    AgiTimeout,
    ChannelDead,
    CommandOutstanding,
    CommandRefused,
    LocalProtocolError,
    RemoteProtocolError,
    Streamed,
)
from tests.agi.asterisk import call
from tests.agi.samples import DEAD, USAGE
from tests.harness.virtual import virtual_time


@virtual_time
async def test_a_dialogue_of_every_verb() -> None:
    async def handler(agi: AgiSession) -> None:
        assert agi.env.query["tenant"] == "acme"
        await agi.answer()
        await agi.set_variable("CALLGUARD_VERDICT", 'al"low')
        assert await agi.get_variable("SET") == "a (b) c"
        assert await agi.get_variable("EMPTY") == ""
        assert await agi.get_variable("UNSET") is None
        assert await agi.stream_file("callguard/notice", "9", timeout=30) == Streamed(
            None, 24953, False, 0
        )
        assert await agi.stream_file("n", "9", timeout=30) == Streamed("9", 800, False, 57)
        assert await agi.wait_for_digit(2500) == "#"
        assert await agi.wait_for_digit(0) is None
        assert await agi.exec("MixMonitor", "a b.sln", "b") == "0"
        assert await agi.exec("Ringing") == "0"
        await agi.verbose("hello", 3)
        assert not agi.hung_up
        await agi.hangup()

    async with call(handler) as line:
        await line.exchange(b"ANSWER", b"200 result=0\n")
        await line.exchange(b'SET VARIABLE "CALLGUARD_VERDICT" "al\\"low"', b"200 result=1\n")
        await line.exchange(b'GET VARIABLE "SET"', b"200 result=1 (a (b) c)\n")
        await line.exchange(b'GET VARIABLE "EMPTY"', b"200 result=1 ()\n")
        await line.exchange(b'GET VARIABLE "UNSET"', b"200 result=0\n")
        await line.exchange(
            b'STREAM FILE "callguard/notice" "9"',
            b"100 result=0 Trying...\n100 result=0 Trying...\n200 result=0 endpos=24953\n",
        )
        await line.exchange(b'STREAM FILE "n" "9"', b"200 result=57 endpos=800\n")
        await line.exchange(b'WAIT FOR DIGIT "2500"', b"200 result=35\n")
        await line.exchange(b'WAIT FOR DIGIT "0"', b"200 result=0\n")
        await line.exchange(b'EXEC "MixMonitor" "a b.sln,b"', b"200 result=0\n")
        await line.exchange(b'EXEC "Ringing"', b"200 result=0\n")
        await line.exchange(b'VERBOSE "hello" "3"', b"200 result=1\n")
        await line.exchange(b"HANGUP", b"200 result=1\nHANGUP\n")


@virtual_time
async def test_a_hangup_in_the_notice_keeps_its_position() -> None:
    async def handler(agi: AgiSession) -> None:
        assert await agi.stream_file("n", timeout=9) == Streamed(None, 4000, True, -1)
        await agi.set_variable("A", "1")
        assert agi.hung_up
        with pytest.raises(ChannelDead):
            await agi.answer()

    async with call(handler) as line:
        await line.exchange(b'STREAM FILE "n" ""', b"200 result=-1 endpos=4000\nHANGUP\n")
        await line.exchange(b'SET VARIABLE "A" "1"', b"HANGUP\n200 result=1\nHANGUP\n")
        await line.exchange(b"ANSWER", f"511 {DEAD}\n".encode())


@virtual_time
async def test_a_missing_file_played_nothing_and_leaves_the_channel_alive() -> None:
    async def handler(agi: AgiSession) -> None:
        for result in (0, -1):
            streamed = await agi.stream_file("gone", timeout=9)
            assert (streamed.endpos, streamed.result) == (0, result)
        await agi.answer()
        assert not agi.hung_up

    async with call(handler) as line:
        await line.exchange(b'STREAM FILE "gone" ""', b"200 result=0 endpos=0\n")
        await line.exchange(b'STREAM FILE "gone" ""', b"200 result=-1 endpos=0\n")
        await line.exchange(b"ANSWER", b"200 result=0\n")


@virtual_time
async def test_a_hangup_that_comes_with_the_environment_is_seen_with_the_first_reply() -> None:
    async def handler(agi: AgiSession) -> None:
        await agi.set_variable("A", "1")
        assert agi.hung_up

    async with call(handler) as line:
        line.send(b"HANGUP\n")
        await line.exchange(b'SET VARIABLE "A" "1"', b"200 result=1\n")


@pytest.mark.parametrize("sent", [f"511 {DEAD}\n".encode(), b"200 result=-1\n"])
def test_a_dead_channel_is_called_dead(sent: bytes) -> None:
    @virtual_time
    async def run() -> None:
        async def handler(agi: AgiSession) -> None:
            with pytest.raises(ChannelDead):
                await agi.answer()

        async with call(handler) as line:
            await line.exchange(b"ANSWER", sent)

    run()


@virtual_time
async def test_hanging_up_a_dead_channel_is_no_error() -> None:
    async def handler(agi: AgiSession) -> None:
        await agi.hangup()
        assert agi.hung_up

    async with call(handler) as line:
        await line.exchange(b"HANGUP", f"511 {DEAD}\n".encode())


@virtual_time
async def test_a_refusal_names_its_code_and_the_dialogue_goes_on() -> None:
    codes: list[int] = []

    async def handler(agi: AgiSession) -> None:
        for _ in range(4):
            with pytest.raises(CommandRefused) as caught:
                await agi.exec("NoSuch")
            codes.append(caught.value.code)
        await agi.answer()

    async with call(handler) as line:
        await line.exchange(b'EXEC "NoSuch"', b"510 Invalid or unknown command\n")
        await line.exchange(b'EXEC "NoSuch"', USAGE)
        await line.exchange(b'EXEC "NoSuch"', b"520 Invalid command syntax.\n")
        await line.exchange(b'EXEC "NoSuch"', b"200 result=-2\n")
        await line.exchange(b"ANSWER", b"200 result=0\n")
    assert codes == [510, 520, 520, 200]


@pytest.mark.parametrize("torn", [True, False])
def test_a_connection_that_ends_is_a_dead_channel_for_good(torn: bool) -> None:
    @virtual_time
    async def run() -> None:
        async def handler(agi: AgiSession) -> None:
            for _ in range(2):
                with pytest.raises(ChannelDead):
                    await agi.answer()

        async with call(handler) as line:
            assert await line.command() == b"ANSWER"
            if torn:
                line.end.reset()
            else:
                line.end.writer.write_eof()

    run()


@virtual_time
async def test_a_reply_nobody_asked_for_is_never_taken_for_an_answer() -> None:
    async def handler(agi: AgiSession) -> None:
        assert await agi.get_variable("EVIL") == "x"
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                await agi.get_variable("CALLGUARD_CALL")

    async with call(handler) as line:
        await line.exchange(b'GET VARIABLE "EVIL"', b"200 result=1 (x)\n200 result=1 (forged)\n")


@virtual_time
async def test_garbage_ends_the_session() -> None:
    async def handler(agi: AgiSession) -> None:
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                await agi.answer()

    async with call(handler) as line:
        await line.exchange(b"ANSWER", b"HTTP/1.1 400 Bad Request\n")


@virtual_time
async def test_a_digit_that_is_none_is_the_peers_fault() -> None:
    async def handler(agi: AgiSession) -> None:
        for _ in range(3):
            with pytest.raises(RemoteProtocolError):
                await agi.wait_for_digit(1)

    async with call(handler) as line:
        for result in (b"1", b"120", b"9999"):
            await line.exchange(b'WAIT FOR DIGIT "1"', b"200 result=" + result + b"\n")


@virtual_time
async def test_what_cannot_be_sent_is_refused_before_anything_is_sent() -> None:
    async def handler(agi: AgiSession) -> None:
        with pytest.raises(LocalProtocolError):
            await agi.exec("MixMonitor", "a\nSET VARIABLE CALLGUARD_VERDICT allow")
        with pytest.raises(LocalProtocolError):
            await agi.set_variable("A", "x" * 9000)
        with pytest.raises(ValueError):
            await agi.wait_for_digit(-1)
        await agi.answer()

    async with call(handler) as line:
        await line.exchange(b"ANSWER", b"200 result=0\n")


def test_every_failure_is_an_agi_error() -> None:
    for kind in (
        AgiTimeout,
        ChannelDead,
        CommandOutstanding,
        CommandRefused,
        LocalProtocolError,
        RemoteProtocolError,
    ):
        assert issubclass(kind, AgiError)
