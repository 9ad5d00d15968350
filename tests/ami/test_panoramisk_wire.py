"""panoramisk, an independent manager client, reads the same things where it reads right."""

from typing import Any

import pytest
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message as Theirs

from callguard.ami.wire import Message, Parser
from tests.ami.transcript import CALL, GREETING


class Factory:
    """Stands where panoramisk's Manager does and keeps the events it would dispatch."""

    def __init__(self) -> None:
        self.dispatched: list[Any] = []

    def dispatch(self, event: Any) -> None:
        self.dispatched.append(event)


def both() -> list[tuple[Message, Any]]:
    """Each message of the transcript, as we and as panoramisk read it."""
    blocks = CALL.removeprefix(GREETING).decode().split("\r\n\r\n")[:-1]
    return list(zip(Parser().feed(CALL), map(Theirs.from_line, blocks), strict=True))


def test_panoramisks_client_dispatches_the_same_events_in_the_same_order() -> None:
    client = AMIProtocol()
    client.connection_made(None)
    client.factory = Factory()
    client.encoding = "utf8"
    client.data_received(CALL)
    ours = [message for message in Parser().feed(CALL) if message.kind == "event"]
    told = [(event["Event"], event.get("Uniqueid")) for event in client.factory.dispatched]
    assert told == [(event.name, event.get("Uniqueid")) for event in ours]
    assert client.version == "11.0.0"


def test_panoramisk_reads_the_same_headers() -> None:
    compared = 0
    for ours, theirs in both():
        for key, value in ours.headers:
            # It strips the blank that ends a message, and with it an empty last header.
            lost = value == "" and (key, value) == ours.headers[-1]
            # It decodes "Result" and folds what repeats into a list.
            if key == "Result" or len(ours.all(key)) > 1 or lost:
                continue
            assert theirs[key] == value
            compared += 1
    assert compared > 1000


@pytest.mark.parametrize("name", ["Output", "State"])
def test_panoramisk_reads_the_same_repeated_headers(name: str) -> None:
    repeated = [(ours, theirs) for ours, theirs in both() if len(ours.all(name)) > 1]
    assert repeated
    for ours, theirs in repeated:
        assert tuple(theirs[name]) == ours.all(name)
