"""What is mounted within a managed folder is none of it: seen with real mounts, in a mount
namespace of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SHELL = r"""
set -e
mount --make-rprivate /
mount --bind "$1/outside" "$1/root/bound"
mount -t tmpfs none "$1/root/memory"
touch "$1/root/memory/file"
mount --bind "$1/outside/file" "$1/root/over"
exec "$0" -c "$2" "$1/root"
"""

_LOOK = """
import os, sys
from pathlib import Path
from callguard.retention.folders.removing import take
from callguard.retention.folders.root import opened, reached, why
from callguard.retention.folders.walk import walk

with opened(Path(sys.argv[1])) as root:
    def report(where, what, unseen=False):
        print("in the way", *where, what, unseen)
    for listing in walk(root, report):
        for file in listing.files:
            with reached(root, listing.where) as fd:
                try:
                    print("file", *listing.where, file.name, take(fd, file))
                except OSError as error:
                    print("file", *listing.where, file.name, why(error))
    for where in ("bound", "memory"):
        try:
            with reached(root, [where]):
                print("reached", where)
        except Exception as error:
            print("refused", where, error)
"""


def test_no_mount_point_is_crossed(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount anything here")
    for folder in ("outside", "root/bound", "root/memory", "root/own"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("outside/file", "root/own/file", "root/over"):
        (tmp_path / file).write_bytes(b"text")
    ran = subprocess.run(
        [*unshare, "sh", "-c", _SHELL, sys.executable, str(tmp_path), _LOOK],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    mounted = "another file system or folder is mounted there"
    assert sorted(ran.stdout.splitlines()) == [
        "file over Device or resource busy",
        "file own file taken",
        f"in the way bound {mounted} True",
        f"in the way memory {mounted} True",
        f"refused bound {mounted}",
        f"refused memory {mounted}",
    ]
    assert (tmp_path / "outside" / "file").read_bytes() == b"text"
