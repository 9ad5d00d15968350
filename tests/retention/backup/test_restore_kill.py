"""kill -9 at any step of a restore: what is there is not open, or it is whole; and the same command
always completes it."""

import os
import random
from pathlib import Path

import pytest
from sqlalchemy import func, select

from callguard.config import Settings
from callguard.recording import durable
from callguard.retention.backup import files, marker, restoring, verifying
from callguard.retention.backup.manifest import BackupError
from callguard.retention.backup.marker import require_not_restoring
from callguard.storage.schema import erasures, purges
from tests.clock import HandClock
from tests.killing import killed_at
from tests.retention.backup.scene import Scene, in_a_child

RUNS = int(os.environ.get("CALLGUARD_KILLS", "5"))
STEPS = 85
RECORDINGS = 5


PLACES = (
    (files, "write_file"),
    (os, "fdatasync"),
    (durable, "sync_folder"),
    (restoring, "write_file"),
    (restoring, "copy_into_place"),
    (verifying, "put_back"),
    (restoring, "forget_again"),
    (restoring, "sync_folder"),
    (restoring, "_begin_anew"),
    (restoring, "_certify"),
    (restoring, "_check_audit"),
    (marker, "copy_into_place"),
    (marker, "sync_folder"),
    (Path, "replace"),
    (Path, "rename"),
    (Path, "unlink"),
)


@pytest.mark.parametrize("run", range(RUNS))
def test_a_restore_that_is_killed_opens_nothing_half_and_is_completed(
    tmp_path: Path, run: int
) -> None:
    drawn = random.Random(run)
    scene = Scene(tmp_path, HandClock()).build(RECORDINGS)
    scene.erase(0)
    folder = scene.backup().folder
    scene.erase(1)
    for step in sorted(drawn.sample(range(1, STEPS), 2)):

        def once(step: int = step) -> None:
            with killed_at(step, PLACES):
                scene.restore(folder)

        if in_a_child(once) == 0:
            break
        if (scene.new / "callguard.db").exists():
            _is_whole_or_shut(scene)
    if (scene.new / "restoring").exists() or not (scene.new / "callguard.db").exists():
        scene.restore(folder)
    assert not (scene.new / "restoring").exists()
    _is_whole(scene)


def _is_whole_or_shut(scene: Scene) -> None:
    config = scene.new / "callguard.toml"
    try:
        require_not_restoring(Settings.load(config))
    except BackupError:
        return
    _is_whole(scene)


def _is_whole(scene: Scene) -> None:
    assert scene.headers() == {f"recording-{number}" for number in range(2, RECORDINGS)}
    database = scene.restored()
    with database.reading() as connection:
        of = select(func.count()).select_from
        certificates = of(purges).where(purges.c.kind == "restore")
        assert connection.execute(certificates).scalar_one() == 1
        assert connection.execute(of(erasures)).scalar_one() == 2
    database.close()
    there = {path.name for path in (scene.new / "objects/objects").glob("*/*")}
    assert {f"recording-{number}" for number in range(2, RECORDINGS)} <= there
    assert not any(name.startswith(".") for name in there)
