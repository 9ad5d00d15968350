"""A bucket in memory that behaves as S3 does, and can be told to fail at any request."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Literal, TypeVar

from callguard.recording.store.bucket import (
    BucketError,
    NotOffered,
    Piece,
    Stored,
    Upload,
    UploadGone,
    entity_tag,
)
from callguard.recording.store.objects import ObjectMissing

T = TypeVar("T")

Fault = Literal["before", "after", "late", "killed before", "killed after", "lose", "cut", "spoil"]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Begun:
    name: str
    at: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class FakeBucket:
    """``faults`` hits the next requests, one each; ``None`` lets one pass. ``failing`` hits the
    next of a kind. ``meanwhile`` is done by
    somebody else just before the next request takes effect. ``late`` are requests that were given
    up by who asked and are still on their way."""

    encrypts: bool = False
    aborts: bool = True
    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    begun: dict[str, Begun] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    failing: dict[str, Fault] = field(default_factory=dict)
    meanwhile: list[Callable[[], object] | None] = field(default_factory=list)
    late: list[Callable[[], object]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 22, tzinfo=UTC)
    closed: bool = False
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def begin(self, name: str) -> str:
        return self._request("begin", lambda _: self._begin(name))

    def send(self, name: str, upload: str, number: int, piece: Piece) -> str:
        data = b"".join(piece.blocks())
        assert hashlib.sha256(data).hexdigest() == piece.sha256
        return self._request("send", lambda _: self._send(name, upload, number, data))

    def complete(self, name: str, upload: str, etags: Sequence[str]) -> None:
        self._request("complete", lambda fault: self._complete(name, upload, etags, fault))

    def abort(self, name: str, upload: str) -> None:
        self._request("abort", lambda _: self._abort(upload))

    def uploads(self, name: str | None = None) -> list[Upload]:
        return self._request("uploads", lambda _: self._uploads(name))

    def stored(self, name: str) -> Stored | None:
        def effect(_: Fault | None) -> Stored | None:
            found = self.objects.get(name)
            return None if found is None else Stored(len(found[0]), found[1])

        return self._request("stored", effect)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        def effect(_: Fault | None) -> bytes:
            if name not in self.objects:
                raise ObjectMissing(f"no {name}")
            end = None if size is None else offset + size
            return self.objects[name][0][offset:end]

        return self._request("read", effect)

    def delete(self, names: Sequence[str]) -> None:
        self._request("delete", lambda _: [self.objects.pop(name, None) for name in names])

    def names(self) -> Iterator[str]:
        return iter(list(self.objects))

    def close(self) -> None:
        self.closed = True

    def _request(self, what: str, effect: Callable[[Fault | None], T]) -> T:
        self.asked.append(what)
        fault = self.faults.pop(0) if self.faults else None
        fault = self.failing.pop(what, fault)
        meanwhile = self.meanwhile.pop(0) if self.meanwhile else None
        if meanwhile is not None:
            meanwhile()
        if fault == "killed before":
            raise Killed
        if fault == "late":
            self.late.append(lambda: effect(None))
        if fault in ("before", "late"):
            raise BucketError("no answer")
        answer = effect(fault)
        if fault == "killed after":
            raise Killed
        if fault == "after":
            raise BucketError("the answer was lost")
        return answer

    def _begin(self, name: str) -> str:
        upload = f"upload-{next(self._ids)}"
        self.begun[upload] = Begun(name, self.now)
        return upload

    def _send(self, name: str, upload: str, number: int, data: bytes) -> str:
        self._owned(name, upload).parts[number] = data
        return self._etag(data)

    def _complete(self, name: str, upload: str, etags: Sequence[str], fault: Fault | None) -> None:
        begun = self._owned(name, upload)
        parts = [begun.parts.get(number) for number in range(1, len(etags) + 1)]
        if not etags or any(
            part is None or self._etag(part) != etag
            for part, etag in zip(parts, etags, strict=True)
        ):
            raise BucketError("400 InvalidPart")
        del self.begun[upload]
        known = [part for part in parts if part is not None]
        whole = b"".join(known)
        if fault == "lose":
            return
        if fault == "cut":
            whole = whole[:-1]
        if fault == "spoil":
            whole = bytes(byte ^ 1 for byte in whole)
            known = [whole]
        tag = entity_tag([_md5(part).digest() for part in known])
        self.objects[name] = (whole, "of its own" if self.encrypts else tag)

    def _abort(self, upload: str) -> None:
        if not self.aborts:
            raise NotOffered("405")
        self.begun.pop(upload, None)

    def _uploads(self, name: str | None) -> list[Upload]:
        return [
            Upload(begun.name, upload, begun.at)
            for upload, begun in self.begun.items()
            if name in (None, begun.name)
        ]

    def _owned(self, name: str, upload: str) -> Begun:
        begun = self.begun.get(upload)
        if begun is None or begun.name != name:
            raise UploadGone("no such upload")
        return begun

    def _etag(self, data: bytes) -> str:
        return _md5(b"secret" + data if self.encrypts else data).hexdigest()


_md5 = partial(hashlib.md5, usedforsecurity=False)
