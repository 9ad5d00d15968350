"""``callguard audit``: who did what."""

import typer

from callguard.audit.log import first_broken
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    opened,
    say,
)

app = typer.Typer(help="The audit log: who did what.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """The audit log: who did what."""


@app.command("verify")
def verify(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check that no row was changed, removed or slipped in. Rows cut off the end do not show."""
    with opened(config) as (_, database), database.reading() as connection:
        broken = first_broken(connection)
    if broken is not None:
        raise CommandError(f"the audit log is broken at row {broken}")
    say(as_json, {"whole": True}, "the audit log is whole")
