"""Whatever happens in whatever order: what was committed is there, what was deleted stays away."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callguard.recording.store import carrier, folder
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket, Fault, Killed

Faults = dict[str, Fault]

PART = 8
NAMES = st.sampled_from(["a", "b"])
FAULT: list[Fault] = [
    "before",
    "after",
    "late",
    "killed before",
    "killed after",
    "lose",
    "cut",
    "spoil",
]
KINDS = ["begin", "send", "complete", "complete", "abort", "uploads", "stored", "read", "delete"]
FAULTS = st.dictionaries(st.sampled_from(KINDS), st.sampled_from(FAULT), max_size=2)
"""Which of the next requests fail, and how."""

LAST_FAULT = st.builds(lambda fault: {"complete": fault}, st.sampled_from(FAULT))

DATA = st.builds(
    lambda letter, size: bytes([letter]) * size, st.integers(97, 122), st.integers(1, 2 * PART + 1)
)


@pytest.fixture(autouse=True)
def nothing_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here, so more can be tried."""
    monkeypatch.setattr(folder, "sync_folder", lambda _: None)
    monkeypatch.setattr(carrier, "sync_folder", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


class Staged(RuleBasedStateMachine):
    """``parts`` and ``objects`` are what there must be; ``limbo`` what a deletion that failed has
    left, of which nothing is promised until it is said again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.bucket = FakeBucket()
        self.parts: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.limbo: set[str] = set()
        self.store = self.open()

    def open(self) -> StagedStore:
        return StagedStore(
            FolderStore(Path(self.folder.name)),
            self.bucket,
            HandClock(),
            part_bytes=PART,
            queue_bytes=1000,
        )

    def teardown(self) -> None:
        self.folder.cleanup()

    def free(self, name: str) -> bool:
        return name not in self.objects and name not in self.limbo

    @initialize(encrypts=st.booleans(), aborts=st.booleans())
    def the_bucket_is_of_some_make(self, encrypts: bool, aborts: bool) -> None:
        self.bucket.encrypts = encrypts
        self.bucket.aborts = aborts

    @rule(name=NAMES, data=DATA)
    def write(self, name: str, data: bytes) -> None:
        if self.free(name):
            with self.store.writer(name, resume=name in self.parts) as writer:
                writer.write(data)
                writer.sync()
            self.parts[name] = self.parts.get(name, b"") + data

    @rule(name=NAMES, data=DATA)
    def put(self, name: str, data: bytes) -> None:
        if self.free(name) and name not in self.parts:
            self.store.put(name, [data])
            self.objects[name] = data

    @precondition(lambda self: self.parts)
    @rule(name=NAMES, share=st.floats(0, 1))
    def cut_back(self, name: str, share: float) -> None:
        if name in self.parts:
            with self.store.writer(name, resume=True) as writer:
                size = int(writer.size * share)
                writer.truncate(size)
            self.parts[name] = self.parts[name][:size]

    @precondition(lambda self: self.parts)
    @rule(name=NAMES)
    def commit(self, name: str) -> None:
        if name in self.parts:
            with self.store.writer(name, resume=True) as writer:
                writer.commit()
            self.objects[name] = self.parts.pop(name)

    @precondition(lambda self: self.parts)
    @rule(name=NAMES)
    def abort(self, name: str) -> None:
        if name in self.parts:
            with self.store.writer(name, resume=True) as writer:
                writer.abort()
            del self.parts[name]

    @precondition(lambda self: self.parts or self.objects)
    @rule(faults=FAULTS | LAST_FAULT)
    def carry(self, faults: Faults) -> None:
        name = min({*self.parts, *self.objects}, key=lambda one: (one not in self.objects, one))
        self.step(faults, lambda: self.store.carry(name))

    @rule(faults=FAULTS)
    def tidy(self, faults: Faults) -> None:
        self.step(faults, self.store.tidy)

    @precondition(lambda self: self.parts or self.objects or self.limbo)
    @rule(name=NAMES, faults=FAULTS, elsewhere=st.booleans())
    def delete(self, name: str, faults: Faults, elsewhere: bool) -> None:
        """``elsewhere``: by another process, as the command line does."""
        store = self.open() if elsewhere else self.store
        self.parts.pop(name, None)
        self.objects.pop(name, None)
        self.limbo.add(name)
        if self.step(faults, lambda: store.delete([name])):
            self.limbo.discard(name)

    @precondition(lambda self: self.objects)
    @rule(name=NAMES, step=st.integers(0, 6), data=DATA)
    def store_anew_while_it_is_carried(self, name: str, step: int, data: bytes) -> None:
        def anew() -> None:
            self.store.delete([name])
            self.store.put(name, [data])
            self.objects[name] = data

        if name in self.objects:
            self.bucket.meanwhile = [*[None] * step, anew]
            self.step({}, lambda: self.store.carry(name))
            self.bucket.meanwhile = []

    @precondition(lambda self: self.objects)
    @rule(name=NAMES, step=st.integers(0, 6), faults=FAULTS, elsewhere=st.booleans())
    def delete_while_it_is_carried(
        self, name: str, step: int, faults: Faults, elsewhere: bool
    ) -> None:
        if name not in self.objects:
            return
        done = []

        def delete() -> None:
            self.bucket.failing, kept = {}, self.bucket.failing
            store = self.open() if elsewhere else self.store
            store.delete([name])
            self.bucket.failing = kept
            del self.objects[name]
            done.append(name)

        self.bucket.meanwhile = [*[None] * step, delete]
        self.step(faults, lambda: self.store.carry(name))
        self.bucket.meanwhile = []

    @precondition(lambda self: self.bucket.late)
    @rule()
    def a_request_arrives_late(self) -> None:
        with suppress(ObjectStoreError):
            self.bucket.late.pop(0)()

    @rule()
    def restart(self) -> None:
        self.store = self.open()

    @precondition(lambda self: self.objects)
    @rule()
    def the_bucket_recovers(self) -> None:
        for name in self.store.look():
            for _ in range(5):
                self.store.carry(name)
        for name, content in self.objects.items():
            assert self.bucket.objects[name][0] == content
            assert not FolderStore(Path(self.folder.name)).exists(name)
        if self.bucket.aborts:
            assert not {begun.name for begun in self.bucket.begun.values()} & set(self.objects)

    def step(self, faults: Faults, what: Callable[[], object]) -> bool:
        self.bucket.failing = dict(faults)
        try:
            what()
        except ObjectStoreError:
            return False
        except Killed:
            self.store = self.open()
            return False
        finally:
            self.bucket.failing = {}
        return True

    @invariant()
    def what_was_committed_is_there_whole(self) -> None:
        for name, content in self.objects.items():
            assert self.store.read(name) == content
            assert self.store.size(name) == len(content)
            assert self.store.read(name, 1, 3) == content[1:4]

    @invariant()
    def what_was_deleted_stays_away(self) -> None:
        for name in {"a", "b"} - set(self.objects) - self.limbo:
            assert name not in self.bucket.objects
            assert not self.store.exists(name)

    @invariant()
    def the_names_are_those(self) -> None:
        assert set(self.store.names()) - self.limbo == set(self.objects)
        assert self.store.parts() == sorted(self.parts)


Staged.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestStaged = Staged.TestCase
