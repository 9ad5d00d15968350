"""The reply parser: every form of reply, hang-ups in between, and what it refuses."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.agi.wire import (
    HANGUP,
    EnvironmentParser,
    RemoteProtocolError,
    Reply,
    ReplyParser,
)
from tests.agi.samples import REPLIES, USAGE, USAGE_TEXT, events


@pytest.mark.parametrize("sent", REPLIES)
def test_a_reply_means_the_same_cut_at_every_byte(sent: bytes) -> None:
    for cut in range(len(sent) + 1):
        assert events(sent[:cut], sent[cut:]) == [REPLIES[sent]]
    assert events(*(sent[i : i + 1] for i in range(len(sent)))) == [REPLIES[sent]]


@pytest.mark.parametrize("sent", REPLIES)
def test_hangups_come_out_before_and_after_a_reply_in_their_order(sent: bytes) -> None:
    stream = b"HANGUP\n" + sent + b"HANGUP\nHANGUP\n" + sent
    expected = [HANGUP, REPLIES[sent], HANGUP, HANGUP, REPLIES[sent]]
    for cut in range(len(stream) + 1):
        assert events(stream[:cut], stream[cut:]) == expected


def test_a_hangup_between_any_two_lines_of_a_usage_block_leaves_the_block_whole() -> None:
    lines = USAGE.splitlines(keepends=True)
    for place in range(1, len(lines)):
        stream = b"".join([*lines[:place], b"HANGUP\n", *lines[place:]])
        assert events(stream) == [HANGUP, Reply(520, text=USAGE_TEXT)]


def test_a_usage_block_does_not_leak_into_the_next_reply() -> None:
    assert events(USAGE + b"200 result=1\n") == [Reply(520, text=USAGE_TEXT), Reply(200, "1")]


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"HANGUP \n",
        b"hangup\n",
        b"200\n",
        b"200 OK\n",
        b"200 Result=1\n",
        b"200-result=1\n",
        b"300 result=1\n",
        b"5200 result=1\n",
        b"200 result=1 (no end\n",
        b"200 result=1 (a) b\n",
        b"200 result=1 )\n",
        b"200 result=1 endpos\n",
        b"200 result=1  endpos=3\n",
        b"agi_request: x\n",
        b"\x00\n",
    ],
)
def test_a_line_that_is_no_reply_is_refused_for_good(sent: bytes) -> None:
    parser = ReplyParser()
    parser.receive(b"200 result=0\n" + sent + b"200 result=1\n")
    assert parser.next() == Reply(200, "0")
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            parser.next()
    parser.receive(b"200 result=1\n")
    with pytest.raises(RemoteProtocolError):
        parser.next()


def test_a_line_may_have_the_whole_cap_and_not_one_byte_more() -> None:
    longest = b"200 result=" + b"1" * (8192 - 11)
    assert events(longest + b"\n") == [Reply(200, "1" * (8192 - 11))]
    for stream in (longest + b"1\n", longest + b"1"):
        with pytest.raises(RemoteProtocolError):
            events(stream)


def test_a_usage_block_without_end_is_cut_off() -> None:
    parser = ReplyParser(block_bytes=1000)
    parser.receive(b"520-Usage\n" + b"x" * 99 + b"\n")
    assert parser.next() is None
    parser.receive((b"x" * 99 + b"\n") * 10)
    with pytest.raises(RemoteProtocolError):
        parser.next()


@pytest.mark.parametrize("result", ["", "x", "1_0", "0x1", "--1", "1" * 30, "\u0665"])
def test_a_result_that_is_no_whole_number_is_the_peers_fault(result: str) -> None:
    with pytest.raises(RemoteProtocolError):
        _ = Reply(200, result).number


def test_endpos_is_found_among_the_fields_and_missed_when_absent() -> None:
    assert Reply(200, "0", None, (("digit", "5"), ("endpos", "12"))).endpos == 12
    with pytest.raises(RemoteProtocolError):
        _ = Reply(200, "0").endpos


@given(
    st.lists(st.sampled_from([*REPLIES, b"HANGUP\n"]), max_size=8),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_the_cutting_of_the_stream_does_not_matter(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert events(*chunks) == events(stream)
    assert [event for event in events(stream) if event != HANGUP] == [
        REPLIES[part] for part in parts if part in REPLIES
    ]


@given(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=200))
def test_a_variables_value_is_read_back_whatever_stands_in_it(value: str) -> None:
    assert events(f"200 result=1 ({value})\n".encode()) == [Reply(200, "1", value)]


@pytest.mark.parametrize("parser", [ReplyParser(20_000), EnvironmentParser(20_000)])
def test_no_byte_is_looked_at_twice_however_the_bytes_drip_in(
    parser: ReplyParser | EnvironmentParser,
) -> None:
    class Counting(bytearray):
        looked_at = 0

        def find(self, sub: object, start: object = 0, end: object = None) -> int:
            assert isinstance(start, int)
            self.looked_at += len(self) - start
            return -1

    counting = Counting()
    parser._buffer = counting
    for _ in range(10_000):
        parser.receive(b"x")
        assert parser.next() is None
    # The environment's end is two bytes long, so its search starts one byte earlier.
    assert counting.looked_at <= 2 * 10_000
