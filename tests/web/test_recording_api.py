"""Programs list recordings, play them, fetch them sealed and verify them."""

import io
import json
import wave
from datetime import timedelta
from urllib.parse import quote

import pytest

from callguard.recording import age
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.storage.journal import NotDurableError
from tests.recording.playback.vault import AUDIO, CALL, change, hold, restrict
from tests.recording.sealing import X25519, open_file
from tests.web.doors import TOKEN
from tests.web.recording_door import BEARER, WHY, Door, clock, database, door, journal

__all__ = ["clock", "database", "door", "journal"]

HEBREW = "תלונה 7"
ABSENT = "017f22e2-79b0-7cc3-98c4-dc0c0c073980"


async def test_a_recording_is_played_as_a_wav_that_says_how_long_it_is(door: Door) -> None:
    name = door.record("two")
    answer, body = await door.get(f"/{name}/audio")
    assert answer.status == 200
    assert body[44:] == AUDIO
    with wave.open(io.BytesIO(body)) as opened:
        assert (opened.getnframes(), opened.getframerate()) == (len(AUDIO) // 2, 8000)
    headers = answer.headers
    assert headers["Content-Length"] == str(len(body))
    assert headers["Content-Type"] == "audio/wav"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Disposition"] == f'attachment; filename="{name}.wav"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not headers["ETag"].startswith("W/")


async def test_the_sealed_file_is_an_age_file_that_the_tenant_opens(door: Door) -> None:
    name = door.record("out")
    answer, body = await door.get(f"/{name}/sealed")
    assert answer.status == 200
    assert open_file(body, [X25519])[44:] == AUDIO
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.wav.age"'
    error = await door.refused(409, f"/{name}/audio", **WHY)
    assert "only the tenant holds the key" in error
    assert "sealed file" in error


async def test_any_range_is_that_part_of_the_whole(door: Door) -> None:
    name = door.record()
    for form in ("audio", "sealed"):
        whole_answer, whole = await door.get(f"/{name}/{form}")
        size, tag = len(whole), whole_answer.headers["ETag"]
        for text, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=10-65600", 10, 65601),
            ("bytes=65536-", 65536, size),
            ("bytes=-100", size - 100, size),
            ("bytes=0-99999999", 0, size),
        ):
            answer, body = await door.get(f"/{name}/{form}", Range=text)
            assert (answer.status, body) == (206, whole[start:stop])
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
            assert answer.headers["ETag"] == tag
        for more in ({"Range": "bytes=0-1,3-4"}, {"Range": "bytes=1-2", "If-Range": '"x"'}):
            answer, body = await door.get(f"/{name}/{form}", **more)
            assert (answer.status, body) == (200, whole)
        answer, body = await door.get(f"/{name}/{form}", **{"Range": "bytes=1-2", "If-Range": tag})
        assert (answer.status, body) == (206, whole[1:3])
        answer, _ = await door.get(f"/{name}/{form}", Range=f"bytes={size}-")
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{size}"


async def test_asking_about_it_tells_its_size_and_reads_nothing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record()
    monkeypatch.setattr(FolderStore, "read", None)
    answer, body = await door.ask(f"/{name}/audio", "HEAD", **WHY)
    assert (answer.status, body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(AUDIO) + 44)
    answer, _ = await door.ask(f"/{name}/audio", "HEAD", **WHY, Range="bytes=0-9")
    assert (answer.status, answer.headers["Content-Length"]) == (206, "10")
    assert (await door.ask(f"/{name}/audio", "HEAD"))[0].status == 400
    assert [action for _, action, _ in door.log()] == ["recording.refused"]


async def test_each_reading_is_logged_with_who_why_and_which_bytes(door: Door) -> None:
    name = door.record()
    actor = {"Callguard-Actor": quote("דנה כהן")}
    await door.get(f"/{name}/audio", Range="bytes=100-199", **actor)
    await door.ask(f"/{name}/sealed?reason={quote(HEBREW)}&ground=legal-claim&actor=bob")
    first, second = door.log()
    assert (first[0], first[1]) == ("api:דנה כהן", "recording.play")
    assert json.loads(first[2]) == {
        "form": "playback",
        "role": "operator",
        "reason": "claim 7",
        "bytes": [100, 199],
    }
    assert (second[0], second[1]) == ("api:bob", "recording.export")
    assert json.loads(second[2]) == {
        "form": "age",
        "role": "operator",
        "reason": HEBREW,
        "ground": "legal-claim",
    }


@pytest.mark.parametrize(
    "sent", [quote(HEBREW), f"UTF-8''{quote(HEBREW)}", f"utf-8'he'{quote(HEBREW)}", HEBREW]
)
async def test_a_reason_comes_in_any_script(door: Door, sent: str) -> None:
    name = door.record()
    answer, _ = await door.ask(f"/{name}/sealed", **{"Callguard-Reason": sent})
    assert answer.status == 200
    assert json.loads(door.log()[-1][2])["reason"] == HEBREW


async def test_without_a_reason_nothing_is_read(door: Door) -> None:
    name = door.record()
    for headers in ({}, {"Callguard-Reason": ""}, {"Callguard-Reason": "%20"}):
        for form in ("audio", "sealed"):
            assert "needs a reason" in await door.refused(400, f"/{name}/{form}", **headers)
    for bad in ("%ff", "a%0Ab", "x" * 501):
        await door.refused(400, f"/{name}/audio", **{"Callguard-Reason": bad})
    assert "twice" in await door.refused(400, f"/{name}/audio?reason=x", **WHY)
    assert "twice" in await door.refused(400, f"/{name}/audio?reason=x&reason=y")
    await door.refused(400, f"/{name}/audio?why=x")
    await door.refused(400, f"/{name}/audio", **WHY, **{"Callguard-Ground": "curiosity"})
    await door.refused(400, f"/{name}/audio", **WHY, **{"Callguard-Actor": "a" * 129})
    assert {action for _, action, _ in door.log()} == {"recording.refused"}


async def test_only_who_has_the_token_asks(door: Door) -> None:
    name = door.record()
    for path in ("", f"/{name}", f"/{name}/audio", f"/{name}/sealed"):
        await door.refused(401, path, **WHY, Authorization="Bearer wrong")
        assert TOKEN not in await door.refused(403, path, **WHY, **{"Sec-Fetch-Site": "cross-site"})
    assert (await door.told(f"/{name}/verify", "POST", Authorization="x"))[0] == 401
    for path, method in ((f"/{name}/audio", "POST"), (f"/{name}", "DELETE"), (f"/{name}", "PUT")):
        assert (await door.ask(path, method))[0].status == 405
    assert door.log() == []


@pytest.mark.parametrize(
    ("values", "status", "line"),
    [
        ({"state": "recording"}, 409, "still in progress"),
        ({"state": "empty"}, 409, "is empty"),
        ({"state": "lost"}, 409, "is lost"),
        ({"state": "delivered", "header": None}, 409, "kept by the tenant"),
        ({"state": "erasing", "header": None}, 410, "has been erased"),
    ],
)
async def test_what_is_not_sealed_is_told_and_not_read(
    door: Door, values: dict[str, str], status: int, line: str
) -> None:
    name = door.record()
    change(door.database, name, **values)
    for form in ("audio", "sealed"):
        assert line in await door.refused(status, f"/{name}/{form}", **WHY)
    assert (await door.told(f"/{name}"))[1]["state"] == values["state"]


async def test_what_has_expired_is_as_if_it_never_was_unless_it_is_held(door: Door) -> None:
    name = door.record()
    change(door.database, name, expires_at=door.clock.now())
    for path in (f"/{name}", f"/{name}/audio", f"/{ABSENT}", f"/{ABSENT}/audio", "/x/audio"):
        assert "there is no recording" in await door.refused(404, path, **WHY)
    assert "\n" not in await door.refused(404, "/a%0Ab%1B", **WHY)
    assert (await door.told(""))[1]["recordings"] == []
    kept_by = hold(door.database, door.clock.now(), call_id=CALL)
    assert (await door.told(f"/{name}"))[1]["holds"] == [kept_by]
    assert [one["id"] for one in (await door.told(""))[1]["recordings"]] == [name]
    assert (await door.get(f"/{name}/audio"))[0].status == 200
    assert json.loads(door.log()[-1][2])["holds"] == [kept_by]


async def test_a_restricted_subjects_recording_needs_a_ground(door: Door) -> None:
    name = door.record()
    restrict(door.database, door.clock.now())
    for form in ("audio", "sealed"):
        assert "name a ground" in await door.refused(403, f"/{name}/{form}", **WHY)
        answer, _ = await door.get(f"/{name}/{form}", **{"Callguard-Ground": "protection"})
        assert answer.status == 200
        assert json.loads(door.log()[-1][2])["ground"] == "protection"
    assert (await door.told(f"/{name}"))[1]["restricted"] is True


async def test_nothing_is_read_that_is_not_durably_logged(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record()

    async def failing(*_: object, **__: object) -> None:
        raise NotDurableError("disk full")

    monkeypatch.setattr(door.journal, "write", failing)
    monkeypatch.setattr(FolderStore, "read", None)
    for form in ("audio", "sealed"):
        assert "could not be logged" in await door.refused(503, f"/{name}/{form}", **WHY)
    assert (await door.told(f"/{name}/verify", "POST"))[0] == 503
    assert "could not be logged" in await door.refused(503, f"/{name}/audio")


async def test_keys_that_do_not_open_it_are_said_to_be_so(door: Door) -> None:
    name = door.record()
    header = age.build_header(age.new_file_key(), [X25519.recipient])
    change(door.database, name, header=header)
    assert "no key that is here opens it" in await door.refused(409, f"/{name}/audio", **WHY)
    with door.database.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant_keys SET wrapped_identity = NULL")
    assert "key was destroyed" in await door.refused(409, f"/{name}/audio", **WHY)
    with door.database.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant_keys SET wrapped_identity = x'00'")
    assert "cannot be read now" in await door.refused(503, f"/{name}/audio", **WHY)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"header": None}, "the file is empty"),
        ({"payload": None}, "does not say what its payload is"),
        ({"sealed_bytes": None}, "does not say what its payload is"),
        ({"sealed_bytes": 0}, "too short"),
        ({"sealed_bytes": age.NONCE_SIZE + age.SEALED_CHUNK_SIZE + 1}, "no whole payload"),
    ],
)
async def test_a_row_that_does_not_say_what_it_is_is_a_damage(
    door: Door, values: dict[str, object], line: str
) -> None:
    name = door.record()
    change(door.database, name, **values)
    for form in ("audio", "sealed"):
        assert line in await door.refused(500, f"/{name}/{form}", **WHY)
        assert (await door.ask(f"/{name}/{form}", "HEAD", **WHY))[0].status == 200
        await door.journal.write(lambda _: None)
        assert door.log()[-1][1] == "recording.damaged"
    assert (await door.told(f"/{name}/verify", "POST"))[1]["whole"] is False


async def test_recordings_are_listed_by_tenant_and_call_a_page_at_a_time(door: Door) -> None:
    names = [door.record() for _ in range(5)]
    other = door.record("out", call_id=ABSENT)
    _, told = await door.told("?limit=4")
    assert [one["id"] for one in told["recordings"]] == [other, *names[:1:-1]]
    _, rest = await door.told(f"?limit=4&before={told['next']}")
    assert ([one["id"] for one in rest["recordings"]], rest["next"]) == (names[1::-1], None)
    assert len((await door.told("?tenant=acme"))[1]["recordings"]) == 5
    assert [one["id"] for one in (await door.told(f"?call={ABSENT}"))[1]["recordings"]] == [other]
    for bad in ("?limit=0", "?limit=x", "?limit=10000", "?number=1", "?limit=1&limit=2"):
        await door.refused(400, bad)
    one = (await door.told(f"/{names[0]}"))[1]
    assert (one["tenant"], one["call"], one["state"]) == ("acme", CALL, "sealed")
    assert (one["plain_bytes"], one["key"]) == (len(AUDIO) + 44, "here")
    assert "header" not in one
    assert door.log() == []


async def test_a_recording_is_verified(door: Door) -> None:
    name = door.record()
    status, told = await door.told(f"/{name}/verify", "POST")
    assert (status, told["whole"], told["opened"]) == (200, True, True)
    door.flip(name, 100)
    status, told = await door.told(f"/{name}/verify", "POST")
    assert (status, told["whole"]) == (200, False)
    assert told["line"] == "the payload was changed: chunk 0 is not authentic"
    outside = door.record("out")
    told = (await door.told(f"/{outside}/verify", "POST"))[1]
    assert (told["whole"], told["opened"]) == (True, False)
    assert "only these were checked: only the tenant holds the key" in told["line"]
    assert (await door.told(f"/{ABSENT}/verify", "POST"))[0] == 404
    await door.journal.write(lambda _: None)
    assert [action for _, action, _ in door.log()] == [
        "recording.verify",
        "recording.verify",
        "recording.damaged",
        "recording.verify",
        "recording.refused",
    ]


async def test_a_store_that_does_not_answer_is_said_before_the_first_byte(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record()

    def read(*_: object) -> bytes:
        raise ObjectStoreError("the store does not answer")

    monkeypatch.setattr(FolderStore, "read", read)
    for form in ("audio", "sealed"):
        error = await door.refused(503, f"/{name}/{form}", **WHY)
        assert "the store does not answer" in error
    assert (await door.told(f"/{name}/verify", "POST"))[0] == 503


async def test_what_is_bound_to_expire_is_gone_at_that_instant(door: Door) -> None:
    name = door.record()
    change(door.database, name, expires_at=door.clock.now() + timedelta(seconds=1))
    assert (await door.get(f"/{name}/audio"))[0].status == 200
    door.clock.advance(1)
    await door.refused(404, f"/{name}/audio", **WHY, **BEARER)
