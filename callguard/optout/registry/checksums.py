"""Files of checksums as ``sha256sum`` of GNU coreutils writes and reads them."""

import re

from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.outcome import printable

MAX_BYTES = 16 * 1024 * 1024

_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)")
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def read_sums(text: str) -> dict[str, str]:
    """The SHA-256 of each file by its name, folders left off. A line that begins with a backslash
    has its name escaped. Raises RegistryError for anything else, and where two lines of one name
    differ."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        read = _LINE.fullmatch(line)
        if read is None:
            raise RegistryError(f"line {number} is no checksum as sha256sum writes them")
        escaped, digest, name = read.groups()
        if escaped:
            name = re.sub(r"\\[\\nr]", lambda m: _ESCAPES[m[0]], name)
        name = name.rpartition("/")[2]
        if found.setdefault(name, digest.lower()) != digest.lower():
            raise RegistryError(f"line {number}: there are two checksums of {printable(name)}")
    if not found:
        raise RegistryError("there is no checksum in it")
    return found
