"""The text header of an age v1 file: strict parsing, encoding and its MAC. Pure.

Source: C2SP `age`, "Header" and "ABNF definition of file header".
"""

from __future__ import annotations

import binascii
import hmac
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callguard.recording.age_errors import HeaderError, HeaderMacError

FILE_KEY_SIZE = 16
"""Bytes of a file key."""

MAX_HEADER_SIZE = 1 << 20
"""Bytes of header accepted; the format has no limit, a service needs one."""

_VERSION_LINE = b"age-encryption.org/v1"
_VERSION_PREFIX = b"age-encryption.org/"
_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_LAST_LINE = b"\n---"
_OPENING = 128  # bytes that tell an age file from anything else
_MAC_SIZE = 32
_COLUMNS = 64
_ARGUMENT = re.compile(rb"[\x21-\x7e]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One wrapping of the file key: its type, its further arguments and its body."""

    type: str
    arguments: tuple[str, ...]
    body: bytes

    def encode(self) -> bytes:
        """Return the stanza as it stands in a header."""
        text = encode_base64(self.body)
        lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
        if len(text) % _COLUMNS == 0:
            lines.append("")  # a body always ends with a short line
        return "\n".join([" ".join(("->", self.type, *self.arguments)), *lines, ""]).encode("ascii")


@dataclass(frozen=True, slots=True)
class Header:
    """A well-formed header. Its MAC has not been checked: that needs the file key."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    authenticated: bytes = field(repr=False)
    size: int

    def verify(self, file_key: bytes) -> None:
        """Compare the MAC in constant time. Raises HeaderMacError when it does not match."""
        if not hmac.compare_digest(header_mac(file_key, self.authenticated), self.mac):
            raise HeaderMacError("the header MAC does not match: the header was altered")


def encode_header(file_key: bytes, stanzas: tuple[Stanza, ...]) -> bytes:
    """Return a whole header, authenticated by `file_key`."""
    authenticated = b"".join(
        (_VERSION_LINE, b"\n", *(stanza.encode() for stanza in stanzas), b"---")
    )
    mac = encode_base64(header_mac(file_key, authenticated)).encode("ascii")
    return authenticated + b" " + mac + b"\n"


def header_mac(file_key: bytes, authenticated: bytes) -> bytes:
    """HMAC-SHA-256 of the header up to and including `---`, under a key of the file key."""
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, authenticated, "sha256")


def parse_header(data: bytes) -> Header:
    """Parse a header that stands alone, as in a database row.

    Raises HeaderError for any departure from the format, also for data after the header.
    """
    header = read_header(data)
    if header.size != len(data):
        raise HeaderError("data after the end of the header")
    return header


def read_header(data: bytes) -> Header:
    """Parse the header at the start of an age file; the payload begins at `size`.

    Raises HeaderError for any departure from the format.
    """
    _check_version(data)
    lines = _Lines(data, len(_VERSION_LINE) + 1)
    stanzas: list[Stanza] = []
    while True:
        start = lines.position
        line = lines.next()
        if line.startswith(b"---"):
            break
        stanzas.append(_read_stanza(line, lines))
    mac = _read_mac(line)
    if not stanzas:
        raise HeaderError("the header has no recipient stanza")
    if len(stanzas) > 1 and any(stanza.type == "scrypt" for stanza in stanzas):
        raise HeaderError("a scrypt stanza does not stand alone")
    return Header(tuple(stanzas), mac, data[: start + 3], lines.position)


class HeaderFinder:
    """Tells, of an age file that arrives in pieces, when `read_header` has all that it needs."""

    def __init__(self) -> None:
        self._searched = 0
        self._last_line = False

    def ends(self, data: bytes | bytearray) -> bool:
        """Whether the header in `data`, all that has come so far, ends there or cannot be one."""
        if len(data) >= _OPENING and not data.startswith(_VERSION_LINE + b"\n"):
            return True
        if not self._last_line:
            mark = data.find(_LAST_LINE, self._searched)
            self._last_line = mark >= 0
            self._searched = mark + 1 if self._last_line else max(0, len(data) - 3)
        if self._last_line and data.find(b"\n", self._searched) >= 0:
            return True
        if self._last_line:
            self._searched = len(data)
        return len(data) >= MAX_HEADER_SIZE


def encode_base64(data: bytes) -> str:
    """Canonical base64 without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").decode("ascii")


def decode_base64(text: bytes, what: str) -> bytes:
    """Decode canonical base64 without padding. Raises HeaderError that names `what`."""
    if text.endswith(b"="):
        raise HeaderError(f"{what} has base64 padding")
    if not _BASE64.fullmatch(text):
        raise HeaderError(f"{what} has a character outside base64")
    if len(text) % 4 == 1:
        raise HeaderError(f"{what} has an impossible base64 length")
    data = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    if encode_base64(data).encode("ascii") != text:
        raise HeaderError(f"{what} is not canonical base64")
    return data


class _Lines:
    """Reads LF-ended lines within the size limit, each byte once."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self.position = position

    def next(self) -> bytes:
        end = self._data.find(b"\n", self.position, MAX_HEADER_SIZE)
        if end < 0:
            if len(self._data) >= MAX_HEADER_SIZE:
                raise HeaderError(f"the header is longer than {MAX_HEADER_SIZE} bytes")
            raise HeaderError("the header is cut short")
        line = self._data[self.position : end]
        self.position = end + 1
        if line.endswith(b"\r"):
            raise HeaderError("a header line ends with a carriage return")
        return line


def _check_version(data: bytes) -> None:
    if data.startswith(_VERSION_LINE + b"\n"):
        return
    if not data:
        raise HeaderError("the file is empty")
    if data.startswith(_VERSION_LINE + b"\r\n"):
        raise HeaderError("a header line ends with a carriage return")
    if (_VERSION_LINE + b"\n").startswith(data):
        raise HeaderError("the header is cut short")
    if data.startswith(_VERSION_PREFIX):
        raise HeaderError("the version of the age format is not v1")
    if data[:_OPENING].lstrip().startswith(_ARMOR):
        raise HeaderError("the file is armored: only the binary form of age is read")
    raise HeaderError("not an age file: the version line is missing")


def _read_stanza(line: bytes, lines: _Lines) -> Stanza:
    if not line.startswith(b"->"):
        raise HeaderError("a line is neither the start of a stanza nor the MAC")
    if not line.startswith(b"-> "):
        raise HeaderError("a stanza has no arguments")
    arguments = line[3:].split(b" ")
    for argument in arguments:
        if not argument:
            raise HeaderError("a stanza has an empty argument")
        if not _ARGUMENT.fullmatch(argument):
            raise HeaderError("a stanza argument has an unprintable character")
    kind, *rest = (argument.decode("ascii") for argument in arguments)
    body = bytearray()
    while True:
        line = lines.next()
        if line.startswith((b"->", b"---")):
            raise HeaderError("a stanza body does not end with a short line")
        if len(line) > _COLUMNS:
            raise HeaderError(f"a stanza body line is longer than {_COLUMNS} columns")
        body += decode_base64(line, "a stanza body line")
        if len(line) < _COLUMNS:
            return Stanza(kind, tuple(rest), bytes(body))


def _read_mac(line: bytes) -> bytes:
    if line == b"---":
        raise HeaderError("the header MAC is missing")
    if not line.startswith(b"--- "):
        raise HeaderError("the MAC line does not begin with '--- '")
    mac = decode_base64(line[4:], "the header MAC")
    if len(mac) != _MAC_SIZE:
        raise HeaderError(f"the header MAC is not {_MAC_SIZE} bytes")
    return mac
