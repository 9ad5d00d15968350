"""Headers written anew for other recipients: the file key stays, and the payload with it.

``python -m callguard.recording.rekeying.rewrapping`` does so for many headers, in a process of its
own: the interpreter lock would let threads use one core only. What travels on its standard input
and output are frames: how many items, then each after its length, numbers of 4 bytes, big-endian.
First come the identities, then the recipients, then headers for as long as there are any; each
frame of headers is answered by one of results. The private keys are in no argument, no environment
and no file, and the process ends with whoever started it.
"""

import sys
from collections.abc import Sequence
from enum import Enum
from typing import IO

from callguard.recording import age

_SIZE = 4
_LONGEST = 2 * age.MAX_HEADER_SIZE


class Kept(Enum):
    """Why a header stays as it is."""

    NOT_OURS = b"-"
    DAMAGED = b"!"


Result = bytes | Kept


class Rewrapper:
    """Opens headers with some identities and closes them for some recipients. It holds private
    keys: keep it no longer than it is used."""

    def __init__(
        self, identities: Sequence[age.Identity], recipients: Sequence[age.Recipient]
    ) -> None:
        self._identities = list(identities)
        self._recipients = tuple(recipients)

    def __repr__(self) -> str:
        return f"Rewrapper({len(self._identities)} identities)"

    def rewrap(self, header: bytes) -> Result:
        """The new header, or why there is none."""
        try:
            file_key = self._open(age.parse_header(header))
        except age.AgeError:
            return Kept.DAMAGED
        return Kept.NOT_OURS if file_key is None else age.build_header(file_key, self._recipients)

    def _open(self, header: age.Header) -> bytes | None:
        """Headers of one time are wrapped for one version: what opened the last is tried first."""
        for place, identity in enumerate(self._identities):
            try:
                file_key = age.unwrap(header, (identity,))
            except age.NoMatchingIdentity:
                continue
            if place:
                self._identities.insert(0, self._identities.pop(place))
            return file_key
        return None


def write_frame(file: IO[bytes], items: Sequence[bytes]) -> None:
    """Raises OSError."""
    parts = [len(items).to_bytes(_SIZE, "big")]
    for item in items:
        parts += (len(item).to_bytes(_SIZE, "big"), item)
    file.write(b"".join(parts))
    file.flush()


def read_frame(file: IO[bytes]) -> list[bytes] | None:
    """The items of the next frame; None at the end. Raises EOFError for one that is cut off."""
    head = file.read(_SIZE)
    if not head:
        return None
    head += _exactly(file, _SIZE - len(head))
    return [_item(file) for _ in range(int.from_bytes(head, "big"))]


def _item(file: IO[bytes]) -> bytes:
    size = int.from_bytes(_exactly(file, _SIZE), "big")
    if size > _LONGEST:
        raise EOFError("a frame is nonsense")
    return _exactly(file, size)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError("a frame was cut off")
    return data


def result_of(item: bytes) -> Result:
    """A result as it travels: what was kept, or the new header after a plus."""
    return item[1:] if item[:1] == b"+" else Kept(item)


def serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """Rewraps what comes until there is no more."""
    identities, recipients = read_frame(asked), read_frame(asked)
    if not identities or not recipients:
        return
    rewrapper = Rewrapper(
        [age.parse_identity(text.decode()) for text in identities],
        [age.parse_recipient(text.decode()) for text in recipients],
    )
    while (headers := read_frame(asked)) is not None:
        results = (rewrapper.rewrap(header) for header in headers)
        write_frame(answers, [r.value if isinstance(r, Kept) else b"+" + r for r in results])


if __name__ == "__main__":
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        sys.exit(1)
