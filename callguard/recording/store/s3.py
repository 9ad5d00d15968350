"""A bucket of any store that speaks S3.

Reading, listing and deleting go through the object-store library. It cannot tell which uploads are
under way nor give one up, so those are asked by `s3_requests`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from callguard.clock import Clock, SystemClock
from callguard.config import S3
from callguard.recording.store.bucket import (
    BucketError,
    NotOffered,
    Piece,
    Stored,
    Upload,
    UploadGone,
    key_of,
    name_of,
)
from callguard.recording.store.objects import ObjectMissing, ObjectStoreError
from callguard.recording.store.s3_place import CredentialsFile, Place, place_of, trust
from callguard.recording.store.s3_requests import Answer, Requests

if TYPE_CHECKING:
    from obstore.store import S3Credential

READ_BYTES = 1 << 20
"""The most that one request reads, so that a long object needs no long time-out."""

ASKED_AGAIN = timedelta(minutes=1)
"""The library asks for credentials again where they expire within five."""


class S3Bucket:
    """See Bucket."""

    def __init__(self, s3: S3, clock: Clock | None = None) -> None:
        """Reads the credentials; asks the bucket nothing yet. Raises ObjectStoreError."""
        place, credentials = place_of(s3), CredentialsFile(s3.credentials_file)
        self._prefix = s3.prefix
        self._what = f"bucket {s3.bucket}"
        self._requests = Requests(
            place, s3.region, credentials, trust(s3.ca_file), s3.timeout, clock or SystemClock()
        )
        self._store = _library_store(s3, place, credentials)

    def begin(self, name: str) -> str:
        """See Bucket.begin."""
        answer = self._ask("begin", name, "POST", {"uploads": ""})
        return self._told(_parsed(answer), "UploadId")

    def send(self, name: str, upload: str, number: int, piece: Piece) -> str:
        """See Bucket.send. The server holds the part against its SHA-256, which is signed, and
        against its MD5."""
        query = {"partNumber": str(number), "uploadId": upload}
        etag = self._ask("send", name, "PUT", query, piece).headers.get("etag", "").strip('"')
        if not etag:
            raise BucketError(f"{self._what}: a part of object {name} got no entity tag")
        return etag

    def complete(self, name: str, upload: str, etags: Sequence[str]) -> None:
        """See Bucket.complete."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        body = f'<CompleteMultipartUpload xmlns="{space}">{parts}</CompleteMultipartUpload>'
        answer = self._ask("complete", name, "POST", {"uploadId": upload}, body.encode())
        self._told(_parsed(answer), "ETag")

    def abort(self, name: str, upload: str) -> None:
        """See Bucket.abort."""
        try:
            self._ask("abort", name, "DELETE", {"uploadId": upload})
        except UploadGone:
            return

    def uploads(self, name: str | None = None) -> list[Upload]:
        """See Bucket.uploads. Some stores tell only those of one object."""
        prefix = self._prefix if name is None else key_of(self._prefix, name)
        found: list[Upload] = []
        marks: dict[str, str] = {}
        while True:
            try:
                answer = self._ask(
                    "list", "uploads", "GET", {"uploads": "", "prefix": prefix, **marks}, key=""
                )
            except NotOffered:
                return found
            page = _parsed(answer)
            for entry in page.iterfind("{*}Upload"):
                owner = name_of(self._prefix, self._told(entry, "Key"))
                if owner is not None and name in (None, owner):
                    begun = _moment(self._told(entry, "Initiated"))
                    found.append(Upload(owner, self._told(entry, "UploadId"), begun))
            if page.findtext("{*}IsTruncated") != "true":
                return found
            after = {
                "key-marker": page.findtext("{*}NextKeyMarker") or "",
                "upload-id-marker": page.findtext("{*}NextUploadIdMarker") or "",
            }
            if after == marks or not after["key-marker"]:
                raise BucketError(f"{self._what}: its list of uploads does not end")
            marks = after

    def stored(self, name: str) -> Stored | None:
        """See Bucket.stored."""
        try:
            with self._failure("look at", name):
                meta = obstore.head(self._store, key_of(self._prefix, name))
        except ObjectMissing:
            return None
        return Stored(meta["size"], (meta["e_tag"] or "").strip('"'))

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """See Bucket.read."""
        key = key_of(self._prefix, name)
        pieces: list[bytes] = []
        at, end = offset, None if size is None else offset + size
        while end is None or at < end:
            stop = at + READ_BYTES if end is None else min(end, at + READ_BYTES)
            try:
                with self._failure("read", name):
                    found = obstore.get(self._store, key, options={"range": (at, stop)})
                    total, piece = found.meta["size"], bytes(found.bytes())
            except ObjectMissing:
                raise
            except BucketError:
                if at >= self._size(name):  # nothing lies there, which servers call an error
                    break
                raise
            pieces.append(piece)
            at += len(piece)
            if at >= total:
                break
            if not piece:
                raise BucketError(f"{self._what}: object {name} ends at {at} of {total} bytes")
        if not pieces:
            self._size(name)
        return b"".join(pieces)

    def delete(self, names: Sequence[str]) -> None:
        """See Bucket.delete."""
        try:
            with self._failure("delete", f"{names[0]} and {len(names) - 1} others"):
                obstore.delete(self._store, [key_of(self._prefix, name) for name in names])
        except BucketError:  # some stores cannot delete many at once, or will not for one of them
            for name in names:
                with suppress(UploadGone):
                    self._ask("delete", name, "DELETE", {})

    def names(self) -> Iterator[str]:
        """See Bucket.names."""
        with self._failure("list", "names"):
            for batch in obstore.list(self._store, self._prefix or None):
                for meta in batch:
                    name = name_of(self._prefix, meta["path"])
                    if name is not None:
                        yield name

    def close(self) -> None:
        """See Bucket.close."""
        self._requests.close()

    def _size(self, name: str) -> int:
        stored = self.stored(name)
        if stored is None:
            raise ObjectMissing(f"cannot read object {name}: there is none")
        return stored.size

    def _ask(
        self,
        action: str,
        name: str,
        method: str,
        query: dict[str, str],
        body: bytes | Piece = b"",
        key: str | None = None,
    ) -> Answer:
        try:
            where = key_of(self._prefix, name) if key is None else key
            return self._requests.ask(method, where, query, body)
        except BucketError as error:
            raise type(error)(f"{self._what}: cannot {action} object {name}: {error}") from None

    def _told(self, element: ElementTree.Element, key: str) -> str:
        text = element.findtext(f"{{*}}{key}")
        if not text:
            raise BucketError(f"{self._what}: an answer lacks {key}")
        return text

    @contextmanager
    def _failure(self, action: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ObjectMissing(f"cannot {action} object {name}: there is none") from None
        except (BaseError, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0].partition("<")[0].rpartition(" - ")[2]
            told = f"{self._what}: cannot {action} object {name}: {reason.strip(' :')[:200]}"
            raise BucketError(told) from None


def _library_store(s3: S3, place: Place, credentials: CredentialsFile) -> S3Store:
    """With every choice made here: what is left out, the library takes from the environment."""

    def provider() -> S3Credential:
        found = credentials()
        return {
            "access_key_id": found.access_key_id,
            "secret_access_key": found.secret_access_key,
            "token": found.session_token,
            "expires_at": datetime.now(UTC) + ASKED_AGAIN,
        }

    timeout = timedelta(seconds=s3.timeout)
    try:
        return S3Store(
            s3.bucket,
            config={
                "endpoint": place.endpoint,
                "aws_endpoint_url_s3": place.endpoint,
                "region": s3.region,
                "virtual_hosted_style_request": not s3.path_style,
                "skip_signature": False,
                "unsigned_payload": False,
                "s3_express": False,
            },
            client_options={
                "allow_http": not place.encrypted,
                "connect_timeout": min(timeout, timedelta(seconds=10)),
                "timeout": timeout,
                # Redirects are followed, session token and all, and proxies taken from the
                # environment. Whatever is not for this host goes nowhere instead.
                "proxy_url": "http://127.0.0.1:0",
                "proxy_excludes": urlsplit(place.endpoint).hostname or "",
                **({} if s3.ca_file is None else {"root_certificate": s3.ca_file.read_bytes()}),
            },
            retry_config={"max_retries": 1, "retry_timeout": timeout},
            credential_provider=provider,
        )
    except (BaseError, OSError, ValueError) as error:
        told = str(error).partition("\n")[0][:200]
        raise ObjectStoreError(f"objects.s3 cannot be used: {told}") from None


def _parsed(answer: Answer) -> ElementTree.Element:
    if b"<!DOCTYPE" in answer.body:
        raise BucketError("a store's answer declares a document type")
    try:
        return ElementTree.fromstring(answer.body)  # noqa: S314 - short, and without entities
    except ElementTree.ParseError:
        raise BucketError("a store's answer is not XML") from None


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BucketError(f"a store's answer has a strange time: {text[:40]!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
