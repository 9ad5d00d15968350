"""``python -m bench [--long] NAME...``: runs each named bench; exit status of the worst."""

import importlib
import os
import sys
from pathlib import Path


def names() -> list[str]:
    """The benches in this folder: modules that define ``main``."""
    folder = Path(__file__).parent
    return sorted(
        path.stem
        for path in folder.glob("[!_]*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8")
    )


def main(arguments: list[str]) -> int:
    """Runs the benches named in ``arguments`` one after another."""
    known = names()
    if "--long" in arguments:
        arguments = [one for one in arguments if one != "--long"]
        os.environ["BENCH_LONG"] = "1"
    if not arguments or not set(arguments) <= set(known):
        print(
            f"usage: python -m bench [--long] NAME...  (one of: {', '.join(known)})",
            file=sys.stderr,
        )
        return 2
    worst = 0
    for name in arguments:
        status: int = importlib.import_module(f"bench.{name}").main()
        worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
