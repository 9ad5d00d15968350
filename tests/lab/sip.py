"""SIP messages as a phone in a test's hand reads and writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One, taken apart; header names in lower case, of several with a name the first."""

    first: str
    headers: Mapping[str, str]
    body: str

    @property
    def status(self) -> int:
        """The response code, or 0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """That of the request, or of the one that is answered."""
        return self.headers["cseq"].split()[1] if self.status else self.first.split()[0]

    @property
    def number(self) -> int:
        """The sequence number."""
        return int(self.headers["cseq"].split()[0])

    @property
    def dialled(self) -> str:
        """The user of the address that is asked for."""
        found = re.match(r"\w+ sip:([^@;>]*)@", self.first)
        return found.group(1) if found else ""

    @property
    def media(self) -> int | None:
        """The port where the other side wants the sound."""
        found = re.search(r"^m=audio (\d+)", self.body, re.M)
        return int(found.group(1)) if found else None


def parse(data: bytes) -> Message:
    """A datagram's message."""
    head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Message(first, headers, body)


def compose(lines: Sequence[str], body: str) -> str:
    """A whole message; what body there is describes media."""
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, *kind, f"Content-Length: {len(body.encode())}", "", body])


def describe(port: int, direction: str, version: int, *, wide: bool = False) -> str:
    """µ-law, or linear samples of 16 kHz, and telephone events on that port of 127.0.0.1."""
    kind, name = (118, "L16/16000") if wide else (0, "PCMU/8000")
    lines = [
        "v=0", f"o=lab 1 {version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
        f"m=audio {port} RTP/AVP {kind} 101", f"a=rtpmap:{kind} {name}",
        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=ptime:20", f"a={direction}", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


def tag_of(header: str) -> str:
    """The tag in a From or To header, or the empty string."""
    found = re.search(r";tag=([^;>\s]+)", header)
    return found.group(1) if found else ""


def address_of(header: str) -> str:
    """The address in a Contact header."""
    found = re.search(r"<([^>]+)>", header)
    return found.group(1) if found else header.split(";")[0]
