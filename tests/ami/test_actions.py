"""Actions are written as Asterisk reads them, or not at all."""

import pytest

from callguard.ami.wire import LocalProtocolError, build_action


def test_an_action_carries_its_name_id_and_headers_in_order() -> None:
    action = build_action("Setvar", [("Variable", "A"), ("Value", "Zoë: =1"), ("Value", "")], "7")
    assert action == (
        "Action: Setvar\r\nActionID: 7\r\nVariable: A\r\nValue: Zoë: =1\r\nValue: \r\n\r\n".encode()
    )


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nAction: Originate", "a\0b", "\n"])
def test_a_value_cannot_smuggle_a_line(value: str) -> None:
    for name, headers, action_id in [
        ("Ping", [("Key", value)], "1"),
        (value, [], "1"),
        ("Ping", [], value),
    ]:
        with pytest.raises(LocalProtocolError, match="CR, LF or NUL"):
            build_action(name, headers, action_id)


@pytest.mark.parametrize("key", ["", "a b", "a:b", "a\r\n", "é", "a\0"])
def test_a_header_name_is_a_name(key: str) -> None:
    with pytest.raises(LocalProtocolError, match="header name"):
        build_action("Ping", [(key, "1")], "1")


@pytest.mark.parametrize("key", ["Action", "actionid", "ACTIONID"])
def test_the_name_and_the_id_cannot_be_given_twice(key: str) -> None:
    with pytest.raises(LocalProtocolError, match="second"):
        build_action("Ping", [(key, "1")], "1")


def test_an_action_needs_a_name() -> None:
    with pytest.raises(LocalProtocolError, match="name"):
        build_action("", [], "1")


def test_a_line_is_bounded_in_bytes_line_end_included() -> None:
    fits = "é" * ((1024 - len("Key: \r\n")) // 2)
    assert b"Key: " + fits.encode() + b"\r\n" in build_action("Ping", [("Key", fits)], "1")
    with pytest.raises(LocalProtocolError, match="over 1024"):
        build_action("Ping", [("Key", fits + "éé")], "1")


def test_the_lines_are_bounded_in_number() -> None:
    build_action("Ping", [("Variable", "A=1")] * 126, "1")
    with pytest.raises(LocalProtocolError, match="128 lines"):
        build_action("Ping", [("Variable", "A=1")] * 127, "1")


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="not text"):
        build_action("Ping", [("Key", "\ud800")], "1")


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(LocalProtocolError) as refusal:
        build_action("Login", [("Secret", "hunter2\n")], "1")
    assert "hunter2" not in str(refusal.value)
