"""Whatever happens in whatever order: what was committed is there, what was deleted stays away."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket, Fault, Killed

PART = 8
NAMES = st.sampled_from(["a", "b"])
FAULT = [None, None, "before", "after", "late", "killed before", "killed after"]
FAULTS = st.lists(st.sampled_from([*FAULT, "lose", "cut", "spoil"]), max_size=8)
DATA = st.binary(min_size=1, max_size=2 * PART + 1)


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

    @rule(encrypts=st.booleans())
    def the_bucket_is_reconfigured(self, encrypts: bool) -> None:
        self.bucket.encrypts = encrypts

    @rule(name=NAMES, data=DATA)
    def write(self, name: str, data: bytes) -> None:
        if self.free(name):
            with self.store.writer(name, resume=name in self.parts) as writer:
                writer.write(data)
                writer.sync()
            self.parts[name] = self.parts.get(name, b"") + data

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
    @rule(name=NAMES, faults=FAULTS)
    def carry(self, name: str, faults: list[Fault | None]) -> None:
        self.step(faults, lambda: self.store.carry(name))

    @rule(faults=FAULTS)
    def tidy(self, faults: list[Fault | None]) -> None:
        self.step(faults, self.store.tidy)

    @precondition(lambda self: self.parts or self.objects or self.limbo)
    @rule(name=NAMES, faults=FAULTS, elsewhere=st.booleans())
    def delete(self, name: str, faults: list[Fault | None], elsewhere: bool) -> None:
        """``elsewhere``: by another process, as the command line does."""
        store = self.open() if elsewhere else self.store
        self.parts.pop(name, None)
        self.objects.pop(name, None)
        self.limbo.add(name)
        if self.step(faults, lambda: store.delete([name])):
            self.limbo.discard(name)

    @precondition(lambda self: self.objects)
    @rule(name=NAMES, step=st.integers(0, 6), faults=FAULTS, elsewhere=st.booleans())
    def delete_while_it_is_carried(
        self, name: str, step: int, faults: list[Fault | None], elsewhere: bool
    ) -> None:
        if name not in self.objects:
            return
        done = []

        def delete() -> None:
            self.bucket.faults, kept = [], self.bucket.faults
            store = self.open() if elsewhere else self.store
            store.delete([name])
            self.bucket.faults = kept
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

    def step(self, faults: list[Fault | None], what: Callable[[], object]) -> bool:
        self.bucket.faults = list(faults)
        try:
            what()
        except ObjectStoreError:
            return False
        except Killed:
            self.store = self.open()
            return False
        finally:
            self.bucket.faults = []
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
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestStaged = Staged.TestCase
