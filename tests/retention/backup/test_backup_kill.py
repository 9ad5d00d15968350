"""kill -9 at any step of a backup: what has a name is whole, no copy in the clear is left once
anything else has run, and the next backup succeeds."""

import os
import random
import shutil
from pathlib import Path

import pytest

from callguard.recording import durable
from callguard.recording.keys import MasterKey
from callguard.retention.backup import files, making, objects, snapshot
from callguard.retention.backup.checking import open_backup
from callguard.retention.backup.objects import is_right
from callguard.retention.backup.snapshot import drop_left_draft
from tests.clock import HandClock
from tests.killing import killed_at
from tests.retention.backup.scene import Scene, in_a_child

RUNS = int(os.environ.get("CALLGUARD_KILLS", "4"))
STEPS = 90
PLACES = (
    (making, "take"),
    (making, "write_file"),
    (making, "digest_of"),
    (making, "_copy_ledger"),
    (making, "seal_manifest"),
    (making, "sync_all"),
    (making, "sync_folder"),
    (making, "_note"),
    (objects, "copy_into_place"),
    (objects.ObjectShelf, "prune"),
    (files, "make_folder"),
    (files, "write_file"),
    (snapshot, "mark_and_fault"),
    (durable, "sync_folder"),
    (os, "fdatasync"),
    (os, "fsync"),
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
    (shutil, "rmtree"),
)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("sealed", [False, True])
def test_a_backup_that_is_killed_leaves_nothing_half(
    tmp_path: Path, run: int, sealed: bool
) -> None:
    drawn = random.Random(run)
    scene = Scene(tmp_path, HandClock()).build(3)
    scene.erase(0)
    first = scene.backup(sealed=sealed).folder
    for step in sorted(drawn.sample(range(1, STEPS), 2)):
        scene.clock.advance(60)

        def once(step: int = step) -> None:
            with killed_at(step, PLACES):
                scene.backup(sealed=sealed)

        in_a_child(once)
        _whole(scene, [first])
    scene.clock.advance(60)
    drop_left_draft(scene.settings.data)
    assert not list(scene.settings.data.glob(".backup-draft/*"))
    last = scene.backup(sealed=sealed).folder
    _whole(scene, [first, last])
    assert {path.name for path in last.parent.iterdir()} >= {".lock", "objects"}
    assert not (last.parent / ".draft").exists()


def _whole(scene: Scene, needed: list[Path]) -> None:
    shelf = scene.folder / "shelf"
    found = sorted(shelf.glob("2*"))
    assert set(needed) <= set(found)
    for folder in found:
        backup = open_backup(folder, MasterKey.load(scene.settings.master_key))
        for one in backup.objects():
            assert is_right(backup.shelf.path(one.name), one)
