"""``callguard demo``: the laboratory's calls, from a checkout."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from callguard.cli.surroundings import CommandError


def demo(
    once: Annotated[bool, typer.Option(help="End after the calls.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """Place real calls through a private Asterisk and show what became of each."""
    spec = find_spec("callguard")
    assert spec is not None
    assert spec.origin is not None
    script = Path(spec.origin).parents[1] / "scripts" / "demo"
    if not script.is_file():
        raise CommandError("the demo needs a checkout of the project: run scripts/demo there")
    flags = [flag for flag, on in (("--once", once), ("--json", as_json)) if on]
    os.execv(script, [str(script), *flags])  # noqa: S606 - the checkout's own script, no shell
