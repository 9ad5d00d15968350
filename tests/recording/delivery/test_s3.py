"""To a bucket that speaks S3."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # it ships no types
import pytest
from moto.server import ThreadedMotoServer

from callguard.recording.delivery.parcel import DeliveryError, OurFault
from callguard.recording.delivery.places import PlaceError, S3Settings
from callguard.recording.delivery.s3 import S3Carrier
from tests.recording.delivery.parcels import ID, parcel_of, secret, silent, some_bytes, torn

KEYS = 'access_key_id = "tenant"\nsecret_access_key = "s3cr3t-of-the-bucket"\n'
DATA = some_bytes(6_000_000)  # two parts


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def bucket(endpoint: str) -> str:
    client(endpoint).create_bucket(Bucket="theirs")
    return "theirs"


def client(endpoint: str):  # type: ignore[no-untyped-def]  # boto3 ships no types
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )


def carrier(endpoint: str, tmp_path: Path, **more: object) -> S3Carrier:
    values = {"endpoint": endpoint, "bucket": "theirs", "prefix": "calls/2026/", "timeout": 5}
    values["credentials_file"] = str(secret(tmp_path / "keys.toml", KEYS))
    return S3Carrier(S3Settings.model_validate({**values, **more}))


async def test_the_file_and_its_note_are_there_and_are_read_back(
    endpoint: str, bucket: str, tmp_path: Path
) -> None:
    parcel = parcel_of(DATA)
    for _ in range(2):  # again, as after a crash between the confirmation and its row
        receipt = await carrier(endpoint, tmp_path).carry(parcel)
        assert receipt.confirmed
        assert receipt.answer.startswith(f"read back {len(DATA)} bytes; ETag ")
    theirs = client(endpoint)
    listed = theirs.list_objects_v2(Bucket=bucket, Prefix="calls/2026/")["Contents"]
    assert [one["Key"] for one in listed] == [f"calls/2026/{ID}.age", f"calls/2026/{ID}.json"]
    got = theirs.get_object(Bucket=bucket, Key=f"calls/2026/{ID}.age")["Body"].read()
    assert got == DATA
    got = theirs.get_object(Bucket=bucket, Key=f"calls/2026/{ID}.json")["Body"].read()
    assert got == parcel.note()


async def test_two_at_once_leave_one_whole_file(endpoint: str, bucket: str, tmp_path: Path) -> None:
    one = carrier(endpoint, tmp_path)
    small = parcel_of(b"small", "two.age")
    receipts = await asyncio.gather(*(one.carry(small) for _ in range(3)))
    assert all(receipt.confirmed for receipt in receipts)


async def test_what_changed_under_our_hands_gets_no_name(
    endpoint: str, bucket: str, tmp_path: Path
) -> None:
    with pytest.raises(OurFault, match="changed while it was sent"):
        await carrier(endpoint, tmp_path).carry(torn(parcel_of(DATA, "torn.age")))
    listed = client(endpoint).list_objects_v2(Bucket=bucket, Prefix="calls/2026/torn")
    assert listed["KeyCount"] == 0


async def test_a_bucket_that_is_not_there_is_said_without_secrets(
    endpoint: str, bucket: str, tmp_path: Path
) -> None:
    with pytest.raises(DeliveryError) as caught:
        await carrier(endpoint, tmp_path, bucket="nobodys").carry(parcel_of(b"x"))
    assert "s3cr3t" not in str(caught.value)
    assert len(str(caught.value)) <= 200


async def test_a_store_that_gives_back_something_else_confirms_nothing(
    endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callguard.recording.delivery import s3

    real = s3._put

    async def then_spoilt(*args: object) -> None:
        await real(*args)  # type: ignore[arg-type]  # passed on
        client(endpoint).put_object(Bucket=bucket, Key="calls/2026/spoilt.age", Body=b"other")

    monkeypatch.setattr(s3, "_put", then_spoilt)
    with pytest.raises(DeliveryError, match="read back is another file, of 5 bytes"):
        await carrier(endpoint, tmp_path).carry(parcel_of(b"x" * 5, "spoilt.age"))


async def test_a_store_that_is_down_or_silent_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError):
        await carrier("http://127.0.0.1:1", tmp_path).carry(parcel_of(b"x"))
    async with silent() as port:
        one = carrier(f"http://127.0.0.1:{port}", tmp_path)
        object.__setattr__(one._settings, "timeout", 0.2)
        with pytest.raises(DeliveryError):
            await one.carry(parcel_of(b"x"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs access_key_id, a text"),
        (KEYS + "token = 'x'", "unknown key: 'token'"),
        ("access_key_id = 1\nsecret_access_key = 'x'", "needs access_key_id, a text"),
        ("{", "is not TOML"),
    ],
)
async def test_credentials_that_cannot_be_used_are_said(
    tmp_path: Path, text: str, said: str
) -> None:
    one = carrier("http://127.0.0.1:1", tmp_path)
    secret(tmp_path / "keys.toml", text)
    with pytest.raises(PlaceError, match=said):
        await one.carry(parcel_of(b"x"))
