"""An import ended at any step goes on to the same snapshot; a full disk changes nothing in use."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from callguard.optout.registry import builder as module
from callguard.optout.registry.builder import Builder
from callguard.optout.registry.contract import Manifest, RegistryError
from callguard.optout.registry.snapshot import Snapshot, current, make_current, write
from tests.optout.registry.making import DRAFT, batch, snapshot

STEPS = ("write", "fsync", "replace", "rename", "mkdir", "unlink", "ftruncate", "rmdir")

IMPORT = """
import os, signal, sys
from pathlib import Path
import numpy as np
from callguard.optout.registry import builder as module
from callguard.optout.registry.builder import Builder
from callguard.optout.registry.contract import Batch
from callguard.optout.registry.snapshot import Snapshot, current, make_current, write
from tests.optout.registry.making import DRAFT

registry, last = Path(sys.argv[1]), int(sys.argv[2])
steps = 0

def deadly(name):
    real = getattr(os, name)
    def call(*arguments, **options):
        global steps
        steps += 1
        if steps == last:
            if name == "write":
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(os, name, call)

for name in sys.argv[3].split(","):
    deadly(name)
module._TOGETHER = 700
random = np.random.default_rng(5)
numbers = random.integers(12010000000, 12050000000, 6000)
numbers[::7] = random.integers(442000000000, 442010000000, len(numbers[::7]))
removed = random.random(6000) < 0.2
base = Snapshot.open(registry / sys.argv[4])
builder = Builder(registry / "work", base)
state = builder.resumed() or {"done": 0}
for start in range(state["done"], 6000, 1000):
    stop = start + 1000
    builder.add(Batch(numbers[start:stop], removed[start:stop], stop))
    if stop % 2000 == 0:
        builder.checkpoint({"done": stop})
manifest = write(registry, DRAFT, builder.finish())
make_current(registry, manifest.digest)
builder.discard()
base.close()
print(manifest.digest, steps)
"""


def importing(registry: Path, last: int, base: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IMPORT, str(registry), str(last), ",".join(STEPS), base],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    registry = tmp_path_factory.mktemp("undisturbed")
    done = importing(registry, 0, started(registry))
    assert done.returncode == 0, done.stderr
    digest, steps = done.stdout.split()
    return digest, int(steps)


def started(registry: Path) -> str:
    digest = snapshot(registry, range(12010000000, 12010003000)).digest
    make_current(registry, digest)
    return digest


@pytest.mark.parametrize("part", range(14))
def test_killed_at_any_step_it_goes_on_to_the_same_snapshot(
    tmp_path: Path, undisturbed: tuple[str, int], part: int
) -> None:
    digest, steps = undisturbed
    base = started(tmp_path)
    last = 1 + part * (steps - 1) // 13
    killed = importing(tmp_path, last, base)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    in_use = current(tmp_path)
    assert in_use in (base, digest)
    Snapshot.open(tmp_path / (in_use or "")).close()
    again = importing(tmp_path, 0, base)
    assert again.returncode == 0, again.stderr
    assert again.stdout.split()[0] == digest
    assert current(tmp_path) == digest
    whole = Snapshot.open(tmp_path / digest)
    whole.verify()
    whole.close()
    assert list((tmp_path / "work").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == {
        "current",
        "work",
        base,
        digest,
    }


def failing(real: Any, left: list[int]) -> Any:
    """A write or fsync that works while ``left`` lasts, and half at most."""

    def call(descriptor: int, *data: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, *(each[: len(each) // 2 + 1] for each in data))

    return call


def replaced(registry: Path, base: Snapshot) -> Manifest:
    with Builder(registry / "work", base) as builder:
        builder.restart()
        builder.add(batch(range(12010002000, 12010004000, 7)))
        builder.checkpoint({})
        manifest = write(registry, DRAFT, builder.finish())
        make_current(registry, manifest.digest)
    return manifest


def test_a_disk_full_at_any_write_leaves_the_old_list_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 100)
    old = started(tmp_path)
    base = Snapshot.open(tmp_path / old)
    for failures in range(1000):
        left = [failures]
        with monkeypatch.context() as full:
            full.setattr(os, "write", failing(os.write, left))
            full.setattr(os, "fsync", failing(os.fsync, left))
            manifest, told = attempt(tmp_path, base)
        if manifest is not None:
            break
        assert "No space left on device" in told
        assert told.startswith(str(tmp_path))
        assert "\n" not in told
        assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
        if current(tmp_path) != old:
            # only the last step of all, forcing the folder, comes after the swap
            assert told.startswith(str(tmp_path / "current"))
            make_current(tmp_path, old)
    assert failures > 20
    assert manifest is not None
    both = {*range(12010000000, 12010003000), *range(12010002000, 12010004000, 7)}
    assert manifest.count == len(both)
    base.close()


def attempt(registry: Path, base: Snapshot) -> tuple[Manifest | None, str]:
    try:
        return replaced(registry, base), ""
    except RegistryError as error:
        return None, str(error)
