"""The lines of the erasure ledger: what they hold and how they are written. Pure; the format is
docs/formats.md, "Erasure ledger"."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

RECORDING = "recording"
"""A recording, for good. The id is the recording's, ``payload`` its object in the store."""

DELIVERED = "delivered"
"""A recording that only its tenant has now. Id and ``payload`` as of a recording."""

TENANT_KEY = "tenant_key"
"""One version of a tenant's identity. The id is ``tenant/version/fingerprint`` (of its public key),
without a payload."""

ARCHIVE = "archive"
"""A sealed archive. The id is the archive's, ``payload`` its object in the store."""

CALL = "call"
"""A call, with every row about it but its recordings, which have lines of their own. The id is
the call's."""

CALL_PART = "call_part"
"""A call, but not what a law or a duty keeps of it. The id is ``call/classes``: the data classes
that stay, sorted and joined by ``+``, of ``call_record``, ``consent`` and ``recording``."""

CALL_RECORD = "call_record"
"""A call record that belongs to no call of ours, or to another's. The id is
``pbx/sequence/uniqueid``, as ``callguard.recording.traces.record_id`` writes it."""

CONSENT = "consent"
"""A proof of consent that belongs to no call of ours, or to another's. The id is the consent's."""

TENANT = "tenant"
"""The end of a tenant's contract. The id is the tenant's, ``payload`` the instant (ISO 8601). A
database that does not know of it carries it out again, and deletes."""

CONTACT = "contact"
"""What a tenant knows of somebody. The id is the contact's."""

FIRST_LINE = b'{"format":"callguard-erasures","version":1}\n'
LINE_BYTES = 1_024

_KEYS = {"at", "class", "id", "payload", "previous", "sequence"}
_CLASS = re.compile(r"[a-z_]{1,32}")
_ID = re.compile(r"[!-~]{1,200}")
_PAYLOAD = re.compile(r"[!-~]{1,120}")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class LineError(ValueError):
    """A line that is none; it says why."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be erased, or was. ``data_class`` is one of the classes above; ids only, never a
    number or a name."""

    data_class: str
    object_id: str
    payload: str | None
    at: datetime

    @property
    def key(self) -> tuple[str, str]:
        """What it is about; a second line about the same changes nothing."""
        return self.data_class, self.object_id


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the ledger: behind line ``sequence``, whose SHA-256 is ``digest``, ``position``
    bytes from the beginning."""

    sequence: int
    digest: str
    position: int


@dataclass(frozen=True, slots=True)
class Line:
    """One erasure as it stands in the ledger, and the place behind it."""

    erasure: Erasure
    mark: Mark


BEGINNING = Mark(0, hashlib.sha256(FIRST_LINE[:-1]).hexdigest(), len(FIRST_LINE))
"""Behind the first line, which names the format."""


def compose(erasure: Erasure, before: Mark) -> tuple[bytes, Mark]:
    """The line that follows ``before``, with its line feed, and the place behind it. Raises
    LineError."""
    raw = _written(erasure, before.sequence + 1, before.digest)
    if len(raw) >= LINE_BYTES:
        raise LineError("the line is too long")
    return raw + b"\n", _behind(raw, before.sequence + 1, before.position)


def parse(raw: bytes, before: Mark) -> Line:
    """The line, without its line feed, that must follow ``before``. Raises LineError."""
    erasure, sequence, previous = read(raw)
    if sequence != before.sequence + 1 or previous != before.digest:
        raise LineError("it does not follow from the line before")
    return Line(erasure, _behind(raw, sequence, before.position))


def read(raw: bytes) -> tuple[Erasure, int, str]:
    """A line by itself: its erasure, its sequence, and the digest it says the line before has.
    Raises LineError."""
    if len(raw) >= LINE_BYTES:
        raise LineError("it is too long")
    try:
        held = json.loads(raw)
        if not isinstance(held, dict) or held.keys() != _KEYS:
            raise LineError("it has other keys")
        at = datetime.fromisoformat(held["at"])
        erasure = Erasure(held["class"], held["id"], held["payload"], at)
        sequence, previous = held["sequence"], held["previous"]
        if type(sequence) is not int or not isinstance(previous, str):
            raise LineError("it has no sequence, or no digest")
        if at.tzinfo is None or raw != _written(erasure, sequence, previous):
            raise LineError("it is not in the one form")
    except (ValueError, TypeError, RecursionError) as error:
        raise LineError(str(error) if isinstance(error, LineError) else "it is damaged") from error
    return erasure, sequence, previous


def mark_of(raw: bytes, end: int) -> Mark:
    """The place behind a line, without its line feed, that ends at byte ``end``. Raises
    LineError."""
    _, sequence, _ = read(raw)
    return Mark(sequence, hashlib.sha256(raw).hexdigest(), end)


def _behind(raw: bytes, sequence: int, start: int) -> Mark:
    return Mark(sequence, hashlib.sha256(raw).hexdigest(), start + len(raw) + 1)


def _written(erasure: Erasure, sequence: int, previous: str) -> bytes:
    if not (
        _CLASS.fullmatch(erasure.data_class)
        and _ID.fullmatch(erasure.object_id)
        and (erasure.payload is None or _PAYLOAD.fullmatch(erasure.payload))
    ):
        raise LineError("its class, id or payload is none")
    at = erasure.at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    line = {
        "at": f"{at}Z",
        "class": erasure.data_class,
        "id": erasure.object_id,
        "payload": erasure.payload,
        "previous": previous,
        "sequence": sequence,
    }
    return _encode(line).encode("ascii")
