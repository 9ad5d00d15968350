"""The command line: one module a noun. Exit 0 done, 1 refused or failed with one clear line,
2 wrong usage."""

import sys

import typer

from callguard import __version__
from callguard.cli import (
    audit,
    campaign,
    consent,
    contact,
    delivery,
    demo,
    explain,
    init,
    key,
    key_rotate,
    optout,
    override,
    prompt,
    purge,
    recording,
    registry,
    scrub,
    serve,
    tenant,
)
from callguard.cli.key_recipient import PRIVATE
from callguard.cli.surroundings import FAILURES, log_to_stderr
from callguard.policy.tables import plain
from callguard.storage.faults import one_line

TYPED = (
    "that is a private key: nothing was done with it, but a command line is seen and kept, so make "
    "another one; age-keygen -y shows the public half"
)
"""Wherever it was typed, it is not repeated."""

app = typer.Typer(
    name="callguard",
    help="The compliance gate beside an Asterisk PBX.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(tenant.app, name="tenant")
app.add_typer(audit.app, name="audit")
app.add_typer(optout.app, name="optout")
app.add_typer(contact.app, name="contact")
app.add_typer(campaign.app, name="campaign")
app.add_typer(consent.app, name="consent")
app.add_typer(override.app, name="policy")
app.add_typer(key.app, name="key")
recording.app.command("rewrap")(key_rotate.rewrap)
app.add_typer(recording.app, name="recording")
app.add_typer(delivery.app, name="delivery")
app.add_typer(registry.app, name="registry")
app.add_typer(prompt.app, name="prompt")
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("explain")(explain.explain)
app.command("scrub")(scrub.scrub)
app.command("purge")(purge.purge)
app.command("demo")(demo.demo)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """The ``callguard`` command."""
    log_to_stderr("warning", cache=False)
    if any(PRIVATE in argument.upper() for argument in sys.argv):
        print(f"callguard: {TYPED}", file=sys.stderr)
        sys.exit(1)
    try:
        app()
    except FAILURES as error:
        print(f"callguard: {plain(one_line(error))}", file=sys.stderr)
        sys.exit(1)
