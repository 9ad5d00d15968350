"""How a recording is told of and named in an answer."""

import hashlib
from datetime import datetime

from aiohttp import web

from callguard.recording.playback.access import Form
from callguard.recording.playback.reading import RecordingRow
from callguard.web.byte_range import Span, UnsatisfiableError, asked_span
from callguard.web.door import Refused


def size_of(form: Form, row: RecordingRow) -> int:
    """Bytes of the whole, in that form, as far as its row tells."""
    if form == "age":
        return len(row.header or b"") + max(0, row.sealed_bytes or 0)
    return max(0, row.plain_bytes or 0)


def etag_of(form: Form, row: RecordingRow) -> str:
    """A strong one: the payload's digest; for the sealed file with the header's, which changes when
    keys are rotated."""
    if form == "age":
        return f'"{row.payload_sha256}.{hashlib.sha256(row.header or b"").hexdigest()[:16]}"'
    return f'"{row.payload_sha256}.wav"'


def span_of(request: web.Request, size: int, etag: str) -> Span | None:
    """The part that is asked for; None for the whole. Raises Refused."""
    ranges = request.headers.getall("Range", [])
    conditions = request.headers.getall("If-Range", [])
    try:
        return asked_span(ranges, conditions, etag=etag, size=size)
    except UnsatisfiableError as error:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Refused(416, str(error), "Range", headers=headers) from error


def headers_of(form: Form, row: RecordingRow, etag: str) -> dict[str, str]:
    """What stands above it."""
    ending, sort = ("wav.age", "application/octet-stream")
    if form == "playback":
        ending, sort = ("wav", "audio/wav")
    return {
        "Content-Type": sort,
        "Content-Disposition": f'attachment; filename="{row.id}.{ending}"',
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "no-store",
    }


def told_of(row: RecordingRow) -> dict[str, object]:
    """What its row says, for a program."""
    return {
        "id": row.id,
        "tenant": row.tenant_id,
        "call": row.call_id,
        "state": row.state,
        "coding": row.encoding,
        "started_at": _moment(row.started_at),
        "ended_at": _moment(row.ended_at),
        "sealed_at": _moment(row.sealed_at),
        "expires_at": _moment(row.expires_at),
        "plain_bytes": row.plain_bytes,
        "sealed_bytes": row.sealed_bytes,
        "missing_bytes": row.missing_bytes,
        "sha256": row.payload_sha256,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
