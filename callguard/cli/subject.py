"""``callguard subject``: what a tenant has of one number, and erasing it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection

from callguard.cli.arguments import law_of, read_tenant, subject_of
from callguard.cli.surroundings import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    actor,
    opened,
    say,
    say_table,
)
from callguard.clock import SystemClock
from callguard.policy.tables import plain
from callguard.recording.erasure import tidy
from callguard.recording.spool import Spool
from callguard.recording.store.opening import open_store
from callguard.retention.alone import alone
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.subject.certificate import Outcome
from callguard.retention.subject.erasing import Means, erase_subject, foresee
from callguard.retention.subject.rows import Trail, counts_of, trail_of

T = TypeVar("T")

LEAST = 7
"""Digits at its end by which a number is known."""

app = typer.Typer(help="What a tenant has of one number.", no_args_is_help=True)

NumberArgument = Annotated[str, typer.Argument(help="The number, as the tenant would dial it.")]
TenantOption = Annotated[str, typer.Option(help="Whose records.")]


@app.command()
def show(
    number: NumberArgument,
    tenant: TenantOption,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """How much there is of a number, by data class, expired or not."""
    with opened(config) as (_, database), database.reading() as connection:
        whose = read_tenant(connection, tenant)
        subject = subject_of(number, whose)
        found = counts_of(connection, subject, trail_of(connection, whose, subject))
    rows: list[dict[str, object]] = [
        {"class": name, "count": count} for name, count in sorted(found.items())
    ]
    say_table(as_json, rows, ("class", "count"), "There is")


@app.command()
def erase(
    number: NumberArgument,
    tenant: TenantOption,
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log, so without the number.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Erase all that a tenant has of a number, in every copy, and certify it. Opt-outs stay, and
    what a hold or a law keeps. It cannot be undone."""
    if not reason.strip():
        raise CommandError("erasing a subject needs a reason")
    clock = SystemClock()
    with opened(config) as (settings, database):
        ledger = open_ledger(settings)
        forget_again(database, ledger, clock, actor=actor())
        with database.reading() as connection:
            whose = read_tenant(connection, tenant, law_of(settings))
            subject = subject_of(number, whose)
            foreseen = foresee(connection, whose, subject, clock.now())
        if _names(reason, subject):
            raise CommandError(
                "the reason names the number, and the audit log keeps it: leave it out"
            )
        if dry_run:
            say(as_json, foreseen.as_json(), plain(f"would erase {_in_words(foreseen)}"))
            return
        question = f"Erase {_in_words(foreseen)} for good?"
        if not yes and not typer.confirm(question, err=True):
            raise CommandError("nothing was erased")

        async def write(work: Callable[[Connection], T], /) -> T:
            with database.writing() as connection:
                return work(connection)

        async def read(query: Callable[[Connection], Trail]) -> Trail:
            with database.reading() as connection:
                return query(connection)

        spool = Spool(settings.spool.folder, floor=settings.spool.reserve_bytes)
        means = Means(read, write, ledger, spool, open_store(settings), clock)
        with alone(settings.data) as mine:
            if not mine:  # two would each count what the other takes
                raise CommandError("another subject is being erased just now: try again")
            name, outcome = asyncio.run(
                erase_subject(means, whose, subject, actor=actor(), reason=reason.strip())
            )
        tidy(database.tidy)
    text = f"erased {_in_words(outcome)}; certificate {name}"
    say(as_json, {"certificate": name, **outcome.as_json()}, plain(text))


def _names(reason: str, subject: str) -> bool:
    """Whether the reason has the number in it, however it is written."""
    digits = "".join(one for one in reason if one.isdecimal())
    return subject.lower() in reason.lower() or (
        subject[-LEAST:].isdecimal() and subject[-LEAST:] in digits
    )


def _in_words(outcome: Outcome) -> str:
    taken = [f"{count} {name}" for name, count in sorted(outcome.counts.items()) if count]
    stays = [
        f"{count} {name} ({basis})"
        for (name, basis), count in sorted(outcome.kept.items())
        if count
    ]
    words = ", ".join(taken) or "nothing"
    if stays:
        words += f"; {', '.join(stays)} stay"
    if outcome.under_way:
        words += f"; {outcome.under_way} calls are under way: do it again after they end"
    return words
