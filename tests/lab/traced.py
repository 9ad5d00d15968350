"""Every byte that a process and its children write, and in which order, told by the kernel.

`strace` writes it down on a memory disk: what it tells of Asterisk holds the audio.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
SENDS = ("sendto", "sendmsg", "sendmmsg")
SYNCS = ("fsync", "fdatasync")
UNSEEN = ("sendfile", "copy_file_range", "splice", "vmsplice", "tee")
"""Ways to write of which the bytes cannot be told; nobody here takes them."""

_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((\d+)<((?:\\x[0-9a-f]{2})*)>(.*)$", re.S)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_LONGEST = 4 << 20


def able() -> bool:
    """Whether processes can be traced here."""
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-D", "--seccomp-bpf", "-f", "-q", "-o", "/dev/null", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def command(file: Path, *calls: str) -> tuple[str, ...]:
    """What runs a program so that `file` tells of those system calls of it. The program keeps the
    process id, and is ended as ever."""
    options = ("-D", "-f", "-q", "--seccomp-bpf", "-y", "-xx", "-s", str(_LONGEST))
    which = ("-e", "trace=" + ",".join(calls), "-e", "signal=none")
    return ("strace", *options, *which, "-o", str(file))


@dataclass(frozen=True, slots=True)
class Call:
    """One system call on a descriptor: of which file, with which bytes, and its other words."""

    name: str
    path: str
    data: bytes
    words: str

    @property
    def is_file(self) -> bool:
        return self.path.startswith("/")


def calls(file: Path, *, of: str = "") -> Iterator[Call]:
    """What was told, in order, of all files or those with a part `of` in their path. A call that
    another interrupted stands where it began."""
    wanted = "".join(f"\\x{octet:02x}" for octet in of.encode())
    with file.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            found = _LINE.match(line) if wanted in line else None
            if found:
                name, _, path, rest = found.groups()
                data = b"".join(_octets(text) for text in _TEXT.findall(rest))
                where = _octets(path).decode(errors="replace").removesuffix(" (deleted)")
                yield Call(name, where, data, _TEXT.sub("", rest))


def ended(file: Path, pid: int) -> bool:
    """Whether it was told that this process has ended, and so is all that it did."""
    with file.open("rb") as trace:
        trace.seek(max(0, file.stat().st_size - 4096))
        return re.search(rb"^%d +\+\+\+ " % pid, trace.read(), re.M) is not None


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
