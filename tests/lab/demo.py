"""`scripts/demo`: the main job of callguard with real calls, each shown as one line."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.lab.config import CHECKOUT
from tests.lab.report import CallReport


class Stage(Protocol):
    """Where the calls take place."""

    how: str

    def open(self) -> str: ...

    def calls(self) -> Iterator[CallReport]: ...

    def close(self) -> None: ...


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the calls")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="callguard-demo-"))
    shm = Path("/dev/shm")
    memory = Path(tempfile.mkdtemp(prefix="callguard-demo-", dir=shm if shm.is_dir() else None))
    try:
        return _play(options.once, options.json, folder, memory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)


def _play(once: bool, as_json: bool, folder: Path, memory: Path) -> int:
    stop = threading.Event()
    if not once:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
    stage = _stage(folder, memory)
    try:
        page = stage.open()
        if not as_json:
            print(f"{stage.how}; status page {page or 'none'}", flush=True)
        reports = []
        for report in stage.calls():
            reports.append(report)
            if not as_json:
                print(report.line, flush=True)
            if stop.is_set():
                return 130
        as_expected = all(report.as_expected for report in reports)
        if as_json:
            answer = {"on": stage.how, "calls": [report.as_json() for report in reports]}
            print(json.dumps(answer, indent=1), flush=True)
        if not once:
            _stay_up(stage, stop, as_json)
        return 0 if as_expected else 1
    finally:
        stage.close()


def _stay_up(stage: Stage, stop: threading.Event, as_json: bool) -> None:
    from tests.lab.stage import RealStage

    if not isinstance(stage, RealStage):
        return
    where = sys.stderr if as_json else sys.stdout
    print(f"status page: {stage.callguard.url} (Ctrl-C ends)", file=where, flush=True)
    stop.wait()


def _stage(folder: Path, memory: Path) -> Stage:
    """A real Asterisk, or the harness where `scripts/prepare` found that there can be none."""
    cache = Path(os.environ.get("CALLGUARD_CACHE") or CHECKOUT / ".cache")
    no_lab = cache / "no-lab"
    if no_lab.exists():
        from tests.lab.simulated_stage import SimulatedStage

        print(f"demo: simulated calls: {no_lab.read_text().strip()}", file=sys.stderr)
        return SimulatedStage(folder)
    from tests.lab.stage import RealStage

    return RealStage(folder, memory)


if __name__ == "__main__":
    sys.exit(main())
