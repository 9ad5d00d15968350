"""The watchdog, with real processes: a service that stands still ends, one that runs does not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from callguard import watchdog
from callguard.watchdog import LOOK_S, Watchdog, watch

LIMIT_S = 0.5
SLACK_S = 5.0

PARENT = """
import sys, time
from callguard.watchdog import Watchdog
dog = Watchdog({limit})
print(dog._process.pid, flush=True)
for line in sys.stdin:
    if line == "feed\\n":
        dog.feed()
    elif line == "run\\n":
        until = time.monotonic() + 60
        while time.monotonic() < until:
            dog.feed()
            time.sleep(0.05)
    else:
        dog.close()
        break
"""


class Parent:
    """A process with a watchdog, told what to do through its standard input."""

    def __init__(self, limit: float = LIMIT_S) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT.format(limit=limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.dog = int(self.process.stdout.readline())

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()


def state(pid: int) -> str:
    """The state letter of a process, as the kernel has it; "" when it is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_for(what: Callable[[], bool], limit: float = SLACK_S) -> bool:
    until = time.monotonic() + limit
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def parent() -> "Parent":
    return Parent()


def test_a_parent_that_stops_feeding_is_killed(parent: Parent) -> None:
    try:
        since = time.monotonic()
        assert parent.process.wait(LIMIT_S + SLACK_S) == -signal.SIGKILL
        assert time.monotonic() - since > LIMIT_S - LOOK_S
        assert wait_for(lambda: state(parent.dog) in ("", "Z"))
    finally:
        parent.end()


def test_a_stopped_parent_is_killed_too(parent: Parent) -> None:
    try:
        parent.tell("run")
        parent.signal(signal.SIGSTOP)
        assert parent.process.wait(LIMIT_S + SLACK_S) == -signal.SIGKILL
    finally:
        parent.end()


@pytest.mark.parametrize("planted", ["select.py", "callguard/watchdog.py"])
def test_nothing_that_lies_in_the_working_folder_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """``python -m`` looks there first, unless it is told not to."""
    trap = tmp_path / planted
    trap.parent.mkdir(exist_ok=True)
    (trap.parent / "__init__.py").touch()
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    dog = Watchdog(30)
    dog.close()
    assert dog._process.returncode == 0
    assert not (tmp_path / "sprung").exists()


def test_a_parent_that_ends_leaves_no_watchdog_behind(parent: Parent) -> None:
    try:
        parent.tell("close")
        assert parent.process.wait(SLACK_S) == 0
        assert state(parent.dog) == ""
    finally:
        parent.end()


def test_a_parent_that_is_killed_leaves_no_watchdog_behind(parent: Parent) -> None:
    parent.end()
    assert wait_for(lambda: state(parent.dog) in ("", "Z"))


def test_a_machine_that_slept_kills_nobody(parent: Parent) -> None:
    try:
        parent.tell("run")
        parent.signal(signal.SIGSTOP)
        os.kill(parent.dog, signal.SIGSTOP)
        assert wait_for(lambda: state(parent.dog) == "T" and state(parent.process.pid) == "T")
        with pytest.raises(subprocess.TimeoutExpired):  # longer than the limit
            parent.process.wait(LIMIT_S * 3)
        os.kill(parent.dog, signal.SIGCONT)
        parent.signal(signal.SIGCONT)
        with pytest.raises(subprocess.TimeoutExpired):
            parent.process.wait(LIMIT_S * 3)
        assert state(parent.dog) in ("S", "R")
    finally:
        parent.end()


def test_signals_meant_for_the_service_do_not_end_its_watchdog(parent: Parent) -> None:
    try:
        parent.tell("run")
        ignored = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

        def ignores() -> bool:
            for line in Path(f"/proc/{parent.dog}/status").read_text().splitlines():
                if line.startswith("SigIgn:"):
                    mask = int(line.split()[1], 16)
                    return all(mask >> (number - 1) & 1 for number in ignored)
            return False

        assert wait_for(ignores)
        for number in ignored:
            os.kill(parent.dog, number)
        parent.signal(signal.SIGSTOP)
        assert parent.process.wait(LIMIT_S + SLACK_S) == -signal.SIGKILL
    finally:
        parent.end()


def test_feeding_a_watchdog_that_is_gone_says_so() -> None:
    dog = Watchdog(30)
    dog._process.kill()
    dog._process.wait()
    with pytest.raises(BrokenPipeError):
        dog.feed()
    dog.close()


def test_a_watchdog_that_does_not_read_never_holds_up_its_feeder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "CLOSE_S", 0.05)
    dog = Watchdog(30)
    os.kill(dog._process.pid, signal.SIGSTOP)
    for _ in range(70_000):  # more than a pipe holds
        dog.feed()
    dog.close()
    assert dog._process.returncode == -signal.SIGKILL


def test_looks_without_a_byte_are_counted_anew_after_each_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Were the looks summed up instead, the fourth one here would be the last."""
    monkeypatch.setattr(watchdog, "LOOK_S", 0.05)
    reading, writing = os.pipe()
    looks = 4
    ended: list[int] = []
    watcher = threading.Thread(target=lambda: ended.append(watch(reading, -1, looks)))
    watcher.start()
    for _ in range(5):
        os.write(writing, b".")
        watcher.join(0.1)
        assert watcher.is_alive()
    os.close(writing)
    watcher.join(SLACK_S)
    os.close(reading)
    assert ended == [0]


def test_only_its_own_parent_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process id that went to somebody else is left alone."""
    monkeypatch.setattr(watchdog, "LOOK_S", 0.01)
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    reading, writing = os.pipe()
    assert watch(reading, -1, 2) == 1
    assert killed == []
    assert watch(reading, os.getppid(), 2) == 1
    assert killed == [os.getppid()]
    os.close(reading)
    os.close(writing)
