"""``callguard recording erase`` and ``ledger``: erasing for good, and what remembers it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection, select

from callguard.cli.arguments import law_of
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
from callguard.config import Settings
from callguard.policy.tables import plain
from callguard.recording.about import ABOUT, ITS_CALL, concern_of
from callguard.recording.erasure import tidy
from callguard.recording.spool import Spool
from callguard.recording.store.opening import open_store
from callguard.retention.erase import (
    ErasureCertificate,
    erase_recording,
    recordings_of,
    require_not_held,
)
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.forgetting import forget_again, rebuild, verify
from callguard.retention.schedule import Keep
from callguard.storage.database import Database
from callguard.storage.schema import calls, recordings
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import keeping_evidence

T = TypeVar("T")


def erase(
    reason: Annotated[str, typer.Option(help="Why; kept in the audit log.")],
    recording: Annotated[str, typer.Argument(help="Which recording.")] = "",
    call: Annotated[str, typer.Option(help="All recordings of this call instead.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Erase a recording for good, in every copy, and certify it. It cannot be undone."""
    if bool(recording) == bool(call):
        raise CommandError("name one recording, or a call with --call")
    if not reason.strip():
        raise CommandError("erasing a recording needs a reason")
    clock = SystemClock()
    with opened(config) as (settings, database):
        ledger = open_ledger(settings)
        forget_again(database, ledger, clock, actor=actor())
        with database.reading() as connection:
            ids = recordings_of(connection, call) if call else [recording]
            require_not_held(connection, ids)
        if not yes and not typer.confirm(f"Erase {_how_many(ids)} for good?", err=True):
            raise CommandError("nothing was erased")
        spool = Spool(settings.spool.folder, floor=settings.spool.reserve_bytes)
        store = open_store(settings)

        async def write(work: Callable[[Connection], T], /) -> T:
            with database.writing() as connection:
                return work(connection)

        made = [
            asyncio.run(
                erase_recording(
                    write,
                    ledger,
                    spool,
                    store,
                    clock,
                    one,
                    keep=_keep(settings, database, one),
                    actor=actor(),
                    reason=reason,
                )
            )
            for one in ids
        ]
        tidy(database.tidy)
    text = "\n".join(map(plain, map(_in_words, made)))
    said = [one.as_json() for one in made]
    say(as_json, said if call else said[0], text)


def ledger_state(
    rebuild_it: Annotated[
        bool, typer.Option("--rebuild", help="Write it anew from all that is still known.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it is rebuilt; kept in the audit log.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check the erasure ledger, line by line, and that the database agrees with it."""
    if rebuild_it and not reason.strip():
        raise CommandError("rebuilding the erasure ledger needs a reason")
    clock = SystemClock()
    with opened(config) as (settings, database):
        ledger = open_ledger(settings)
        kept = None
        if rebuild_it:
            kept = rebuild(database, ledger, clock, actor=actor(), reason=reason)
        done = forget_again(database, ledger, clock, actor=actor())
        lines = verify(database, ledger)
    said = {
        "lines": lines,
        "applied": done.applied,
        "appended": done.appended,
        "kept": str(kept) if kept else None,
    }
    text = f"the erasure ledger is whole: {lines} lines, and the database agrees"
    say(as_json, said, f"{text}; the old one is {kept}" if kept else text)


def _how_many(ids: list[str]) -> str:
    return f"recording {plain(ids[0])}" if len(ids) == 1 else f"{len(ids)} recordings"


def _keep(settings: Settings, database: Database, recording_id: str) -> Keep:
    """Until when its tenant keeps evidence."""
    tenants = TenantDirectory(law_of(settings))
    asked = select(recordings, *ABOUT).outerjoin(calls, ITS_CALL)
    with database.reading() as connection:
        tenants.refresh(connection)
        row = connection.execute(asked.where(recordings.c.id == recording_id)).one_or_none()
    if row is None:
        return keeping_evidence(None)
    return keeping_evidence(tenants.get(row.tenant_id), concern_of(row))


def _in_words(made: ErasureCertificate) -> str:
    at = made.erased_at.isoformat(timespec="seconds")
    if made.already:
        return f"recording {made.recording} is gone already, since {at}"
    left = "" if made.done_at else "; its row goes with the next purge"
    return (
        f"erased {made.recording} at {at}, SHA-256 {made.sha256 or 'none, it was not sealed'}; "
        f"certificate {made.id}, audit log {made.audit}{left}"
    )
