"""Ten million bytes of nonsense end in messages or in RemoteProtocolError, nothing else."""

import random
import time
from collections.abc import Iterator

from callguard.ami.wire import Limits, Message, Parser, RemoteProtocolError
from tests.ami.transcript import CALL, GREETING

MEGABYTE = 1_000_000
LIMITS = Limits(line_bytes=1_000, message_bytes=3_000)
PIECES = [
    b"\r\n\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b": ",
    b":",
    b"\0",
    b"\xc3",
    b"\xff",
    b"Event: ",
    b" ",
]


def noise(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def soup(rng: random.Random, size: int) -> bytes:
    """The protocol's own pieces in any order."""
    made = bytearray()
    while len(made) < size:
        made += rng.choice(PIECES)
        made += rng.choice((b"", b"a", b"Hangup", b"ActionID", b"v" * rng.randrange(200)))
    return bytes(made)


def mutated(rng: random.Random, size: int) -> bytes:
    """The real transcript with bytes changed, cut out, doubled and moved."""
    made = bytearray()
    while len(made) < size:
        part = bytearray(CALL)
        for _ in range(rng.randrange(1, 60)):
            at = rng.randrange(len(part))
            match rng.randrange(4):
                case 0:
                    part[at] = rng.randrange(256)
                case 1:
                    del part[at : at + rng.randrange(1, 40)]
                case 2:
                    part[at:at] = rng.choice(PIECES)
                case _:
                    part[at:at] = part[at : at + rng.randrange(1, 3000)]
        made += part
    return bytes(made)


def chunks(rng: random.Random, data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 17, 400, 1460, 16_384))
        yield data[at : at + size]
        at += size


def test_ten_million_bytes_end_in_messages_or_the_protocol_error() -> None:
    rng = random.Random(20261121)
    began = time.monotonic()
    fed = messages = refusals = 0
    sources = [noise, soup, soup, *[mutated] * 7]
    for source in sources:
        data = source(rng, MEGABYTE)[:MEGABYTE]
        parser = Parser(None if rng.random() < 0.5 else {"Hangup", "VarSet"}, LIMITS)
        parser.feed(GREETING)
        for chunk in chunks(rng, data):
            fed += len(chunk)
            try:
                got = parser.feed(chunk)
            except RemoteProtocolError:
                refusals += 1
                parser = Parser(rng.choice((None, {"Newexten"})), LIMITS)
                parser.answers = rng.random() < 0.5
                parser.feed(GREETING)
                continue
            assert parser.held <= LIMITS.message_bytes + 3
            for message in got:
                check(message)
            messages += len(got)
    assert fed == 10 * MEGABYTE
    assert messages > 10_000
    assert refusals > 50
    assert time.monotonic() - began < 20


def check(message: Message) -> None:
    """A message is text that can be stored, and has no line end in a name or a value."""
    assert message.headers
    for name, value in message.headers:
        assert "\r\n" not in name
        assert "\r\n" not in value
        value.encode()
    assert message.name is not None


def test_nonsense_before_the_greeting_is_refused_at_once() -> None:
    rng = random.Random(3)
    for _ in range(2_000):
        data = rng.randbytes(rng.randrange(1, 40))
        parser = Parser()
        try:
            assert parser.feed(data) == []
        except RemoteProtocolError:
            continue
        assert GREETING.startswith(data)
