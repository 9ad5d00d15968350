"""The return package: all that a tenant has here, as one tar file for it alone.

Rows are JSON Lines, in members of a few megabytes each, so that neither memory nor a second file is
needed however many there are. Each recording is a member: the ordinary age file, or the audio where
the tenant asked for that and a key that is here opens it. The last member is `manifest.json`, with
the size, the SHA-256 and the rows of every other. With a recipient the tar itself is an age file.

The file has its name only once it is whole and durable; what a crash leaves is made anew.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, RowMapping, Select, Table, or_, select

from callguard.recording import age
from callguard.recording.durable import sync_folder
from callguard.recording.keys import KeyStoreError, KeyWrapper
from callguard.recording.playback.ranges import PlainRecording, Ranges
from callguard.recording.playback.reading import (
    RecordingError,
    file_key_of,
    payload_of,
    sealed_recording,
    wrapped_identities,
)
from callguard.recording.store.objects import ObjectMissing, ObjectStore
from callguard.retention.termination.archive import as_line
from callguard.retention.termination.sources import behind
from callguard.retention.termination.tarred import MANIFEST, Digest, Manifest, Out, Tar, sealed
from callguard.storage.schema import (
    attempts,
    call_records,
    call_statistics,
    calls,
    campaign_days,
    consents,
    contacts,
    deliveries,
    opt_out_claims,
    opt_outs,
    recording_events,
    recordings,
    scrubs,
    tenant_endpoints,
    tenant_numbers,
    tenant_places,
    tenant_recipients,
    tenant_retention,
    tenant_rules,
    tenants,
)

T = TypeVar("T")

ROWS = 500
"""Rows that are read at once."""

MEMBER = 4 * 1024 * 1024
"""Bytes after which the rows of a table go on in the next member."""

_TABLES: dict[str, Table] = {
    "tenant": tenants,
    "numbers": tenant_numbers,
    "endpoints": tenant_endpoints,
    "places": tenant_places,
    "recipients": tenant_recipients,
    "retention": tenant_retention,
    "rules": tenant_rules,
    "call_records": call_records,
    "verdicts": calls,
    "attempts": attempts,
    "consents": consents,
    "contacts": contacts,
    "opt_outs": opt_outs,
    "opt_out_claims": opt_out_claims,
    "recordings": recordings,
    "recording_events": recording_events,
    "deliveries": deliveries,
    "lists": scrubs,
    "campaign_days": campaign_days,
    "call_statistics": call_statistics,
}

_OURS = frozenset({"header", "wrapped_file_key", "keyed_for", "reserved", "spool_name", "payload"})
"""Columns that are of no use, or of no business, outside."""

Reading = Callable[[Callable[[Connection], Any]], Any]
"""Runs a query in one reading transaction; blocks."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that is made: where, and what of it can be proved later. ``damaged`` are
    recordings that could not be read, with why."""

    file: str
    rows: int
    recordings: int
    bytes: int
    sha256: str
    damaged: dict[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. ``recipient`` is an age public key, or empty."""

    id: str
    tenant: str
    at: datetime
    recipient: str = ""
    plain: bool = False

    @property
    def name(self) -> str:
        """How the file is called."""
        return f"{self.id}.tar.age" if self.recipient else f"{self.id}.tar"


def build(
    order: Order, folder: Path, reading: Reading, store: ObjectStore, wrapper: KeyWrapper
) -> Package:
    """Makes the package, anew where there is one of that id. Blocks for as long as reading all of
    it takes. Raises OSError, AgeError, ObjectStoreError, KeyStoreError; then nothing is left."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove(order, folder)
    part = folder / f"{order.name}.part"
    descriptor = os.open(
        part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            digest = Digest(file)
            found = Manifest()
            with sealed(digest, order.recipient) as out:
                _fill(out, found, order, reading, store, wrapper)
            file.flush()
            os.fsync(file.fileno())
        part.rename(folder / order.name)
        sync_folder(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return Package(
        order.name,
        found.rows,
        found.recordings,
        digest.size,
        digest.hexdigest(),
        found.damaged,
    )


def remove(order: Order, folder: Path) -> None:
    """Takes away what there is of it. Raises OSError."""
    for name in (order.name, f"{order.name}.part"):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir():
        sync_folder(folder)


def _fill(
    out: Out,
    found: Manifest,
    order: Order,
    reading: Reading,
    store: ObjectStore,
    wrapper: KeyWrapper,
) -> None:
    tar = Tar(out, found, order.at)
    for name, table in _TABLES.items():
        lines, number, size = list[bytes](), 0, 0
        for row in _rows(reading, table, order.tenant, order.at):
            lines.append(as_line(_public(row)))
            size += len(lines[-1])
            if size >= MEMBER:
                number += 1
                tar.add(f"{name}/{number:06}.jsonl", lines)
                lines, size = [], 0
        if lines or not number:
            tar.add(f"{name}/{number + 1:06}.jsonl", lines)
    for values in _rows(reading, recordings, order.tenant, order.at):
        if values["state"] == "recording":  # it was waited for
            found.damaged[values["id"]] = "it was never sealed"
        elif values["state"] == "sealed":
            row = reading(partial(_recording, name=values["id"]))
            if row is not None:  # it was not erased meanwhile
                _add_recording(tar, row, order, reading, store, wrapper)
    manifest = {
        "format": "callguard-return-package",
        "version": 1,
        "tenant": order.tenant,
        "made_at": order.at.isoformat(),
        "rows": found.rows,
        "recordings": found.recordings,
        "damaged": found.damaged,
        "files": found.members,
    }
    tar.add(MANIFEST, [json.dumps(manifest, ensure_ascii=False, indent=1).encode()])
    tar.end()


def _rows(reading: Reading, table: Table, tenant: str, now: datetime) -> Iterator[RowMapping]:
    """All rows of a tenant that nobody is kept from, in the order of their keys."""
    key, after = list(table.primary_key.columns), None
    whose = table.c.id if table is tenants else table.c.tenant_id
    while True:
        query = select(table).where(whose == tenant)
        if "expires_at" in table.c:
            query = query.where(or_(table.c.expires_at.is_(None), table.c.expires_at > now))
        if after is not None:
            query = query.where(behind(key, after))
        query = query.order_by(*key).limit(ROWS)
        rows: list[RowMapping] = reading(partial(_mappings, query=query))
        yield from rows
        if len(rows) < ROWS:
            return
        after = tuple(rows[-1][one.name] for one in key)


def _mappings(connection: Connection, query: Select[Any]) -> list[RowMapping]:
    return list(connection.execute(query).mappings())


def _public(row: RowMapping) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in _OURS}


def _recording(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(recordings).where(recordings.c.id == name)).one_or_none()


def _add_recording(
    tar: Tar,
    row: Row[Any],
    order: Order,
    reading: Reading,
    store: ObjectStore,
    wrapper: KeyWrapper,
) -> None:
    """A recording that is damaged does not keep the others from their owner: it is named."""
    try:
        source, ending = _source(row, order, reading, store, wrapper)
    except (age.AgeError, ObjectMissing) as error:
        tar.found.damaged[row.id] = str(error)
        return
    tar.stream(f"recordings/{row.id}.{ending}", row.id, source)


def _source(
    row: Row[Any], order: Order, reading: Reading, store: ObjectStore, wrapper: KeyWrapper
) -> tuple[Ranges, str]:
    if order.plain:
        identities = reading(lambda c: wrapped_identities(c, order.tenant))
        try:
            key = file_key_of(row, identities, wrapper)
            return PlainRecording(payload_of(row, store), key), "wav"
        except (RecordingError, age.NoMatchingIdentity):
            pass  # only the tenant's own key opens it, so it goes as it is
        except KeyStoreError:
            raise
    return sealed_recording(row, store), "wav.age"
