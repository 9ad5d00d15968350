"""What is delivered: one age file and a few words about it; and what a place answers."""

import asyncio
import hashlib
import json
import os
import socket
import ssl
import unicodedata
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from callguard.recording.age import AgeError
from callguard.recording.store.objects import ObjectMissing, ObjectStoreError

T = TypeVar("T")
P = ParamSpec("P")

_THREADS = ThreadPoolExecutor(4, thread_name_prefix="deliver")

ANSWER = 200
"""Characters that are kept of what a place answers."""


class DeliveryError(RuntimeError):
    """An attempt that failed; one line that says why, without secrets. It is tried again."""


class OurFault(DeliveryError):  # noqa: N818 - whose fault it is, not what kind of error
    """What failed lies here, not at the place. ``lasting`` is what no other attempt will mend: the
    recording is not what was sealed, or it is more than the place can ever take."""

    def __init__(self, line: str, *, lasting: bool = True) -> None:
        super().__init__(line)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a place said. ``confirmed`` is whether it showed that it holds these very bytes."""

    confirmed: bool
    answer: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """An age file that can be read as often as needed. ``read`` is called in a thread and gives
    all of its bytes; ``sha256`` and ``size`` are of them."""

    name: str
    size: int
    sha256: str
    key: str
    about: Mapping[str, object]
    read: Callable[[], Iterator[bytes]] = field(repr=False)

    def note(self) -> bytes:
        """What stands beside the file: JSON."""
        return json.dumps(dict(self.about), sort_keys=True, indent=1).encode() + b"\n"

    def line(self) -> str:
        """The same in one line of ASCII."""
        return json.dumps(dict(self.about), sort_keys=True, separators=(",", ":"))

    @property
    def note_name(self) -> str:
        return self.name.removesuffix(".age") + ".json"

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file, read in threads. Raises DeliveryError where it is not, to the last byte, what
        was weighed: then the last piece is held back, so that nobody takes it for whole."""
        digest, pieces, held = hashlib.sha256(), self.read(), b""
        while piece := await in_thread(_next, pieces):
            digest.update(piece)
            if held:
                yield held
            held = piece
        if digest.hexdigest() != self.sha256:
            raise OurFault("the recording changed while it was sent")
        yield held


class Watched:
    """The pieces of a parcel for a library that does not say what it waits for: here it is seen
    whether they still go, and what went wrong on our side."""

    def __init__(self, pieces: AsyncIterator[bytes], patience: float) -> None:
        """``patience`` is how many seconds may pass without anything being taken."""
        self._pieces = pieces
        self._patience = patience
        self._asked = 0
        self.taken = 0
        """Bytes that were taken."""
        self.fault: DeliveryError | None = None

    def __aiter__(self) -> "Watched":
        return self

    async def __anext__(self) -> bytes:
        self._asked += 1
        try:
            piece = await anext(self._pieces)
        except DeliveryError as error:
            self.fault = error
            raise
        self.taken += len(piece)
        return piece

    async def over(self, sending: Coroutine[object, object, T]) -> T:
        """What ``sending`` returns, which takes these pieces. Raises what it raises, our own fault
        where that was why, and TimeoutError."""
        task = asyncio.ensure_future(sending)
        asked = -1
        try:
            while not task.done():
                if asked == self._asked:
                    raise TimeoutError
                asked = self._asked
                await asyncio.wait([task], timeout=self._patience)
            return await task
        except Exception:
            if self.fault is not None:
                raise self.fault from None
            raise
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=1.0)


class Carrier(Protocol):
    """The way to one place."""

    async def carry(self, parcel: Parcel) -> Receipt:
        """Brings a parcel there; again and at once with others is harmless. Raises DeliveryError,
        and PlaceError where the place's own files cannot be used."""
        ...


async def in_thread(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Runs in a thread of the deliveries' own: a store that hangs must keep nobody else waiting."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, partial(work, *given, **named))


def weigh(read: Callable[[], Iterator[bytes]]) -> tuple[int, str]:
    """Bytes and SHA-256. In a thread. Raises OurFault."""
    size, digest, pieces = 0, hashlib.sha256(), read()
    while piece := _next(pieces):
        size += len(piece)
        digest.update(piece)
    return size, digest.hexdigest()


def _next(pieces: Iterator[bytes]) -> bytes:
    """Empty at the end."""
    try:
        return next(pieces, b"")
    except (AgeError, ObjectMissing) as error:
        raise OurFault(said(error)) from None
    except ObjectStoreError as error:
        raise OurFault(said(error), lasting=False) from None


def why(error: OSError) -> str:
    """What the network refused, without addresses."""
    if isinstance(error, socket.gaierror):
        return "the name of its host cannot be resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate cannot be trusted"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {said(error.reason)}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return said(error) or type(error).__name__


def said(text: object) -> str:
    """What somebody else said, fit to be kept: one printable line, not long."""
    line = " ".join(str(text).split())
    kept = "".join(c for c in line if c.isprintable() and unicodedata.category(c) != "Cf")
    return kept[:ANSWER]
