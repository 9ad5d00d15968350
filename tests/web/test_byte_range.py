"""Which bytes are asked for; what cannot be read means all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.web.byte_range import Span, UnsatisfiableError, asked_span

TAG = '"abc"'


def span(text: str, *, size: int = 100, condition: str | None = None) -> Span | None:
    conditions = [] if condition is None else [condition]
    return asked_span([text], conditions, etag=TAG, size=size)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-99", (0, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=99-", (99, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-1000", (10, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes= 5-6 ", (5, 7)),
    ],
)
def test_a_range_is_read(text: str, expected: tuple[int, int]) -> None:
    assert span(text) == Span(*expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=0-1,5-6",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1 -2",
        "items=0-1",
        "bytes=٠-١",
        f"bytes={'9' * 4000}-",
    ],
)
def test_what_is_not_one_range_of_bytes_asks_for_all(text: str) -> None:
    assert span(text) is None


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={10**17}-"])
def test_a_range_beyond_the_end_has_no_byte(text: str) -> None:
    with pytest.raises(UnsatisfiableError):
        span(text)


def test_a_condition_that_is_not_this_very_tag_asks_for_all() -> None:
    assert span("bytes=1-2", condition=TAG) == Span(1, 3)
    for other in ('W/"abc"', '"abd"', "abc", "Sun, 22 Nov 2026 11:00:00 GMT", ""):
        assert span("bytes=1-2", condition=other) is None
    assert asked_span([], [TAG], etag=TAG, size=9) is None
    assert asked_span(["bytes=0-1", "bytes=2-3"], [], etag=TAG, size=9) is None


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}"), st.integers(0, 2000))
def test_whatever_is_asked_lies_within(text: str, size: int) -> None:
    try:
        found = span(text, size=size)
    except UnsatisfiableError:
        return
    assert found is None or 0 <= found.start < found.stop <= size
