"""Kill -9 at every step of storing an object: it is there whole, or its part can be taken up."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from callguard.recording.store.folder import FolderStore

NAME = "0192f0c1-7c3b-7e9b-8a55-0123456789ab"
WHOLE = b"chunk one" + b"chunk two"

# Each step that reaches the disk counts one down, and at zero the process is killed before it.
CHILD = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from callguard.recording.store import folder

    left = int(sys.argv[3])

    def counted(step):
        def act(*arguments):
            global left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return step(*arguments)
        return act

    store = folder.FolderStore(Path(sys.argv[1]))
    folder.sync_folder = counted(folder.sync_folder)
    for module, name in ((os, "open"), (os, "pwrite"), (os, "fdatasync"), (os, "rename")):
        setattr(module, name, counted(getattr(module, name)))
    writer = store.writer(sys.argv[2])
    writer.write(b"chunk one")
    writer.sync()
    writer.write(b"chunk two")
    writer.commit()
    """
)


def _run(root: Path, steps: int) -> int:
    command = [sys.executable, "-c", CHILD, str(root), NAME, str(steps)]
    return subprocess.run(command, check=False, timeout=30).returncode


def test_a_kill_at_any_step_leaves_the_object_whole_or_to_be_resumed(tmp_path: Path) -> None:
    outcomes: list[str] = []
    for steps in range(40):
        root = tmp_path / str(steps)
        code = _run(root, steps)
        store = FolderStore(root)
        if code == 0:
            assert store.read(NAME) == WHOLE
            break
        assert code == -signal.SIGKILL
        if store.exists(NAME):
            outcomes.append("whole")
            assert store.parts() == []
        elif store.parts():
            outcomes.append("part")
            with store.writer(NAME, resume=True) as writer:
                assert WHOLE.startswith(store.parts_folder.joinpath(NAME).read_bytes())
                writer.write(WHOLE[writer.size :])
                writer.commit()
        else:
            outcomes.append("nothing")
            store.put(NAME, [WHOLE])
        assert store.read(NAME) == WHOLE
    # Every kind of end was met, in the order in which things become durable.
    assert list(dict.fromkeys(outcomes)) == ["nothing", "part", "whole"]
