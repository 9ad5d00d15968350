"""``callguard reopen``: after a restore a person says that what it could not know is entered."""

from typing import Annotated

import typer

from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
)
from callguard.clock import SystemClock
from callguard.retention.backup import aftermath


def reopen(
    reason: Annotated[
        str, typer.Option(help="What was entered again, or why nothing is missing; kept.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """After a restore: say that the opt-outs, withdrawn consents and holds since the backup are
    entered again. Outbound calls and purges then go on."""
    if not reason.strip():
        raise CommandError("reopening needs a reason")
    with opened(config) as (_, database), database.writing() as connection:
        now = SystemClock().now()
        since = aftermath.reopen(connection, now, actor(), reason.strip())
    if since is None:
        raise CommandError("nothing waits to be reopened: no restore, or it was said already")
    text = f"open: what was missing since {since} counts as entered; calls and purges go on"
    say(as_json, {"reopened": now.isoformat(), "since": since}, text)
