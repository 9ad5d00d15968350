"""``callguard registry import`` killed at any step: the same command again ends it, and until then
the list of before is in use."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

DRIVER = """
import os, signal, sys

limit, count_file = int(sys.argv.pop(1)), sys.argv.pop(1)

import callguard.cli.registry as registry
import callguard.optout.registry.reading as reading
from callguard.cli import main
from callguard.optout.registry.sources import open_sources
from functools import partial
from tests.clock import HandClock

steps = 0
data = os.path.dirname(count_file)

def step():
    global steps
    steps += 1
    if steps == limit:
        os.kill(os.getpid(), signal.SIGKILL)

def hook(event, arguments):
    if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "sqlite3.connect"):
        if isinstance(arguments[0], (str, os.PathLike)) and data in os.fspath(arguments[0]):
            step()

def synced(descriptor):
    step()
    fsync(descriptor)
    step()

fsync, os.fsync = os.fsync, synced
sys.addaudithook(hook)
registry.SystemClock = HandClock
reading.CHECKPOINT_NUMBERS = 500
reading.open_sources = partial(open_sources, block=2000)
sys.argv[0] = "callguard"
try:
    main()
finally:
    with open(count_file, "w") as file:
        file.write(str(steps))
"""

SEED = 20261122
KILLS = 6
ROOT = Path(__file__).parents[2]


@pytest.fixture
def house(callguard: CommandLine) -> CommandLine:
    with callguard.config.open("a") as config:
        config.write('\n[registries.lists.gb-tps]\nformat = "e164"\ncovers = ["+44"]\n')
    for name, last in (("base.txt", 3000), ("next.txt", 2900)):
        numbers = range(442071230000, 442071230000 + last)
        (callguard.folder / name).write_text("".join(f"+{n}\n" for n in numbers))
    return callguard


def run(house: CommandLine, file: str, limit: int = 0) -> subprocess.CompletedProcess[str]:
    """``limit`` is the step at which it is killed, none for 0."""
    date = "2026-11-14" if file == "base.txt" else "2026-11-15"
    return subprocess.run(
        [
            *(sys.executable, "-c", DRIVER, str(limit), str(house.data / "steps")),
            *("registry", "import", "gb-tps", str(house.folder / file), "--date", date),
        ],
        env={**os.environ, "CALLGUARD_CONFIG": str(house.config), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


def in_use(house: CommandLine) -> str:
    return (house.data / "registries" / "gb-tps" / "current").read_text().strip()


def kept(house: CommandLine, folder: Path) -> None:
    """The house as it was with the list of before, put by or brought back."""
    subprocess.run(["cp", "-a", "--", house.data, folder], check=True)


def test_killed_at_random_steps_it_comes_to_the_same_digest(
    house: CommandLine, tmp_path: Path
) -> None:
    first = run(house, "base.txt")
    assert (first.returncode, first.stderr) == (0, "")
    before = in_use(house)
    kept(house, tmp_path / "before")
    assert run(house, "next.txt").returncode == 0
    wanted, steps = in_use(house), int((house.data / "steps").read_text())
    assert wanted != before
    assert steps > 60
    chance = random.Random(SEED)
    seen = set()
    for part in range(KILLS):
        limit = chance.randint(1 + part * steps // KILLS, (part + 1) * steps // KILLS)
        subprocess.run(["rm", "-r", "--", house.data], check=True)
        subprocess.run(["cp", "-a", "--", tmp_path / "before", house.data], check=True)
        assert run(house, "next.txt", limit).returncode == -signal.SIGKILL, limit
        assert in_use(house) in (before, wanted)
        seen.add(in_use(house))
        again = run(house, "next.txt")
        assert again.returncode == 0, (limit, again.stderr)
        assert in_use(house) == wanted, limit
        left = {path.name for path in (house.data / "registries" / "gb-tps").iterdir()}
        assert left == {"current", "lock", before, wanted}, limit
        assert house("registry", "verify").code == 0
    assert before in seen
