"""The stock `age` 1.3 of the laboratory's folder: an independent reader of what callguard seals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.lab.asterisk import root_folder

_ENTER = r"""
set -e
mount --make-rprivate /
mount --bind "$1" "$0/instance"
root=$0
shift
exec /usr/sbin/chroot "$root" "$@"
"""


def run(folder: Path, *command: str) -> bytes:
    """Run a program of the laboratory with `folder` as `/instance`; its output.

    Raises subprocess.CalledProcessError.
    """
    unshare = ["unshare", "--mount"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    done = subprocess.run(
        [*unshare, "sh", "-c", _ENTER, str(root_folder()), str(folder), *command],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def new_key(folder: Path) -> str:
    """Make a post-quantum identity in `folder/key.txt`; its public recipient."""
    run(folder, "/usr/bin/age-keygen", "-pq", "-o", "/instance/key.txt")
    return run(folder, "/usr/bin/age-keygen", "-y", "/instance/key.txt").decode().strip()


def decrypt(folder: Path, name: str) -> bytes:
    """Decrypt `folder/name` with the identity of `new_key`."""
    return run(folder, "/usr/bin/age", "-d", "-i", "/instance/key.txt", f"/instance/{name}")


def new_x25519_key(folder: Path) -> str:
    """Make a classical identity in `folder/x25519.txt` with the host's own, older tool; its
    public recipient."""
    file = folder / "x25519.txt"
    subprocess.run(["age-keygen", "-o", str(file)], capture_output=True, check=True, timeout=60)
    shown = subprocess.run(
        ["age-keygen", "-y", str(file)], capture_output=True, check=True, timeout=60
    )
    return shown.stdout.decode().strip()


def decrypt_x25519(folder: Path, name: str) -> bytes:
    """Decrypt `folder/name` with the identity of `new_x25519_key` and the host's own tool."""
    command = ["age", "-d", "-i", str(folder / "x25519.txt"), str(folder / name)]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
