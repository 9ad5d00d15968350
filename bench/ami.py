"""How fast manager events are read: ours, beside panoramisk, pyst2 and a plain split.

The dump is made here to the measure of a real one: about 150 events and 49 KB a bridged call
with every event class on, most of them VarSet and TestEvent, ten of a wanted kind. All
readers get the same chunks, as a socket hands them over, in alternating rounds of one run.
"""

import gc
import io
import statistics
import time
from collections.abc import Callable, Sequence

from asterisk.manager import ManagerMsg
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message as PanoramiskMessage
from rich.console import Console
from rich.table import Table

from callguard.ami.wire import Parser

CALLS = 100
ROUNDS = 5
CHUNK = 64 * 1024
GREETING = b"Asterisk Call Manager/11.0.0\r\n"
WANTED = frozenset({"Newchannel", "DialBegin", "DialEnd", "BridgeEnter", "BridgeLeave", "Hangup"})
#: Events of one call: the ten wanted ones in their order, noise between them.
STORY = [
    *("Newchannel", "Newchannel", "DialBegin", "DialEnd", "BridgeEnter", "BridgeEnter"),
    *("BridgeLeave", "Hangup", "BridgeLeave", "Hangup"),
]
NOISE = ["VarSet", "TestEvent", "VarSet", "VarSet", "Newexten", "TestEvent", "VarSet"]
EVENTS = 150

Chunks = Sequence[bytes]


def channel(call: int, leg: int, prefix: str = "") -> list[str]:
    """The headers of a channel snapshot."""
    return [
        f"{prefix}Channel: PJSIP/{('agent', 'carrier')[leg]}-{call * 2 + leg:08x}",
        f"{prefix}ChannelState: 6",
        f"{prefix}ChannelStateDesc: Up",
        f"{prefix}CallerIDNum: 1000",
        f"{prefix}CallerIDName: Zo\u00eb",
        f"{prefix}ConnectedLineNum: <unknown>",
        f"{prefix}ConnectedLineName: <unknown>",
        f"{prefix}Language: en",
        f"{prefix}AccountCode: ",
        f"{prefix}Context: callguard-outbound",
        f"{prefix}Exten: s",
        f"{prefix}Priority: {call % 20}",
        f"{prefix}Uniqueid: 1795302617.{call * 2 + leg}",
        f"{prefix}Linkedid: 1795302617.{call * 2}",
    ]


def event(kind: str, call: int, number: int) -> bytes:
    """One event as Asterisk writes it."""
    head = [f"Event: {kind}", "Privilege: call,all"]
    snapshot = channel(call, number % 2)
    match kind:
        case "VarSet":
            value = f"value of {number}" if number % 3 else ""
            body = [*snapshot, f"Variable: CALLGUARD_{number}", f"Value: {value}"]
        case "TestEvent":
            body = [
                "Type: StateChange",
                "State: SOUND-PLAYING",
                "AppFile: channel_internal_api.c",
                "AppFunction: ast_channel_callid_set",
                f"AppLine: {number}",
                f"Channel: PJSIP/carrier-{call:08x}",
                f"CallID: [C-{call:08x}]",
            ]
        case "Newexten":
            body = [*snapshot, "Extension: s", "Application: GotoIf", "AppData: 0?unreachable"]
        case "DialBegin" | "DialEnd":
            body = [*snapshot, *channel(call, 1, "Dest"), "DialStatus: ANSWER"]
        case "BridgeEnter" | "BridgeLeave":
            body = ["BridgeUniqueid: 19e0040a-7e19-4d7f", "BridgeType: basic", *snapshot]
        case _:
            body = [*snapshot, "Cause: 16", "Cause-txt: Normal Clearing"]
    return ("\r\n".join([*head, *body]) + "\r\n\r\n").encode()


def dump(calls: int) -> bytes:
    """What Asterisk says during ``calls`` calls, after the greeting."""
    between = EVENTS // len(STORY) - 1
    made = []
    for call in range(calls):
        for step, kind in enumerate(STORY):
            made.append(event(kind, call, step))
            made += [
                event(NOISE[number % len(NOISE)], call, number)
                for number in range(step * between, (step + 1) * between)
            ]
    return b"".join(made)


class Silent:
    """Stands where panoramisk's Manager and its log do, and costs nothing."""

    def __init__(self) -> None:
        self.events = 0

    def dispatch(self, _: PanoramiskMessage) -> None:
        self.events += 1

    def debug(self, *_: object) -> None:
        """Its protocol logs each message; that is not what is measured."""

    info = debug


def read_wanted(chunks: Chunks) -> int:
    parser = Parser(WANTED)
    parser.feed(GREETING)
    got = sum(len(parser.feed(chunk)) for chunk in chunks)
    return got + parser.skipped


def read_all(chunks: Chunks) -> int:
    parser = Parser()
    parser.feed(GREETING)
    return sum(len(parser.feed(chunk)) for chunk in chunks)


def read_with_panoramisk(chunks: Chunks) -> int:
    client, silent = AMIProtocol(), Silent()
    client.connection_made(None)
    client.factory = client.log = silent
    client.encoding = "utf8"
    client.data_received(GREETING)
    for chunk in chunks:
        client.data_received(chunk)
    return silent.events


def read_with_pyst2(chunks: Chunks) -> int:
    """Lines as pyst2's manager reads them from its socket file, each message parsed by it."""
    seen, lines = 0, list[str]()
    for line in io.BytesIO(b"".join(chunks)):
        text = line.decode()
        if text != "\r\n":
            lines.append(text)
            continue
        ManagerMsg(lines)
        seen, lines = seen + 1, []
    return seen


def split_only(chunks: Chunks) -> int:
    """The least that can be done: split every event into a dictionary, correct or not."""
    events = b"".join(chunks).split(b"\r\n\r\n")[:-1]
    return sum(
        bool(dict(line.split(b": ", 1) for line in event.split(b"\r\n") if b": " in line))
        for event in events
    )


READERS: dict[str, Callable[[Chunks], int]] = {
    "panoramisk, all kinds": read_with_panoramisk,
    "pyst2, all kinds": read_with_pyst2,
    "a plain split into dictionaries": split_only,
    "callguard, all kinds": read_all,
    f"callguard, {len(WANTED)} wanted kinds": read_wanted,
}


def measure() -> tuple[int, int, dict[str, float]]:
    """Events and bytes in the dump, and events a second by reader, median of the rounds."""
    data = dump(CALLS)
    events = data.count(b"\r\n\r\n")
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    rates: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(ROUNDS):
        for name, read in READERS.items():
            gc.collect()
            began = time.perf_counter()
            seen = read(chunks)
            rates[name].append(events / (time.perf_counter() - began))
            if seen != events:
                raise RuntimeError(f"{name} saw {seen} of {events} events")
    return events, len(data), {name: statistics.median(rate) for name, rate in rates.items()}


def main() -> int:
    """Measures, prints a table, and returns 1 if the wanted ratio is below its target of 8."""
    events, size, rates = measure()
    table = Table(title=f"AMI: {events} events, {size / CALLS / 1000:.1f} KB a call")
    table.add_column("reader")
    table.add_column("events/s", justify="right")
    table.add_column("of panoramisk", justify="right")
    base = rates["panoramisk, all kinds"]
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / base:.1f} x")
    Console().print(table)
    return 0 if rates[f"callguard, {len(WANTED)} wanted kinds"] >= 8 * base else 1


if __name__ == "__main__":
    raise SystemExit(main())
