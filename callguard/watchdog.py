"""The watchdog: a process beside the service that ends it when its event loop stands still.

A frozen service holds every call that is inside AGI, because Asterisk waits for it without
limit. Killing it closes its sockets, and the dialplan goes on to the failure table. The service
writes a byte to the watchdog often; the watchdog counts looks without one, not seconds, so that
a machine that was suspended is not taken for a service that froze.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

LOOK_S = 0.25
CLOSE_S = 5.0


def watch(pipe: int, parent: int, looks: int) -> int:
    """Reads the pipe until it ends (0) or the parent had to be killed (1)."""
    missed = 0
    while True:
        ready, _, _ = select.select([pipe], [], [], LOOK_S)
        if ready:
            if not os.read(pipe, 4096):
                return 0
            missed = 0
            continue
        missed += 1
        if missed >= looks:
            if os.getppid() == parent:
                os.kill(parent, signal.SIGKILL)
            return 1


class Watchdog:
    """The service's end of the pipe."""

    def __init__(self, limit_s: float) -> None:
        looks = max(2, round(limit_s / LOOK_S))
        command = [sys.executable, "-P", "-m", "callguard.watchdog", str(os.getpid()), str(looks)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, close_fds=True
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        os.set_blocking(self._pipe, False)

    def feed(self) -> None:
        """Says that the event loop runs. Raises BrokenPipeError when the watchdog is gone."""
        with contextlib.suppress(BlockingIOError):  # then the watchdog has enough to read
            os.write(self._pipe, b".")

    def close(self) -> None:
        """Lets the watchdog end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=CLOSE_S)
        except subprocess.TimeoutExpired:  # it is stopped itself
            self._process.kill()
            self._process.wait()


def main() -> None:
    """``python -m callguard.watchdog PARENT LOOKS``, fed through standard input."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    sys.exit(watch(0, int(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
