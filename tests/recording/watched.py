"""A store and a spool that are watched: what was durable when, who sealed what under which nonce,
and where the process ended."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from callguard.recording import age
from callguard.recording.progress import audio_in, whole_chunks
from callguard.recording.spool import Release, Spool, SpoolEntry
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectWriter

HEADER = 44


class Killed(BaseException):
    """The process ended here."""


class Watched:
    """The steps of all lives, of which one may be the last: ``kill_in`` counts down to it."""

    def __init__(self) -> None:
        self.kill_in: int | None = None
        self.steps: list[str] = []
        self.durable: dict[str, int] = {}

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in < 0:
                self.kill_in = None
                raise Killed(name)


class WatchedWriter:
    """An ObjectWriter that can be killed before and after each thing it does."""

    def __init__(self, inner: ObjectWriter, name: str, watched: Watched) -> None:
        self._inner, self._name, self._watched = inner, name, watched

    @property
    def size(self) -> int:
        return self._inner.size

    def write(self, data: bytes) -> None:
        try:
            self._watched.step("write")
        except Killed:
            self._inner.write(data[: len(data) // 2])
            raise
        self._inner.write(data)
        self._watched.step("written")

    def read(self, offset: int, size: int) -> bytes:
        return self._inner.read(offset, size)

    def truncate(self, size: int) -> None:
        self._inner.truncate(size)
        known = self._watched.durable.get(self._name, 0)
        self._watched.durable[self._name] = min(known, size)
        self._watched.step("truncated")

    def sync(self) -> None:
        self._watched.step("sync")
        self._inner.sync()
        self._watched.durable[self._name] = self._inner.size
        self._watched.step("synced")

    def commit(self) -> None:
        self._watched.step("commit")
        self._inner.commit()
        self._watched.durable.pop(self._name, None)
        self._watched.step("committed")

    def abort(self) -> None:
        self._inner.abort()

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class WatchedStore:
    """A folder store whose power can be cut: what was not synced is gone."""

    def __init__(self, root: Path, watched: Watched) -> None:
        self.inner, self.watched, self.root = FolderStore(root), watched, root
        self.put, self.read, self.size = self.inner.put, self.inner.read, self.inner.size
        self.exists, self.delete, self.names = (
            self.inner.exists,
            self.inner.delete,
            self.inner.names,
        )
        self.parts, self.has_room = self.inner.parts, self.inner.has_room
        self.alarm: str | None = None

    def writer(self, name: str, *, resume: bool = False) -> ObjectWriter:
        return WatchedWriter(self.inner.writer(name, resume=resume), name, self.watched)

    def cut_power(self) -> None:
        for name in self.parts():
            part = self.root / "parts" / name
            durable = self.watched.durable.get(name, 0)
            if part.stat().st_size > durable:
                with part.open("r+b") as file:
                    file.truncate(durable)


class WatchedSpool(Spool):
    """A spool that finds fault with audio released before the chunk that holds it is durable."""

    watched: Watched
    header = HEADER

    def open(self, name: str) -> SpoolEntry:
        entry, watched = super().open(name), self.watched
        release = entry.release

        def watch(offset: int, length: int) -> Release:
            watched.step("release")
            sealed = whole_chunks(max(watched.durable.values(), default=0))
            assert offset + length <= audio_in(self.header, sealed), "released, and not durable"
            how = release(offset, length)
            watched.step("released")
            return how

        entry.release = watch  # type: ignore[method-assign]  # of this one entry
        return entry


class NonceAudit:
    """Every chunk that was sealed, in all lives: no two plaintexts under one cipher nonce."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sealed: dict[tuple[bytes, int, bool], bytes] = {}
        seal = age.PayloadSealer.seal_chunk

        def audited(sealer: age.PayloadSealer, plaintext: bytes, *, last: bool) -> bytes:
            which = (sealer.nonce, sealer.next_index, last)
            known = self.sealed.setdefault(which, bytes(plaintext))
            assert known == plaintext, f"two plaintexts under the nonce of chunk {which[1:]}"
            return seal(sealer, plaintext, last=last)

        patch.setattr(age.PayloadSealer, "seal_chunk", audited)
