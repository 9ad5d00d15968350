"""Faults of the header's text: name -> Fault."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from callguard.recording import age
from callguard.recording.age_header import encode_base64, header_mac
from tests.recording.faults import (
    GOOD,
    GOOD_TEXT,
    GREASE,
    PAYLOAD,
    SQUARE,
    VERSION,
    Fault,
    X,
    close,
    mac_line,
    not_canonical,
    text,
)
from tests.recording.sealing import FILE_KEY

Named = Iterator[tuple[str, Fault]]

_LINE, _BODY = GOOD_TEXT.split(b"\n")[1:3]
_BOTH = text(GREASE, X)
_FULL, _SHORT = _BOTH.split(b"\n")[2:4]
_SQUARE = text(SQUARE, X)
_MAC = mac_line(GOOD_TEXT)


def _edit(old: bytes, new: bytes, reason: str, base: bytes = GOOD_TEXT) -> Fault:
    """One place of a header's text changed, and the MAC made over what came of it."""
    assert base.count(old) == 1
    return Fault(close(base), close(base.replace(old, new)), age.HeaderError, reason)


def version_faults() -> Named:
    """The first line."""
    yield "not an age file", _edit(VERSION, b"RIFF\n", "not an age file")
    yield "leading blank line", _edit(VERSION, b"\n" + VERSION, "not an age file")
    yield "leading space", _edit(VERSION, b" " + VERSION, "not an age file")
    yield "byte order mark", _edit(VERSION, b"\xef\xbb\xbf" + VERSION, "not an age file")
    yield "version in capitals", _edit(VERSION, VERSION.upper(), "not an age file")
    yield "armor", _edit(VERSION, b"-----BEGIN AGE ENCRYPTED FILE-----\n" + VERSION, "armored")
    yield "version v2", _edit(b"/v1\n", b"/v2\n", "not v1")
    yield "version V1", _edit(b"/v1\n", b"/V1\n", "not v1")
    yield "version v10", _edit(b"/v1\n", b"/v10\n", "not v1")
    yield "no version", _edit(b"/v1\n", b"/\n", "not v1")
    yield "space after the version", _edit(b"/v1\n", b"/v1 \n", "not v1")
    yield "null byte after the version", _edit(b"/v1\n", b"/v1\0\n", "not v1")
    yield "return instead of a line feed", _edit(b"/v1\n", b"/v1\r", "not v1")
    yield "return before the line feed", _edit(b"/v1\n", b"/v1\r\n", "carriage return")
    yield "version twice", _edit(VERSION, VERSION * 2, "neither")


def cut_faults() -> Named:
    """The file ends within its header."""
    body_at = len(VERSION) + len(_LINE) + 1
    mac_at = len(GOOD_TEXT)
    for name, at in (
        ("in the version line", 10),
        ("before the first line feed", len(VERSION) - 1),
        ("after the version line", len(VERSION)),
        ("in an arrow", len(VERSION) + 1),
        ("in the stanza line", 40),
        ("after the stanza line", body_at),
        ("in the body", body_at + 20),
        ("after the body", mac_at),
        ("in the dashes", mac_at + 2),
        ("after the dashes", mac_at + 3),
        ("in the MAC", mac_at + 20),
        ("before the last line feed", mac_at + len(_MAC) - 1),
    ):
        yield f"cut {name}", Fault(GOOD, GOOD[:at], age.HeaderError, "cut short")
    yield "empty file", Fault(GOOD, b"", age.HeaderError, "empty")


def line_faults() -> Named:
    """Stanza lines."""
    arrow = b"\n-> X25519 "
    yield "no stanza", _edit(_LINE + b"\n" + _BODY + b"\n", b"", "no recipient stanza")
    yield "unknown line", _edit(arrow, b"\n=> X25519 ", "neither")
    yield "space before the arrow", _edit(arrow, b"\n -> X25519 ", "neither")
    yield "broken arrow", _edit(arrow, b"\n- > X25519 ", "neither")
    yield "no arrow", _edit(arrow, b"\nX25519 ", "neither")
    yield "blank line before the stanza", _edit(arrow, b"\n" + arrow, "neither")
    yield "blank line after the stanza", _edit(_BODY, _BODY + b"\n", "neither")
    yield "comment after the stanza", _edit(_BODY, _BODY + b"\n# mine", "neither")
    yield "arrow without space", _edit(arrow, b"\n->X25519 ", "no arguments")
    yield "arrow and tab", _edit(arrow, b"\n->\tX25519 ", "no arguments")
    yield "arrow alone", _edit(b"-> grease a b", b"->", "no arguments", _BOTH)
    yield "empty type", _edit(b"-> grease a b", b"-> ", "empty argument", _BOTH)
    yield "two spaces after the arrow", _edit(arrow, b"\n->  X25519 ", "empty argument")
    yield "two spaces after the type", _edit(arrow, b"\n-> X25519  ", "empty argument")
    yield "space after the arguments", _edit(_LINE, _LINE + b" ", "empty argument")
    for name, mark in (
        ("tab", b"\t"),
        ("null byte", b"\0"),
        ("unit separator", b"\x1f"),
        ("delete", b"\x7f"),
        ("byte 80", b"\x80"),
        ("letter outside ASCII", b"\xc3\xa9"),
    ):
        new = b"grease a" + mark + b"b"
        yield f"{name} in an argument", _edit(b"grease a b", new, "unprintable", _BOTH)
    yield "return after the arguments", _edit(_LINE, _LINE + b"\r", "carriage return")
    yield "return after the body", _edit(_BODY, _BODY + b"\r", "carriage return")


def body_faults() -> Named:
    """Stanza bodies."""

    def short(new: bytes, reason: str) -> Fault:
        return _edit(_SHORT + b"\n", new + b"\n", reason, _BOTH)

    empty = b"A" * 64 + b"\n\n"
    yield "body missing", _edit(_BODY + b"\n", b"", "short line")
    yield "no short line before the MAC", _edit(empty, empty[:-1], "short line", text(X, SQUARE))
    yield "no short line before a stanza", _edit(empty, empty[:-1], "short line", _SQUARE)
    yield "body line of 65 columns", _edit(empty, b"A" + empty, "longer than 64", _SQUARE)
    yield "body line of 68 columns", _edit(empty, b"AAAA" + empty, "longer than 64", _SQUARE)
    whole = _FULL + b"\n" + _SHORT
    yield "body not wrapped", _edit(whole, whole.replace(b"\n", b""), "longer than 64", _BOTH)
    early = whole.replace(b"\n", b"")
    yield (
        "body wrapped at 60 columns",
        _edit(whole, early[:60] + b"\n" + early[60:], "neither", _BOTH),
    )
    yield "two short lines", short(_SHORT + b"\nAAAA", "neither")
    yield "empty line after a short one", short(_SHORT + b"\n", "neither")
    yield "two empty lines", _edit(empty, empty + b"\n", "neither", _SQUARE)
    yield "padding for two bytes", short(b"AAA=", "padding")
    yield "padding for one byte", short(b"AA==", "padding")
    yield "padding alone", short(b"=", "padding")
    yield "padding within", short(b"AA=A", "outside base64")
    yield "space in the body", short(b"AA A", "outside base64")
    yield "space before the body", short(b" " + _SHORT, "outside base64")
    yield "space after the body", short(_SHORT + b" ", "outside base64")
    yield "space for an empty line", _edit(empty, empty[:-1] + b" \n", "outside", _SQUARE)
    yield "tab in the body", short(b"AA\tA", "outside base64")
    yield "null byte in the body", short(b"AA\0A", "outside base64")
    yield "form feed in the body", short(b"AA\fA", "outside base64")
    yield "URL alphabet in the body", short(b"AA-_", "outside base64")
    yield "letter outside ASCII in the body", short(b"AA\xc3\xa9", "outside base64")
    yield "one letter too many", short(_SHORT + b"A", "impossible")
    yield "two bits after one byte", short(b"AB", "not canonical")
    yield "one bit after two bytes", short(b"AAB", "not canonical")
    yield (
        "own body not canonical",
        _edit(_BODY, not_canonical(_BODY), "body line is not canonical"),
    )
    yield (
        "longer than the limit",
        _edit(b"grease a b", b"grease a " + b"b" * age.MAX_HEADER_SIZE, "longer than", _BOTH),
    )


def mac_faults() -> Named:
    """The last line of the header; all before it is as it was."""
    mac = _MAC[4:-1]

    def closed_by(line: bytes, reason: str, error: type[age.AgeError] = age.HeaderError) -> Fault:
        return Fault(GOOD, GOOD_TEXT + line + b"\n" + PAYLOAD, error, reason)

    yield "MAC missing", closed_by(b"---", "MAC is missing")
    yield "MAC empty", closed_by(b"--- ", "not 32 bytes")
    yield "MAC without space", closed_by(b"---" + mac, "does not begin")
    yield "MAC after a tab", closed_by(b"---\t" + mac, "does not begin")
    yield "MAC after four dashes", closed_by(b"---- " + mac, "does not begin")
    yield "MAC after two dashes", closed_by(b"-- " + mac, "neither")
    yield "MAC after two spaces", closed_by(b"---  " + mac, "outside base64")
    yield "MAC before a space", closed_by(b"--- " + mac + b" ", "outside base64")
    yield "MAC before a return", closed_by(b"--- " + mac + b"\r", "carriage return")
    yield "MAC on two lines", closed_by(b"--- " + mac[:20] + b"\n" + mac[20:], "not 32 bytes")
    yield "MAC of 31 bytes", closed_by(b"--- " + encode_base64(bytes(31)).encode(), "not 32")
    yield "MAC of 33 bytes", closed_by(b"--- " + encode_base64(bytes(33)).encode(), "not 32")
    yield "MAC of 41 letters", closed_by(b"--- " + mac[:41], "impossible")
    yield "MAC padded", closed_by(b"--- " + mac + b"=", "padding")
    yield "MAC not canonical", closed_by(b"--- " + not_canonical(mac), "not canonical")
    yield "MAC with another letter", closed_by(b"--- *" + mac[1:], "outside base64")
    yield "MAC in the URL alphabet", closed_by(b"--- _" + mac[1:], "outside base64")
    whole = GOOD_TEXT + b"---"
    raw = header_mac(FILE_KEY, whole)
    for name, wrong in (
        ("MAC of zeros", bytes(32)),
        ("one bit of the MAC", bytes([raw[0] ^ 1]) + raw[1:]),
        ("last bit of the MAC", raw[:-1] + bytes([raw[-1] ^ 1])),
        ("MAC under another file key", header_mac(bytes(16), whole)),
        ("MAC under the bare file key", hmac.digest(FILE_KEY, whole, "sha256")),
        ("MAC without the dashes", header_mac(FILE_KEY, GOOD_TEXT)),
        ("MAC with the space", header_mac(FILE_KEY, whole + b" ")),
        ("MAC of another header", header_mac(FILE_KEY, _BOTH + b"---")),
    ):
        line = b"--- " + encode_base64(wrong).encode()
        yield name, closed_by(line, "altered", age.HeaderMacError)
    both = text(X, GREASE)
    good = close(both)
    for name, changed in (
        ("a stanza added", text(X, GREASE, SQUARE)),
        ("a stanza removed", text(X)),
        ("a stanza twice", text(X, X, GREASE)),
        ("stanzas exchanged", text(GREASE, X)),
        ("an argument added", both.replace(b"grease a b", b"grease a b c")),
        ("an argument removed", both.replace(b"grease a b", b"grease a")),
        ("a type changed", both.replace(b"grease", b"greasy")),
        ("a body changed", both.replace(_SHORT, b"B" * 16)),
    ):
        assert changed != both
        data = changed + mac_line(both) + PAYLOAD
        yield name, Fault(good, data, age.HeaderMacError, "altered")
    twice = GOOD_TEXT + _MAC * 2 + PAYLOAD
    yield "MAC twice", Fault(GOOD, twice, age.PayloadError, "chunk 0 is not authentic")


HEADER_FAULTS: dict[str, Fault] = {
    name: fault
    for family in (version_faults, cut_faults, line_faults, body_faults, mac_faults)
    for name, fault in family()
}
