"""The manager parser bounds what a broken or hostile peer can cost."""

import time

import pytest

from callguard.ami.wire import GREETING, Limits, Parser, RemoteProtocolError

SMALL = Limits(line_bytes=64, message_bytes=256)
HELLO = b"Asterisk Call Manager/11.0.0\r\n"


def fed(data: bytes, size: int, wanted: set[str] | None = None) -> int:
    """How many messages ``data`` holds when fed in pieces of ``size`` after the greeting."""
    parser = Parser(wanted, SMALL)
    parser.feed(HELLO)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return sum(len(parser.feed(piece)) for piece in pieces)


def lines(length: int) -> bytes:
    """One event of exactly ``length`` bytes, in short lines, without its end."""
    body = b"Event: X\r\n"
    while length - len(body) > 60:
        body += b"K: " + b"v" * 40 + b"\r\n"
    return body + b"K: " + b"v" * (length - len(body) - 3)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_may_be_as_long_as_the_limit_and_no_longer(size: int) -> None:
    assert fed(b"Event: X\r\nK: " + b"v" * 61 + b"\r\n\r\n" + lines(200) + b"\r\n\r\n", size) == 2
    with pytest.raises(RemoteProtocolError, match="line"):
        fed(b"Event: X\r\nK: " + b"v" * 62 + b"\r\n\r\n", size)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("wanted", [None, {"Y"}])
def test_a_message_may_be_as_long_as_the_limit_and_no_longer(
    size: int, wanted: set[str] | None
) -> None:
    assert fed(lines(256) + b"\r\n\r\n", size, wanted) == (1 if wanted is None else 0)
    with pytest.raises(RemoteProtocolError, match="message"):
        fed(lines(257) + b"\r\n\r\n", size, wanted)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_message_without_end_is_refused_at_the_limit(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="message"):
        fed(b"Event: X\r\n" * 100, size)


def test_what_is_held_stays_within_the_limit() -> None:
    parser = Parser(None, SMALL)
    parser.feed(HELLO)
    for _ in range(256 + 3):
        parser.feed(b"x")
    assert parser.held == 259
    with pytest.raises(RemoteProtocolError):
        parser.feed(b"x")
    assert parser.held == 0


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"asterisk call manager/1\r\n",
        b"\r\n",
        b"Asterisk\r\n",
        b"\x16\x03\x01",
        GREETING + b"1" * 64 + b"\r\n",
        GREETING + b"1" * 64,
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_whatever_is_not_a_manager_is_refused(data: bytes, size: int) -> None:
    parser = Parser(None, SMALL)

    def feed() -> None:
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])

    with pytest.raises(RemoteProtocolError, match="greeting"):
        feed()
    assert parser.greeting is None


def test_a_greeting_may_fill_its_line() -> None:
    parser = Parser(None, SMALL)
    greeting = GREETING + b"1" * (64 - len(GREETING))
    for byte in greeting + b"\r\n":
        parser.feed(bytes([byte]))
    assert parser.greeting == greeting.decode()


def test_a_broken_parser_stays_broken() -> None:
    parser = Parser()
    with pytest.raises(RemoteProtocolError):
        parser.feed(b"nonsense\r\n")
    with pytest.raises(RemoteProtocolError, match="greeting"):
        parser.feed(HELLO)


@pytest.mark.parametrize("limits", [(8, 100), (100, 99)])
def test_limits_that_fit_nothing_are_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="limits"):
        Limits(*limits)


def _drip(data: bytes, count: int) -> float:
    """Processor time to feed ``data`` piece by piece, ``count`` times."""
    parser = Parser()
    parser.feed(HELLO)
    began = time.process_time()
    for _ in range(count):
        parser.feed(data)
    return time.process_time() - began


def test_a_message_that_never_ends_costs_no_more_per_byte_than_one_that_does() -> None:
    # A parser that searched or copied what it holds at every feed would touch 10^11 bytes
    # here, some hundred times the work of the ended messages beside it.
    count = 500_000
    ended = _drip(b"\r\n\r\n", count)
    for drop in (b"x", b"\r", b"\n"):
        assert _drip(drop, count) < 10 * ended + 0.5
