"""To a bucket, in parts; then read back."""

import asyncio
import hashlib

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from callguard.recording.delivery.parcel import DeliveryError, Parcel, Receipt, Watched, said
from callguard.recording.delivery.places import PlaceError, S3Settings
from callguard.recording.delivery.secret import read_credentials

PART = 5 * 1024**2
"""Bytes of a part: the fewest that S3 takes."""

AT_ONCE = 2
READ = 256 * 1024


class S3Carrier:
    """See Carrier."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings

    async def carry(self, parcel: Parcel) -> Receipt:
        """See Carrier.carry."""
        settings = self._settings
        store = await asyncio.to_thread(open_bucket, settings)
        path = f"{settings.prefix}{parcel.name}"
        # The library itself ends a part that takes longer than the time-out.
        pieces = Watched(parcel.pieces(), 2 * settings.timeout)
        try:
            await pieces.over(_put(store, path, pieces))
            async with asyncio.timeout(settings.timeout):
                note = f"{settings.prefix}{parcel.note_name}"
                await obstore.put_async(store, note, parcel.note(), use_multipart=False)
            return await self._read_back(store, path, parcel)
        except TimeoutError:
            raise DeliveryError(f"no answer for {settings.timeout:g} s") from None
        except (BaseError, OSError) as error:
            raise DeliveryError(_told(error)) from None

    async def _read_back(self, store: S3Store, path: str, parcel: Parcel) -> Receipt:
        async with asyncio.timeout(self._settings.timeout):
            found = await obstore.get_async(store, path)
        size, digest = 0, hashlib.sha256()
        stream = found.stream(min_chunk_size=READ)
        while size <= parcel.size:
            async with asyncio.timeout(self._settings.timeout):
                piece = await anext(stream, None)
            if piece is None:
                break
            size += len(piece)
            digest.update(piece)
        if (size, digest.hexdigest()) != (parcel.size, parcel.sha256):
            raise DeliveryError(f"what was read back is another file, of {size} bytes")
        tag = said(found.meta.get("e_tag") or "")
        return Receipt(True, f"read back {size} bytes; ETag {tag}")


async def _put(store: S3Store, path: str, pieces: Watched) -> None:
    await obstore.put_async(store, path, pieces, chunk_size=PART, max_concurrency=AT_ONCE)


def open_bucket(settings: S3Settings) -> S3Store:
    """Raises PlaceError where the credentials or the certificates cannot be used."""
    keys = read_credentials(settings.credentials_file)
    options: dict[str, object] = {"timeout": f"{settings.timeout:g}s", "connect_timeout": "10s"}
    if settings.endpoint is not None and settings.endpoint.startswith("http:"):
        options["allow_http"] = True  # loopback only: see places.check_url
    if settings.ca_file is not None:
        try:
            options["root_certificate"] = settings.ca_file.read_bytes()
        except OSError as error:
            raise PlaceError(f"{settings.ca_file} cannot be read: {error.strerror}") from None
    config: dict[str, object] = {
        "bucket": settings.bucket,
        "region": settings.region,
        "virtual_hosted_style_request": not settings.path_style,
        "checksum_algorithm": "SHA256",
        **keys,
    }
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    try:
        return S3Store(config=config, client_options=options, retry_config={"max_retries": 0})  # type: ignore[arg-type]  # plain dictionaries of what is allowed there
    except (BaseError, ValueError) as error:
        raise PlaceError(f"the bucket cannot be opened: {said(error)}") from None


def _told(error: BaseException) -> str:
    """The library's lines hold the whole answer; the first says what failed."""
    first = str(error).strip().splitlines()
    return said(first[0] if first else "") or type(error).__name__
