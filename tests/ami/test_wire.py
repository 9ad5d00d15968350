"""The manager parser reads what Asterisk says, however the bytes are cut."""

import pytest

from callguard.ami.wire import Message, Parser
from tests.ami.transcript import CALL, GREETING


def parse(data: bytes, wanted: set[str] | None = None) -> list[Message]:
    return Parser(wanted).feed(GREETING + data)


def test_the_greeting_is_kept_and_is_no_message() -> None:
    parser = Parser()
    assert parser.feed(GREETING) == []
    assert parser.greeting == "Asterisk Call Manager/11.0.0"


def test_headers_keep_their_order_case_and_repetitions() -> None:
    [event] = parse(b"Event: X\r\nState: a\r\nsTATE: b\r\nOther: c\r\n\r\n")
    assert event.headers == (("Event", "X"), ("State", "a"), ("sTATE", "b"), ("Other", "c"))
    assert event.get("state") == "a"
    assert event.all("STATE") == ("a", "b")
    assert event.get("Missing") is None
    assert event.get("Missing", "-") == "-"
    assert event.all("Missing") == ()


def test_an_empty_last_value_is_kept() -> None:
    [event] = parse(b"Event: VarSet\r\nVariable: V\r\nValue: \r\n\r\n")
    assert event.get("Value") == ""


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (b"Value:", ("Value", "")),
        (b"Value:x", ("Value", "x")),
        (b"Value:  x ", ("Value", " x ")),
        (b"--END COMMAND--", ("--END COMMAND--", "")),
        (b"Output: a: b: c", ("Output", "a: b: c")),
        (b"ChanVariable(SIP/192.0.2.1:5060): K=v", ("ChanVariable(SIP/192.0.2.1:5060)", "K=v")),
        (b": x", ("", "x")),
        (b"two\nlines: kept", ("two\nlines", "kept")),
    ],
)
def test_odd_lines_are_kept(line: bytes, header: tuple[str, str]) -> None:
    [event] = parse(b"Event: X\r\n" + line + b"\r\n\r\n")
    assert event.headers[1] == header


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [
        (b"Event: Hangup", "event", "Hangup"),
        (b"response: Success", "response", "Success"),
        (b"Action: Ping", "action", "Ping"),
        (b"ActionID: 1\r\nResponse: Error\r\nEvent: X", "response", "Error"),
        (b"Nothing: known", "", ""),
    ],
)
def test_a_message_knows_what_it_is(data: bytes, kind: str, name: str) -> None:
    [got] = parse(data + b"\r\n\r\n")
    assert (got.kind, got.name) == (kind, name)


def test_a_command_answer_keeps_every_line_of_output() -> None:
    [answer] = parse(
        b"Response: Success\r\nMessage: Command output follows\r\n"
        b"Output: \r\nOutput:   one\r\nOutput: two\r\n\r\n"
    )
    assert answer.all("Output") == ("", "  one", "two")


def test_bytes_that_are_not_utf8_do_not_harm_their_neighbours() -> None:
    [event] = parse(b"Event: X\r\nA: \xe2\x82\r\nB: \xff!\r\nC: Zo\xc3\xab\r\n\r\n")
    assert event.headers[1:] == (("A", "\ufffd"), ("B", "\ufffd!"), ("C", "Zoë"))


def test_empty_lines_between_messages_are_nothing() -> None:
    data = b"\r\n\r\n\r\nEvent: A\r\n\r\n\r\n\r\n\r\nEvent: B\r\n\r\n\r\nResponse: C\r\n\r\n"
    assert [message.name for message in parse(data)] == ["A", "B", "C"]
    assert [message.name for message in parse(data, {"B"})] == ["B", "C"]


def test_unwanted_events_are_stepped_over_and_answers_never() -> None:
    parser = Parser({"Hangup"})
    parser.feed(GREETING)
    got = parser.feed(
        b"Event: VarSet\r\nValue: 1\r\n\r\n"
        b"Event: HangupRequest\r\n\r\n"
        b"Event: Hangup\r\n\r\n"
        b"Event: \r\n\r\n"
        b"Response: Success\r\nEvent: VarSet\r\n\r\n"
    )
    assert [message.name for message in got] == ["Hangup", "Success"]
    assert parser.skipped == 3


def test_events_that_answer_an_action_are_returned_while_answers_are_awaited() -> None:
    parser = Parser({"Hangup"})
    parser.feed(GREETING)
    entry = b"Event: CoreShowChannel\r\nActionID: 7\r\nChannel: A\r\n\r\n"
    noise = b"Event: VarSet\r\nValue: ActionID: 7\r\n\r\n"
    assert parser.feed(entry + noise) == []
    parser.answers = True
    assert [message.name for message in parser.feed(entry + noise)] == ["CoreShowChannel"]


def test_a_real_call_reads_as_asterisk_told_it() -> None:
    messages = Parser().feed(CALL)
    names = [message.name for message in messages]
    assert len(messages) == CALL.count(b"\r\n\r\n") == 102
    assert names[0] == "Success"
    assert names[-1] == "Goodbye"
    assert names.count("VarSet") == 28
    assert names.count("CoreShowChannel") == 4
    assert names.count("Hangup") == 4
    callers = {message.get("CallerIDName") for message in messages if message.name == "Newstate"}
    assert "Zoë Ünal" in callers
    empty = [m for m in messages if m.get("Variable") == "CALLGUARD_VERDICT"]
    assert [m.get("Value") for m in empty] == [""]


@pytest.mark.parametrize("wanted", [None, {"VarSet", "Newexten"}])
def test_a_real_call_reads_the_same_cut_at_every_byte(wanted: set[str] | None) -> None:
    # Message by message with the next one behind it, which is where a cut can matter.
    messages = CALL.removeprefix(GREETING).split(b"\r\n\r\n")[:-1]
    for first, second in zip(messages[::2], messages[1::2], strict=True):
        data = GREETING + first + b"\r\n\r\n" + second + b"\r\n\r\n"
        whole = Parser(wanted).feed(data)
        for cut in range(len(GREETING) if first is not messages[0] else 0, len(data) + 1):
            parser = Parser(wanted)
            assert parser.feed(data[:cut]) + parser.feed(data[cut:]) == whole
            assert parser.held == 0


@pytest.mark.parametrize("wanted", [None, {"Hangup", "BridgeEnter"}])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000, 1460])
def test_a_real_call_reads_the_same_in_pieces(size: int, wanted: set[str] | None) -> None:
    whole = Parser(wanted)
    pieces = Parser(wanted)
    got = []
    for start in range(0, len(CALL), size):
        got += pieces.feed(CALL[start : start + size])
    assert got == whole.feed(CALL)
    assert pieces.skipped == whole.skipped
    assert pieces.held == 0
