"""A bucket as a real S3 server knows it, and one that misbehaves."""

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.recording.store import s3_requests
from callguard.recording.store.bucket import BucketError, Piece, UploadGone, entity_tag
from callguard.recording.store.carrier import Carrier
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectMissing
from callguard.recording.store.s3 import S3Bucket
from tests import certificates
from tests.recording.store.s3_server import PART, Fault, Server, moto, proxy, settings_for

NAME = "0192f0c1-7c3b-7e9b-8a55-0123456789ab"
LONG = bytes(range(256)) * (PART // 256) + b"and a little more"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture(scope="module")
def before(url: str) -> Iterator[Server]:
    with proxy(url) as server:
        yield server


@pytest.fixture
def server(before: Server) -> Server:
    before.faults.clear()
    before.asked.clear()
    before.keys.clear()
    before.not_offered = lambda _: False
    return before


@pytest.fixture
def bucket(server: Server, tmp_path: Path) -> Iterator[S3Bucket]:
    made = S3Bucket(settings_for(server.url, tmp_path))
    yield made
    made.close()
    left = S3Bucket(settings_for(server.url, tmp_path))
    server.faults.clear()
    for upload in left.uploads():
        left.abort(upload.name, upload.id)
    if names := list(left.names()):
        left.delete(names)
    left.close()


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "long").write_bytes(LONG)
    opened = os.open(tmp_path / "long", os.O_RDONLY)
    yield opened
    os.close(opened)


def put(bucket: S3Bucket, name: str, descriptor: int, size: int) -> None:
    upload = bucket.begin(name)
    pieces = [Piece.of(descriptor, at, min(PART, size - at)) for at in range(0, max(size, 1), PART)]
    etags = [bucket.send(name, upload, number, piece) for number, piece in enumerate(pieces, 1)]
    bucket.complete(name, upload, etags)
    stored = bucket.stored(name)
    assert stored is not None
    assert stored.size == size
    assert stored.etag == entity_tag([piece.md5 for piece in pieces])


def test_what_went_up_in_parts_is_read_whole_and_in_part(bucket: S3Bucket, descriptor: int) -> None:
    put(bucket, NAME, descriptor, len(LONG))
    assert bucket.read(NAME) == LONG
    assert bucket.read(NAME, 5, 7) == LONG[5:12]
    assert bucket.read(NAME, len(LONG) - 3, 100) == LONG[-3:]
    assert bucket.read(NAME, len(LONG) - 3) == LONG[-3:]
    for past in (len(LONG), len(LONG) + 7):
        assert bucket.read(NAME, past, 1) == b""
        assert bucket.read(NAME, past) == b""
    assert bucket.read(NAME, 4, 0) == b""
    assert list(bucket.names()) == [NAME]


def test_an_empty_object_is_one(bucket: S3Bucket, descriptor: int) -> None:
    put(bucket, NAME, descriptor, 0)
    assert bucket.read(NAME) == b""


def test_objects_are_spread_by_a_hash_behind_the_prefix(
    bucket: S3Bucket, server: Server, descriptor: int
) -> None:
    put(bucket, "a", descriptor, 1)
    assert any(path.startswith("PUT /recordings/calls/ca/a?") for path in server.asked)


def test_what_is_not_there_is_missing(bucket: S3Bucket) -> None:
    assert bucket.stored(NAME) is None
    for size in (None, 0, 5):
        with pytest.raises(ObjectMissing, match="there is none"):
            bucket.read(NAME, 0, size)
    bucket.delete([NAME])


def test_deleting_is_for_good(bucket: S3Bucket, descriptor: int) -> None:
    for name in ("a", "b", "c"):
        put(bucket, name, descriptor, 1)
    bucket.delete(["a", "b", "never there"])
    assert list(bucket.names()) == ["c"]


def test_a_store_that_cannot_delete_many_at_once_is_asked_one_by_one(
    bucket: S3Bucket, server: Server, descriptor: int
) -> None:
    for name in ("a", "b", "c"):
        put(bucket, name, descriptor, 1)
    server.not_offered = lambda asked: asked.endswith("?delete")
    bucket.delete(["a", "b", "never-there"])
    assert list(bucket.names()) == ["c"]


def test_what_was_not_deleted_of_many_is_told(
    bucket: S3Bucket, server: Server, descriptor: int
) -> None:
    for name in ("a", "b"):
        put(bucket, name, descriptor, 1)
    server.faults = ["not all", None, "403"]
    with pytest.raises(BucketError, match=r"cannot delete object b: .* answers 403"):
        bucket.delete(["a", "b"])
    assert list(bucket.names()) == ["b"]


def test_credentials_may_be_replaced_in_their_file(
    server: Server, tmp_path: Path, descriptor: int
) -> None:
    s3 = settings_for(server.url, tmp_path)
    bucket = S3Bucket(s3)
    for key in ("first", "second"):
        new = tmp_path / "new"
        new.touch(0o600)
        new.write_text(f'access_key_id = "{key}"\nsecret_access_key = "deep secret"\n')
        new.replace(s3.credentials_file)
        server.keys.clear()
        put(bucket, NAME, descriptor, 1)
        bucket.read(NAME, 0, 1)
        bucket.delete([NAME])
        assert set(server.keys) == {key}
        time.sleep(0.1)  # the library asks for them no more often
    s3.credentials_file.write_text("")
    assert bucket.stored(NAME) is None
    s3.credentials_file.unlink()
    assert bucket.stored(NAME) is None
    bucket.close()


def test_nobody_is_sent_to_another_host(bucket: S3Bucket, server: Server, url: str) -> None:
    with proxy(url) as other:
        server.elsewhere = other.url.replace("127.0.0.1", "127.0.0.2")
        for action in (
            lambda: bucket.begin(NAME),
            lambda: bucket.stored(NAME),
            lambda: bucket.read(NAME, 0, 5),
            lambda: bucket.delete([NAME]),
            lambda: list(bucket.names()),
        ):
            server.faults = ["elsewhere"] * 4
            with pytest.raises(BucketError):
                action()
        assert other.asked == []


def test_a_part_may_take_longer_than_the_time_out_while_it_goes_on(
    tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_requests, "BUFFER_BYTES", 16 * 1024)
    taken = 0

    def take_slowly() -> None:
        nonlocal taken
        connection, _ = listening.accept()
        with connection:
            while taken < 512 * 1024:
                taken += len(connection.recv(32 * 1024))
                time.sleep(0.02)
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "tag"\r\nContent-Length: 0\r\n\r\n')

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = threading.Thread(target=take_slowly)
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        bucket = S3Bucket(settings_for(url, tmp_path, timeout=0.15))
        assert bucket.send(NAME, "upload", 1, Piece.of(descriptor, 0, 512 * 1024)) == "tag"
        bucket.close()
        server.join()


def test_what_is_sent_is_taken_slice_by_slice(
    bucket: S3Bucket, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out covers one slice, so a slow line needs no fast part."""
    sizes = []
    whole = http.client.HTTPConnection.send

    def send(self: http.client.HTTPConnection, data: bytes) -> None:
        if threading.current_thread() is threading.main_thread():  # the proxy sends as well
            sizes.append(len(data))
        whole(self, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", send)
    put(bucket, NAME, descriptor, len(LONG))
    assert max(sizes) == s3_requests.SLICE_BYTES
    assert sum(sizes) > len(LONG)


def test_uploads_under_way_are_told_and_given_up(bucket: S3Bucket, descriptor: int) -> None:
    first, second, other = bucket.begin("a"), bucket.begin("a"), bucket.begin("ab")
    assert {one.id for one in bucket.uploads()} == {first, second, other}
    assert {one.id for one in bucket.uploads("a")} == {first, second}
    for upload in (first, first):
        bucket.abort("a", upload)
    with pytest.raises(BucketError):
        bucket.send("a", first, 1, Piece.of(descriptor, 0, 1))
    assert [one.id for one in bucket.uploads("a")] == [second]


def test_where_nothing_can_be_aborted_an_upload_is_ended_for_good_all_the_same(
    bucket: S3Bucket, server: Server, descriptor: int, tmp_path: Path
) -> None:
    upload = bucket.begin("a")
    etag = bucket.send("a", upload, 1, Piece.of(descriptor, 0, 10))
    server.not_offered = lambda asked: asked.startswith("DELETE") and "uploadId" in asked
    Carrier(FolderStore(tmp_path / "objects"), bucket, PART, frozenset()).delete(["a"])
    assert bucket.uploads() == []
    with pytest.raises(BucketError):
        bucket.complete("a", upload, [etag])
    assert list(bucket.names()) == []


def test_an_upload_that_is_gone_is_told_from_a_failure(
    bucket: S3Bucket, server: Server, descriptor: int
) -> None:
    upload = bucket.begin("a")
    for step in (
        lambda: bucket.send("a", upload, 1, Piece.of(descriptor, 0, 1)),
        lambda: bucket.complete("a", upload, ["0"]),
    ):
        server.faults = ["gone"]
        with pytest.raises(UploadGone, match="no such upload"):
            step()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("500", "127.0.0.1:.* answers 500 InternalError"),
        ("403", "answers 403 AccessDenied"),
        ("reset", "no answer from 127.0.0.1"),
        ("hang", "no answer from 127.0.0.1:.*timed out"),
        ("unsaid", "no answer from 127.0.0.1"),
        ("error in a success", "answers 200 InternalError"),
        ("cut short", "the answer was cut short"),
    ],
)
def test_every_failure_is_one_clear_line(
    bucket: S3Bucket, server: Server, fault: Fault, told: str
) -> None:
    server.faults = [fault]
    with pytest.raises(BucketError, match=rf"^bucket recordings: .*{told}") as error:
        bucket.begin(NAME)
    assert "\n" not in str(error.value)
    assert "deep secret" not in str(error.value)
    assert bucket.begin(NAME)


def test_an_answer_that_is_no_plain_xml_is_refused(bucket: S3Bucket, server: Server) -> None:
    server.faults = ["doctype"]
    with pytest.raises(BucketError, match="declares a document type"):
        bucket.begin(NAME)


@pytest.mark.parametrize("fault", ["403", "500"])
def test_so_is_every_failure_of_the_library(bucket: S3Bucket, server: Server, fault: Fault) -> None:
    for action in (
        lambda: bucket.stored(NAME),
        lambda: bucket.read(NAME, 0, 5),
        lambda: bucket.delete([NAME]),
        lambda: list(bucket.names()),
    ):
        server.faults = [fault] * 4
        with pytest.raises(BucketError, match=r"^bucket recordings: cannot [^\n<]*$"):
            action()


def test_nobody_waits_for_a_store_that_hangs(bucket: S3Bucket, server: Server) -> None:
    server.faults = ["hang"] * 4
    since = time.monotonic()
    with pytest.raises(BucketError, match="cannot look at"):
        bucket.stored(NAME)
    assert time.monotonic() - since < 3


def test_an_answer_that_trickles_in_is_cut_off(bucket: S3Bucket, server: Server) -> None:
    server.faults = ["trickle"]
    since = time.monotonic()
    with pytest.raises(BucketError, match="timed out"):
        bucket.begin(NAME)
    assert time.monotonic() - since < 3


def test_whoever_closes_waits_for_nobody(bucket: S3Bucket, server: Server) -> None:
    bucket.close()
    with pytest.raises(BucketError, match="callguard is stopping"):
        bucket.begin(NAME)
    assert server.asked == []


def test_a_part_without_a_tag_is_not_believed(
    bucket: S3Bucket, server: Server, descriptor: int
) -> None:
    upload = bucket.begin(NAME)
    server.faults = ["doctype"]
    with pytest.raises(BucketError, match="no entity tag"):
        bucket.send(NAME, upload, 1, Piece.of(descriptor, 0, 1))


def test_a_store_that_cannot_list_uploads_is_taken_for_one_without(
    bucket: S3Bucket, server: Server
) -> None:
    bucket.begin(NAME)
    server.faults = ["501"]
    assert bucket.uploads(NAME) == []
    server.faults = ["403"]
    with pytest.raises(BucketError, match="403"):
        bucket.uploads(NAME)


def test_a_long_list_of_uploads_is_read_to_its_end(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {bucket.begin("a") for _ in range(5)}
    pages = bucket._requests.ask

    def two_at_a_time(method, key, query, body=b""):  # type: ignore[no-untyped-def]
        return pages(method, key, {**query, "max-uploads": "2"}, body)

    monkeypatch.setattr(bucket._requests, "ask", two_at_a_time)
    assert {one.id for one in bucket.uploads()} == ids


def test_nobody_sees_the_secret(bucket: S3Bucket) -> None:
    for thing in (bucket, *vars(bucket).values(), *vars(bucket._requests).values()):
        assert "deep secret" not in repr(thing)
    assert "deep secret" not in repr(bucket._store.config)


def test_what_the_environment_says_changes_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptor: int
) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_BUCKET", "another"),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_SESSION_TOKEN", "foreign"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ):
        monkeypatch.setenv(name, value)
    bucket = S3Bucket(settings_for(server.url, tmp_path))
    put(bucket, NAME, descriptor, 1)
    assert bucket.read(NAME) == LONG[:1]
    bucket.delete([NAME])
    bucket.close()


def test_an_encrypted_bucket_is_believed_by_its_certificate_alone(
    url: str, tmp_path: Path, descriptor: int
) -> None:
    tls, ca_file = certificates.made(tmp_path / "tls", authority=False)
    with proxy(url, tls) as server:
        stranger = S3Bucket(settings_for(server.url, tmp_path))
        with pytest.raises(BucketError, match="certificate verify failed"):
            stranger.begin(NAME)
        with pytest.raises(BucketError, match="cannot look at"):
            stranger.stored(NAME)
        assert server.asked == []
        trusted = S3Bucket(settings_for(server.url, tmp_path, ca_file=ca_file))
        put(trusted, NAME, descriptor, len(LONG))
        assert trusted.read(NAME, 0, 10) == LONG[:10]
        trusted.delete([NAME])
        trusted.close()
        stranger.close()
