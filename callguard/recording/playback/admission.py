"""Who is let in to a recording: the facts gathered, the rules asked, and the answer written into
the audit log, in one writing transaction. Nothing is read before that is durable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from callguard.audit.log import Entry, append
from callguard.contacts.contact import ContactError
from callguard.contacts.store import EVER
from callguard.contacts.store import read as read_contact
from callguard.ids import is_call_id
from callguard.recording.playback.access import (
    GROUNDS,
    MAX_REASON,
    READING,
    Asked,
    Facts,
    Form,
    OwnKey,
    Refusal,
    Why,
    is_plain,
    refusal,
)
from callguard.recording.playback.reading import (
    RecordingError,
    RecordingRow,
    WrappedIdentity,
    wrapped_identities,
)
from callguard.recording.tombstones import not_remembering
from callguard.retention.holds.covering import holds_on
from callguard.storage.alive import time_seen
from callguard.storage.schema import calls, consents, recordings, tenants

_ACTIONS: dict[Form, str] = {
    "metadata": "recording.show",
    "verify": "recording.verify",
    "playback": "recording.play",
    "wav": "recording.export",
    "age": "recording.export",
}
REFUSED = "recording.refused"
DAMAGED = "recording.damaged"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A reading that may happen. ``identities`` are the tenant's, the newest first."""

    row: RecordingRow
    facts: Facts
    identities: tuple[WrappedIdentity, ...]


class RefusedError(RecordingError):
    """A reading that is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.line)
        self.refusal = refusal


def consider(
    connection: Connection, asked: Asked, recording: str, now: datetime
) -> Admitted | Refusal:
    """Whether the reading may happen, nothing written down. Who goes on to read asks ``admit``."""
    row = connection.execute(select(recordings).where(recordings.c.id == recording)).one_or_none()
    facts, identities = None, tuple[WrappedIdentity, ...]()
    if row is not None:
        identities = wrapped_identities(connection, row.tenant_id)
        facts = Facts(
            row.tenant_id,
            row.state,
            row.expires_at,
            holds_on(connection, row.id),
            is_restricted(connection, row.tenant_id, row.call_id),
            _own_key(identities),
        )
        now = time_seen(connection, now)
    name = recording[:80] if is_plain(recording[:80]) else ascii(recording[:80])
    found = refusal(asked, name, facts, now)
    forgetful = not_remembering(connection)
    if found is None and asked.form != "metadata" and forgetful is not None:
        found = Refusal(Why.STATE, f"no recording is read while {forgetful}")
    if found is None and row is not None:
        found = _ended(connection, asked, row.tenant_id, now)
    if found is not None or row is None or facts is None:
        assert found is not None
        return found
    return Admitted(row, facts, identities)


def _ended(connection: Connection, asked: Asked, tenant: str, now: datetime) -> Refusal | None:
    """Once a contract has ended its recordings are only stored: nobody of the tenant's reads them,
    and the operator names a ground."""
    ends_at = connection.execute(select(tenants.c.ends_at).where(tenants.c.id == tenant)).scalar()
    if ends_at is None or now < ends_at:
        return None
    if asked.reader.tenant is None and (asked.ground is not None or asked.form not in READING):
        return None
    told = f"the contract of {tenant} has ended"
    if asked.reader.tenant is not None:
        return Refusal(Why.STATE, told)
    return Refusal(Why.RESTRICTED, f"{told}: name a ground, {', '.join(GROUNDS)}")


def admit(
    connection: Connection,
    asked: Asked,
    recording: str,
    now: datetime,
    *,
    span: tuple[int, int] | None = None,
) -> Admitted | Refusal:
    """Whether the reading may happen, in a writing transaction: the answer is in the audit log,
    be it a refusal, and what is admitted may be read once the transaction is durable. ``span`` is
    the first byte and the one after the last of what is read, where that is not all."""
    found = consider(connection, asked, recording, now)
    if isinstance(found, Refusal):
        note_refusal(connection, asked, recording, now, found)
        return found
    details: dict[str, object] = {}
    if span is not None:
        details["bytes"] = [span[0], span[1] - 1]
    if found.facts.holds:
        details["holds"] = list(found.facts.holds)
    if found.facts.restricted is not False:
        details["restricted"] = "yes" if found.facts.restricted else "not known"
    _log(connection, asked, recording, now, _ACTIONS[asked.form], found.row.tenant_id, details)
    return found


def note_refusal(
    connection: Connection, asked: Asked, recording: str, now: datetime, found: Refusal
) -> None:
    """Writes down that a reading was refused; what is no id at all is nobody's recording, and
    whatever was typed in its place is not kept."""
    if is_call_id(recording):
        tenant = select(recordings.c.tenant_id).where(recordings.c.id == recording)
        whose = connection.execute(tenant).scalar_one_or_none()
        _log(connection, asked, recording, now, REFUSED, whose, {"why": found.why.value})


def note_damage(
    connection: Connection, asked: Asked, row: RecordingRow, now: datetime, line: str
) -> None:
    """Writes down that what was admitted could not be read."""
    _log(connection, asked, row.id, now, DAMAGED, row.tenant_id, {"fault": line[:500]})


def admitted(found: Admitted | Refusal) -> Admitted:
    """Raises RefusedError for a refusal."""
    if isinstance(found, Refusal):
        raise RefusedError(found)
    return found


def _log(
    connection: Connection,
    asked: Asked,
    recording: str,
    now: datetime,
    action: str,
    tenant: str | None,
    more: Mapping[str, object],
) -> None:
    details: dict[str, object] = {"form": asked.form, "role": asked.reader.role, **more}
    if asked.reader.tenant is not None:
        details["of"] = asked.reader.tenant
    if asked.reason:
        details["reason"] = asked.reason[:MAX_REASON]
    if asked.ground is not None:
        details["ground"] = asked.ground
    target = f"recording:{recording}"
    append(connection, Entry(now, asked.reader.actor, action, target, tenant, details))


def _own_key(identities: Sequence[WrappedIdentity]) -> OwnKey:
    if not identities:
        return "none"
    return "here" if any(one.wrapped is not None for one in identities) else "destroyed"


def _subjects(connection: Connection, call_id: str) -> set[str]:
    """Whose voices the call has. Rows that have expired and are not purged yet still tell."""
    found = set(connection.execute(select(calls.c.subject).where(calls.c.id == call_id)).scalars())
    found.update(
        connection.execute(
            select(consents.c.subject).where(consents.c.call_id == call_id)
        ).scalars()
    )
    return {subject for subject in found if subject}


def is_restricted(connection: Connection, tenant: str, call_id: str) -> bool | None:
    """Whether one of those whose voices the call has has had processing restricted; None where that
    cannot be told."""
    subjects = _subjects(connection, call_id)
    known = bool(subjects)
    for subject in sorted(subjects):
        try:
            if read_contact(connection, tenant, subject, EVER).restricted_since is not None:
                return True
        except ContactError:
            known = False
    return False if known else None
