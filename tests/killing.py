"""kill -9 at the n-th step of a process that knows nothing of it."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def killed_at(step: int, places: Sequence[tuple[Any, str]]) -> Iterator[None]:
    """Ends this process before or after the n-th call of the functions named; in a child only: what
    it puts around them stays."""
    left = step

    def passes() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()

    def around(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def fated(*arguments: Any, **more: Any) -> Any:
            passes()
            result = real(*arguments, **more)
            passes()
            return result

        setattr(owner, name, fated)

    for owner, name in places:
        around(owner, name)
    yield
