"""To a real SSH server: pinned, renamed into place, read back."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import pytest

from callguard.recording.delivery.parcel import DeliveryError, OurFault
from callguard.recording.delivery.places import PlaceError, SftpSettings
from callguard.recording.delivery.sftp import SftpCarrier
from tests.recording.delivery.parcels import ID, parcel_of, silent, some_bytes, torn

DATA = some_bytes(700_000)
HOST = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")
CLIENT = asyncssh.generate_private_key("ssh-ed25519")


class Server(asyncssh.SFTPServer):
    """Serves one folder."""

    root = b""
    files: ClassVar[list[Any]] = []

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(chan, chroot=self.root)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        self.files.append(super().open(path, pflags, attrs))
        return self.files[-1]


@asynccontextmanager
async def serving(folder: Path, kind: type[Server] = Server, **more: Any) -> AsyncIterator[int]:
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - a test's own folder
    rooted = type("Rooted", (kind,), {"root": os.fsencode(folder)})
    allowed = asyncssh.import_authorized_keys(CLIENT.export_public_key().decode())
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[HOST],
        authorized_client_keys=allowed,
        sftp_factory=rooted,
        **more,
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()
        while kind.files:
            kind.files.pop().close()


@pytest.fixture
def carrier(tmp_path: Path) -> Callable[..., SftpCarrier]:
    key = tmp_path / "key"
    CLIENT.write_private_key(str(key))
    key.chmod(0o600)

    def make(port: int, **more: object) -> SftpCarrier:
        values: dict[str, object] = {"host": "127.0.0.1", "port": port, "username": "callguard"}
        values |= {"key_file": str(key), "fingerprint": HOST.get_fingerprint("sha256")}
        values |= {"folder": "in/deep", "timeout": 5, **more}
        return SftpCarrier(SftpSettings.model_validate(values))

    return make


Make = Callable[..., SftpCarrier]


async def test_the_file_arrives_under_its_name_and_is_read_back(
    tmp_path: Path, carrier: Make
) -> None:
    parcel = parcel_of(DATA)
    async with serving(tmp_path / "root") as port:
        receipt = await carrier(port).carry(parcel)
        assert (receipt.confirmed, receipt.answer) == (True, f"read back {len(DATA)} bytes")
        # Again, as after a crash between the confirmation and its row.
        (tmp_path / "root" / "in/deep" / f"{ID}.age.part").write_bytes(b"left" * 999_999)
        assert (await carrier(port).carry(parcel)).confirmed
    there = tmp_path / "root" / "in/deep"
    assert sorted(p.name for p in there.iterdir()) == [f"{ID}.age", f"{ID}.json"]
    assert (there / f"{ID}.age").read_bytes() == DATA
    assert (there / f"{ID}.json").read_bytes() == parcel.note()


async def test_two_at_once_leave_one_whole_file(tmp_path: Path, carrier: Make) -> None:
    async with serving(tmp_path / "root") as port:
        done = await asyncio.gather(
            *(carrier(port).carry(parcel_of(DATA)) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(one, DeliveryError) or one.confirmed for one in done)  # type: ignore[union-attr]  # gather says BaseException
        assert (await carrier(port).carry(parcel_of(DATA))).confirmed
    assert (tmp_path / "root" / "in/deep" / f"{ID}.age").read_bytes() == DATA


async def test_what_an_attempt_before_still_writes_does_not_get_into_the_file(
    tmp_path: Path, carrier: Make
) -> None:
    part = tmp_path / "root" / "in/deep" / f"{ID}.age.part"
    part.parent.mkdir(parents=True)
    with part.open("wb") as before:
        async with serving(tmp_path / "root") as port:
            assert (await carrier(port).carry(parcel_of(DATA))).confirmed
        before.write(b"the header of another attempt")
    assert part.with_suffix("").read_bytes() == DATA


async def test_the_host_key_is_pinned(tmp_path: Path, carrier: Make) -> None:
    known = tmp_path / "known_hosts"
    async with serving(tmp_path / "root") as port:
        for key, right in ((HOST, True), (OTHER, False)):
            known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
            for pin in (
                {"fingerprint": key.get_fingerprint("sha256")},
                {"fingerprint": None, "known_hosts_file": str(known)},
            ):
                going = carrier(port, **pin).carry(parcel_of(b"small"))
                if right:
                    assert (await going).confirmed
                    continue
                with pytest.raises(DeliveryError, match="not the one that was pinned"):
                    await going
        known.write_text("")
        with pytest.raises(DeliveryError, match="not the one that was pinned"):
            await carrier(port, fingerprint=None, known_hosts_file=str(known)).carry(
                parcel_of(b"x")
            )
    assert (tmp_path / "root" / "in/deep" / f"{ID}.age").read_bytes() == b"small"


async def test_a_key_that_the_server_does_not_know_is_said(tmp_path: Path, carrier: Make) -> None:
    other = tmp_path / "other"
    OTHER.write_private_key(str(other))
    other.chmod(0o600)
    async with serving(tmp_path / "root") as port:
        with pytest.raises(DeliveryError, match="the server refused our key"):
            await carrier(port, key_file=str(other)).carry(parcel_of(b"x"))


class Full(Server):
    """A disk on which nothing fits."""

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if offset > 100_000:
            raise asyncssh.SFTPFailure("No space left on device")
        return super().write(file_obj, offset, data)  # type: ignore[return-value]  # it is not a coroutine here


class Lying(Server):
    """Drops what it was given, and says it was kept."""

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        super().write(file_obj, offset, bytes(len(data)))
        return len(data)


class Cutting(Server):
    """Ends the connection half-way."""

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        if offset > 100_000:
            self.channel.get_connection().abort()
        return super().write(file_obj, offset, data)  # type: ignore[return-value]  # see Full


class Silent(Server):
    """Never answers a write."""

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        await asyncio.sleep(30)
        return 0


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Full, "No space left on device"),
        (Lying, "what was read back is another file"),
        (Cutting, "onnection"),
        (Silent, "no answer"),
    ],
)
async def test_a_server_in_trouble_confirms_nothing(
    tmp_path: Path, carrier: Make, kind: type[Server], said: str
) -> None:
    async with serving(tmp_path / "root", kind) as port:
        one = carrier(port)
        if kind is Silent:
            object.__setattr__(one._settings, "timeout", 0.5)
        with pytest.raises(DeliveryError, match=said):
            await one.carry(parcel_of(DATA))
    there = {path.name for path in (tmp_path / "root" / "in/deep").iterdir()}
    assert kind is Lying or f"{ID}.age" not in there


class Old(Server):
    """Version 3 and no extensions: no fsync, no rename over another file."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(chan)

    def fsync(self, file_obj: object) -> None:
        raise asyncssh.SFTPOpUnsupported("fsync")

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        raise asyncssh.SFTPOpUnsupported("posix-rename")

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        assert not Path(os.fsdecode(self.map_path(newpath))).exists()
        super().rename(oldpath, newpath)


async def test_a_server_without_extensions_will_do(tmp_path: Path, carrier: Make) -> None:
    async with serving(tmp_path / "root", Old) as port:
        for data in (b"first", DATA):
            assert (await carrier(port).carry(parcel_of(data))).confirmed
    assert (tmp_path / "root" / "in/deep" / f"{ID}.age").read_bytes() == DATA


async def test_what_changed_under_our_hands_does_not_get_its_name(
    tmp_path: Path, carrier: Make
) -> None:
    async with serving(tmp_path / "root") as port:
        with pytest.raises(OurFault, match="changed while it was sent"):
            await carrier(port).carry(torn(parcel_of(DATA)))
    assert not (tmp_path / "root" / "in/deep" / f"{ID}.age").exists()


async def test_nobody_there_is_said(carrier: Make) -> None:
    with pytest.raises(DeliveryError, match="refused"):
        await carrier(1).carry(parcel_of(b"x"))


async def test_a_server_that_says_nothing_at_all_is_given_up(carrier: Make) -> None:
    async with silent() as port:
        one = carrier(port)
        object.__setattr__(one._settings, "timeout", 0.2)
        with pytest.raises(DeliveryError):
            await one.carry(parcel_of(b"x"))


async def test_a_key_file_that_cannot_be_used_is_said(tmp_path: Path, carrier: Make) -> None:
    one = carrier(1)
    (tmp_path / "key").write_text("nonsense")
    with pytest.raises(PlaceError, match="is not a private key of SSH without a passphrase"):
        await one.carry(parcel_of(b"x"))
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(PlaceError, match="has mode 0644"):
        await one.carry(parcel_of(b"x"))
