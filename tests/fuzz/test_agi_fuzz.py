"""Ten million bytes that no Asterisk sent: a value or ``RemoteProtocolError``, nothing else."""

import random

import pytest

from callguard.agi import AgiEnvironment
from callguard.agi.wire import EnvironmentParser, RemoteProtocolError, Reply, ReplyParser
from tests.agi.samples import ENVIRONMENT, REPLIES

TOKENS = (
    b"200 result=", b"100 ", b"510 ", b"511 ", b"520-", b"520 ", b"HANGUP", b"\n", b"\n\n",
    b" (", b")", b") ", b"endpos=", b"=", b" ", b"-1", b"\x00", b"\xff\xfe", b"\r", b"agi_",
    b": ", b"?", b"&", b"%", b"%2", b"://", b"/", b"agi_network_script", b"agi_request",
)  # fmt: skip


def mutated(rng: random.Random, seed: bytes) -> bytes:
    """The seed with a few bytes changed, cut, doubled or replaced by telling ones."""
    data = bytearray(seed)
    for _ in range(rng.randrange(6)):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[place : place + 1] = rng.randbytes(1)
        elif kind == 1:
            del data[place : place + rng.randrange(1, 30)]
        elif kind == 2:
            data[place:place] = rng.choice(TOKENS) * rng.choice((1, 1, 1, 50))
        else:
            data[place:place] = data[place : place + rng.randrange(200)]
    return bytes(data)


def chunks(rng: random.Random, data: bytes) -> list[bytes]:
    if rng.random() < 0.3:
        return [data]
    edges = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(8)))
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True)]


def parse_replies(parts: list[bytes]) -> list[object]:
    """All that is parsed and, where it is refused, the exception's kind."""
    parser = ReplyParser(line_bytes=1000, block_bytes=3000)
    found: list[object] = []
    try:
        for part in parts:
            parser.receive(part)
            while (event := parser.next()) is not None:
                found.append(event)
                if isinstance(event, Reply):
                    found.append((number(event, "number"), number(event, "endpos")))
    except RemoteProtocolError:
        found.append(RemoteProtocolError)
    return found


def number(reply: Reply, what: str) -> object:
    try:
        value: object = getattr(reply, what)
    except RemoteProtocolError:
        return None
    assert isinstance(value, int)
    return value


def parse_environment(parts: list[bytes]) -> object:
    parser = EnvironmentParser(4000)
    try:
        for part in parts:
            parser.receive(part)
            if (values := parser.next()) is not None:
                return AgiEnvironment.parse(values)
    except RemoteProtocolError:
        return RemoteProtocolError
    return None


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_replies_are_values_or_protocol_errors(seed: int) -> None:
    rng = random.Random(seed)
    corpus = [*REPLIES, b"HANGUP\n"]
    eaten = refused = 0
    while eaten < 2_000_000:
        stream = mutated(rng, b"".join(rng.choices(corpus, k=rng.randrange(1, 40))))
        found = parse_replies(chunks(rng, stream))
        assert found == parse_replies([stream])
        eaten += len(stream)
        refused += found[-1:] == [RemoteProtocolError]
    assert refused > 100


@pytest.mark.parametrize("seed", [3, 4])
def test_mutated_environments_are_values_or_protocol_errors(seed: int) -> None:
    rng = random.Random(seed)
    eaten = read = refused = 0
    while eaten < 2_000_000:
        stream = mutated(rng, ENVIRONMENT)
        found = parse_environment(chunks(rng, stream))
        assert found == parse_environment([stream])
        eaten += len(stream)
        read += isinstance(found, AgiEnvironment)
        refused += found is RemoteProtocolError
    assert read > 100
    assert refused > 100


def test_token_soup_and_noise_are_values_or_protocol_errors() -> None:
    rng = random.Random(5)
    eaten = 0
    while eaten < 2_000_000:
        if rng.random() < 0.2:
            stream = rng.randbytes(rng.randrange(3000))
        else:
            stream = b"".join(rng.choices(TOKENS, k=rng.randrange(300)))
        parts = chunks(rng, stream)
        assert parse_replies(parts) == parse_replies([stream])
        assert parse_environment(parts) == parse_environment([stream])
        eaten += len(stream)
