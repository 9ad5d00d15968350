"""kill -9 at the n-th step of a process that knows nothing of it."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Fate:
    """Ends this process, as kill -9 does, at the n-th step that it passes; 0 is never. In a child
    only: what it puts around things stays."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def passes(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()

    def around(self, owner: Any, name: str) -> None:
        """Before and after each call of it; of a ``pwrite`` that is its last, half is written."""
        real = getattr(owner, name)

        def fated(*arguments: Any, **more: Any) -> Any:
            self.passes()
            if name == "pwrite" and self.left == 1:
                where, data, *rest = arguments
                arguments = (where, data[: len(data) // 2], *rest)
            result = real(*arguments, **more)
            self.passes()
            return result

        setattr(owner, name, fated)


@contextmanager
def killed_at(step: int, places: Sequence[tuple[Any, str]]) -> Iterator[None]:
    """Ends this process before or after the n-th call of the functions named."""
    fate = Fate(step)
    for owner, name in places:
        fate.around(owner, name)
    yield
