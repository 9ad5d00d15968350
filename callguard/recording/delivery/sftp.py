"""To a folder behind SSH: under another name first, then renamed, then read back.

No checksum of the server is asked for: OpenSSH has none, and what is read back shows at once that
it arrived, that it is whole and that it can be read.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import PurePosixPath
from typing import cast

import asyncssh

from callguard.recording.delivery.parcel import DeliveryError, Parcel, Receipt, said, why
from callguard.recording.delivery.places import PlaceError, SftpSettings
from callguard.recording.delivery.secret import read_secret

PIECE = 32 * 1024
"""Bytes of one request, which every server takes."""


class SftpCarrier:
    """See Carrier."""

    def __init__(self, settings: SftpSettings) -> None:
        self._settings = settings

    async def carry(self, parcel: Parcel) -> Receipt:
        """See Carrier.carry."""
        settings = self._settings
        keys = await asyncio.to_thread(check_files, settings)
        try:
            async with self._client(keys) as client:
                folder = PurePosixPath(settings.folder)
                if settings.folder != ".":
                    async with self._patience():
                        await client.makedirs(str(folder), exist_ok=True)
                await self._put(client, folder / parcel.name, parcel.pieces())
                await self._put(client, folder / parcel.note_name, _once(parcel.note()))
                return await self._read_back(client, folder / parcel.name, parcel)
        except TimeoutError:
            raise DeliveryError(f"no answer for {settings.timeout:g} s") from None
        except asyncssh.HostKeyNotVerifiable:
            raise DeliveryError("the host key is not the one that was pinned") from None
        except (asyncssh.Error, OSError) as error:
            raise DeliveryError(_told(error)) from None

    @asynccontextmanager
    async def _client(self, keys: list[asyncssh.SSHKey]) -> AsyncIterator[asyncssh.SFTPClient]:
        settings = self._settings
        known = settings.known_hosts_file
        options = asyncssh.SSHClientConnectionOptions(
            config=None,
            agent_path=None,
            client_keys=keys,
            client_factory=partial(_Pinned, settings.fingerprint or ""),
            # Without a file nothing is trusted, so that the fingerprint is asked.
            known_hosts=str(known) if known is not None else ([], [], []),
            preferred_auth="publickey",
            connect_timeout=settings.timeout,
            login_timeout=settings.timeout,
            username=settings.username,
        )
        connection = await asyncssh.connect(settings.host, settings.port, options=options)
        try:
            async with self._patience():
                client = await connection.start_sftp_client()
            yield client
        finally:
            connection.abort()
            with suppress(TimeoutError, asyncssh.Error, OSError):
                async with self._patience():
                    await connection.wait_closed()

    async def _put(
        self, client: asyncssh.SFTPClient, path: PurePosixPath, pieces: AsyncIterator[bytes]
    ) -> None:
        part = f"{path}.part"  # one for all attempts, so that none is left lying
        async with self._patience():
            # A file of its own: what an attempt before still writes must not get into this one.
            with suppress(asyncssh.SFTPError):
                await client.remove(part)
            file = await client.open(part, "wb", block_size=PIECE)
        offset = 0
        async for piece in pieces:
            async with self._patience():
                await file.write(piece, offset)
            offset += len(piece)
        async with self._patience():
            with suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()
            await file.close()
            try:
                await client.posix_rename(part, str(path))
            except asyncssh.SFTPOpUnsupported:
                with suppress(asyncssh.SFTPNoSuchFile):
                    await client.remove(str(path))
                await client.rename(part, str(path))

    async def _read_back(
        self, client: asyncssh.SFTPClient, path: PurePosixPath, parcel: Parcel
    ) -> Receipt:
        async with self._patience():
            file = await client.open(str(path), "rb", block_size=PIECE)
        size, digest = 0, hashlib.sha256()
        while size <= parcel.size:
            async with self._patience():
                piece = cast("bytes", await file.read(8 * PIECE, size))
            if not piece:
                break
            size += len(piece)
            digest.update(piece)
        async with self._patience():
            await file.close()
        if (size, digest.hexdigest()) != (parcel.size, parcel.sha256):
            raise DeliveryError(f"what was read back is another file, of {size} bytes")
        return Receipt(True, f"read back {size} bytes")

    def _patience(self) -> asyncio.Timeout:
        return asyncio.timeout(self._settings.timeout)


class _Pinned(asyncssh.SSHClient):
    """Trusts the host key of one fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        return bool(self._fingerprint) and key.get_fingerprint("sha256") == self._fingerprint


def check_files(settings: SftpSettings) -> list[asyncssh.SSHKey]:
    """The private key. Raises PlaceError, also where the pinned host keys cannot be read."""
    data = read_secret(settings.key_file)
    try:
        key = asyncssh.import_private_key(data)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise PlaceError(
            f"{settings.key_file} is not a private key of SSH without a passphrase"
        ) from None
    if settings.known_hosts_file is not None:
        try:
            asyncssh.read_known_hosts(str(settings.known_hosts_file))
        except OSError as error:
            raise PlaceError(
                f"{settings.known_hosts_file} cannot be read: {error.strerror}"
            ) from None
        except (ValueError, asyncssh.Error):
            raise PlaceError(f"{settings.known_hosts_file} does not hold host keys") from None
    return [key]


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _told(error: asyncssh.Error | OSError) -> str:
    if isinstance(error, asyncssh.PermissionDenied):
        return "the server refused our key"
    if isinstance(error, asyncssh.Error):
        return said(error.reason) or type(error).__name__
    return why(error)
