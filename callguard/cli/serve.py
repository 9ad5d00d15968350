"""``callguard serve``: the service, until it is told to stop."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    log_to_stderr,
)
from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.retention.backup.marker import require_not_restoring
from callguard.retention.backup.snapshot import drop_left_draft

if TYPE_CHECKING:
    from callguard.service import Service


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not every platform has it
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="The least to be logged.")
    ] = "info",
) -> None:
    """Run the service. Prints one line with its address once calls can come."""
    # The whole service takes as long to import as everything else; only this command needs it.
    from callguard.service import ServiceError
    from callguard.service import serve as run_service

    log_to_stderr(log_level)
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # a read lease on a spool entry that is broken
    settings = Settings.load(config)
    require_not_restoring(settings)
    drop_left_draft(settings.data)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        try:
            runner.run(run_service(settings, SystemClock(), _ready, config.absolute()))
        except ServiceError as error:
            raise CommandError(str(error)) from error
        except ExceptionGroup as failed:
            first: BaseException = failed
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise CommandError(f"a room failed: {type(first).__name__}: {first}") from failed


def _ready(service: "Service") -> None:
    web = service.settings.web
    typer.echo(f"callguard serves: http://{web.host}:{service.web_port}/")
