"""The command builder, read back as Asterisk reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.agi.wire import COMMAND_BYTES, LocalProtocolError, build_command

SENDABLE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=60)


def parse_args(line: bytes) -> list[bytes]:
    """``parse_args`` of ``res_agi.c``, state for state."""
    arguments: list[bytearray] = []
    quoted = escaped = False
    whitespace = True
    for byte in line:
        char = bytes([byte])
        if char == b'"' and not escaped:
            quoted = not quoted
            if quoted and whitespace:
                arguments.append(bytearray())
                whitespace = False
            continue
        if char in b" \t" and not quoted and not escaped:
            whitespace = True
            continue
        if char == b"\\" and not escaped:
            escaped = True
            continue
        if whitespace:
            arguments.append(bytearray())
            whitespace = False
        arguments[-1] += char
        escaped = False
    return [bytes(argument) for argument in arguments]


@given(st.lists(SENDABLE, max_size=5))
def test_asterisk_reads_back_exactly_the_arguments_we_gave(arguments: list[str]) -> None:
    line = build_command("SET VARIABLE", *arguments)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_args(line[:-1]) == [b"SET", b"VARIABLE", *(a.encode() for a in arguments)]


def test_a_quote_and_a_backslash_are_escaped() -> None:
    assert build_command("VERBOSE", 'a "b" \\', "1") == b'VERBOSE "a \\"b\\" \\\\" "1"\n'


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\ud800"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_would_end_or_break_the_line_is_refused_in_every_place(bad: str, place: int) -> None:
    words = ["SET VARIABLE", "NAME", "value"]
    words[place] += bad
    with pytest.raises(LocalProtocolError):
        build_command(*words)


def test_a_line_may_fill_asterisks_buffer_and_not_one_byte_more() -> None:
    room = COMMAND_BYTES - len(b'VERBOSE ""\n')
    assert len(build_command("VERBOSE", "ä" * (room // 2) + "x" * (room % 2))) == COMMAND_BYTES
    with pytest.raises(LocalProtocolError):
        build_command("VERBOSE", "x" * (room + 1))
    with pytest.raises(LocalProtocolError):
        build_command("VERBOSE", '"' * (room // 2 + 1))


def test_an_error_does_not_repeat_what_was_refused() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        build_command("SET VARIABLE", "NUMBER", "+4930123456\n")
    assert "4930123456" not in str(caught.value)
