"""The command line: one module a noun. Exit 0 done, 1 refused or failed with one clear line,
2 wrong usage."""

import sys
from importlib import import_module
from typing import Any

import typer

from callguard import __version__
from callguard.cli.surroundings import FAILURES, PRIVATE_KEY, log_to_stderr
from callguard.policy.tables import plain
from callguard.storage.faults import one_line

TYPED = (
    "that is a private key: nothing was done with it, but a command line is seen and kept, so make "
    "another one; age-keygen -y shows the public half"
)
"""Wherever it was typed, it is not repeated."""

GROUPS = {
    "tenant": "tenant",
    "audit": "audit",
    "optout": "optout",
    "contact": "contact",
    "campaign": "campaign",
    "consent": "consent",
    "policy": "override",
    "key": "key",
    "recording": "recording",
    "subject": "subject",
    "cdr": "cdr",
    "delivery": "delivery",
    "hold": "hold",
    "folder": "folder",
    "registry": "registry",
    "prompt": "prompt",
}
"""Nouns with commands of their own, and in which module they are."""

COMMANDS = ("init", "serve", "explain", "scrub", "purge", "demo", "backup", "restore", "reopen")
"""Commands that stand alone, each in the module of its name."""


def build(wanted: str = "") -> typer.Typer:
    """The commands, or the ones of one noun: a command does not wait for what only others need."""
    app = typer.Typer(
        name="callguard",
        help="The compliance gate beside an Asterisk PBX.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    known = wanted in GROUPS or wanted in COMMANDS or wanted == "version"
    for name, module in GROUPS.items():
        if name == wanted or not known:
            app.add_typer(_of(module, "app"), name=name)
    for name in COMMANDS:
        if name == wanted or not known:
            app.command(name)(_of(name, name))
    app.command()(version)
    return app


def _of(module: str, name: str) -> Any:
    return getattr(import_module(f"callguard.cli.{module}"), name)


def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The ``callguard`` command."""
    log_to_stderr("warning", cache=False)
    if any(PRIVATE_KEY in argument.upper() for argument in sys.argv):
        print(f"callguard: {TYPED}", file=sys.stderr)
        sys.exit(1)
    try:
        build(next((one for one in sys.argv[1:] if not one.startswith("-")), ""))()
    except FAILURES as error:
        print(f"callguard: {plain(one_line(error))}", file=sys.stderr)
        sys.exit(1)
