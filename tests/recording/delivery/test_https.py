"""To a real web server: what it is sent, and what its answers are worth."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from callguard.recording.delivery.https import HttpsCarrier
from callguard.recording.delivery.parcel import DeliveryError, OurFault
from callguard.recording.delivery.places import HttpsSettings, PlaceError
from tests.clock import HandClock
from tests.recording.delivery.parcels import ID, parcel_of, secret, silent, some_bytes, torn

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SECRET = "a-secret-of-more-than-thirty-two-bytes"
DATA = some_bytes(700_000)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    finally:
        await runner.cleanup()


def carrier(url: str, tmp_path: Path, **more: object) -> HttpsCarrier:
    values = {"url": url, "secret_file": str(secret(tmp_path / "secret")), "timeout": 1, **more}
    return HttpsCarrier(HttpsSettings.model_validate(values), HandClock())


def honest(seen: list[tuple[web.Request, bytes]]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        seen.append((request, body))
        return web.json_response({"sha256": hashlib.sha256(body).hexdigest()}, status=201)

    return handle


async def test_what_is_sent_is_the_file_and_is_confirmed_by_its_sha_256(tmp_path: Path) -> None:
    seen: list[tuple[web.Request, bytes]] = []
    parcel = parcel_of(DATA)
    async with serving(honest(seen)) as url:
        receipt = await carrier(url, tmp_path).carry(parcel)
    assert receipt.confirmed
    ((request, body),) = seen
    assert body == DATA
    assert (request.method, request.path) == ("PUT", f"/in/{ID}.age")
    assert request.headers["Content-Length"] == str(len(DATA))
    assert "Transfer-Encoding" not in request.headers
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert request.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert request.headers["Idempotency-Key"] == f'"{parcel.key}"'
    assert json.loads(request.headers["Callguard-About"]) == dict(parcel.about)
    assert SECRET not in str(request.url)


async def test_a_signed_post_can_be_checked_with_rfc_9421_alone(tmp_path: Path) -> None:
    seen: list[tuple[web.Request, bytes]] = []
    async with serving(honest(seen)) as url:
        post = carrier(url, tmp_path, method="POST", auth="hmac", key_id="k1")
        assert (await post.carry(parcel_of(DATA))).confirmed
    ((request, _),) = seen
    assert request.path == "/in"
    assert "Authorization" not in request.headers
    about = request.headers["Signature-Input"].removeprefix("callguard=")
    assert about.endswith(
        f';created={int(HandClock().now().timestamp())};keyid="k1";alg="hmac-sha256"'
    )
    lines = []
    for name in re.findall(r'"([^"]+)"', about.split(")")[0]):
        value = {"@method": "POST", "@target-uri": url}.get(name) or request.headers[name]
        lines.append(f'"{name}": {value}')
    base = "\n".join([*lines, f'"@signature-params": {about}'])
    mac = base64.b64encode(hmac.digest(SECRET.encode(), base.encode(), "sha256")).decode()
    assert request.headers["Signature"] == f"callguard=:{mac}:"


@pytest.mark.parametrize("status", [200, 204])
async def test_an_answer_that_names_nothing_is_not_a_confirmation(
    tmp_path: Path, status: int
) -> None:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, text="" if status == 204 else "thanks")

    async with serving(handle) as url:
        receipt = await carrier(url, tmp_path).carry(parcel_of(DATA))
    assert (receipt.confirmed, receipt.answer) == (
        False,
        f"answered {status} without naming a SHA-256",
    )


RIGHT = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
WRONG = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


@pytest.mark.parametrize(
    ("header", "body", "confirmed"),
    [
        (f"sha-256=:{RIGHT}:", "", True),
        (f"sha-512=:AAAA:, sha-256=:{RIGHT}:", "", True),
        ("sha-512=:AAAA:", "", False),
        ("", json.dumps({"sha256": hashlib.sha256(DATA).hexdigest().upper()}), True),
        ("", "[1]", False),
        ("", "{", False),
        ("", "[" * 60_000, False),
        (f"sha-256=:{WRONG}:", "", None),
        ("sha-256=:AAAA:", "", None),
        (f"sha-256=:{RIGHT}:", json.dumps({"sha256": "0" * 64}), None),
        ("", json.dumps({"sha256": None}), None),
        ("", json.dumps({"sha256": "ש"}), None),
        ("", json.dumps({"sha256": ""}), None),
    ],
)
async def test_only_the_right_sha_256_is_a_confirmation(
    tmp_path: Path, header: str, body: str, confirmed: bool | None
) -> None:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=body, headers={"Repr-Digest": header} if header else {})

    async with serving(handle) as url:
        going = carrier(url, tmp_path).carry(parcel_of(DATA))
        if confirmed is None:
            with pytest.raises(DeliveryError, match="named the SHA-256 of another file"):
                await going
        else:
            assert (await going).confirmed is confirmed


@pytest.mark.parametrize("status", [302, 401, 413, 500, 507])
async def test_a_refusal_is_an_error_that_may_be_logged(tmp_path: Path, status: int) -> None:
    async def handle(request: web.Request) -> web.Response:
        headers = {"Location": "http://127.0.0.1:1/elsewhere"}
        return web.Response(status=status, text="no\n\x1b[31m" + "x" * 9999, headers=headers)

    async with serving(handle) as url:
        with pytest.raises(DeliveryError) as caught:
            await carrier(url, tmp_path).carry(parcel_of(b"small"))
    line = str(caught.value)
    assert line.startswith(f"answered {status}: no")
    assert len(line) < 250
    assert line.isprintable()


async def test_a_token_that_the_server_repeats_is_not_kept(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=401, text=f"no: {request.headers['Authorization']}")

    async with serving(handle) as url:
        with pytest.raises(DeliveryError, match=r"^answered 401: no: Bearer \.\.\.$"):
            await carrier(url, tmp_path).carry(parcel_of(b"small"))


async def test_a_server_that_names_what_it_did_not_take_confirms_nothing(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        digest = {"Repr-Digest": request.headers["Repr-Digest"]}
        return web.Response(headers=digest)  # and reads nothing

    async with serving(handle) as url:
        with pytest.raises(DeliveryError):
            await carrier(url, tmp_path).carry(parcel_of(some_bytes(20_000_000)))


async def test_the_url_is_asked_as_it_was_written(tmp_path: Path) -> None:
    seen: list[tuple[web.Request, bytes]] = []
    async with serving(honest(seen)) as url:
        assert (await carrier(f"{url}/%7Ea%2fb", tmp_path).carry(parcel_of(b"x"))).confirmed
    assert seen[0][0].raw_path == f"/in/%7Ea%2fb/{ID}.age"


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(30)
        return web.Response()

    async with serving(handle) as url:
        one = carrier(url, tmp_path)
        object.__setattr__(one._settings, "timeout", 0.1)
        with pytest.raises(DeliveryError, match="no answer"):
            await one.carry(parcel_of(b"x"))


async def test_a_server_that_stops_reading_is_given_up(tmp_path: Path) -> None:
    async with silent(reads=False) as port:
        one = carrier(f"http://127.0.0.1:{port}/in", tmp_path)
        object.__setattr__(one._settings, "timeout", 0.1)
        with pytest.raises(DeliveryError, match="no answer"):
            await one.carry(parcel_of(some_bytes(20_000_000)))


async def test_a_connection_that_is_reset_half_way_is_an_error(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        await request.content.readexactly(100_000)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(handle) as url:
        with pytest.raises(DeliveryError):
            await carrier(url, tmp_path).carry(parcel_of(some_bytes(5_000_000)))
    with pytest.raises(DeliveryError, match="refused"):
        await carrier(url, tmp_path).carry(parcel_of(b"x"))


async def test_a_recording_that_changed_under_our_hands_never_arrives_whole(
    tmp_path: Path,
) -> None:
    whole: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        whole.append(await request.read())
        return web.Response()

    async with serving(handle) as url:
        with pytest.raises(OurFault, match="changed while it was sent"):
            await carrier(url, tmp_path).carry(torn(parcel_of(DATA)))
    assert whole == []


async def test_a_secret_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    one = carrier("http://127.0.0.1:1/in", tmp_path)
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(PlaceError, match="has mode 0640"):
        await one.carry(parcel_of(b"x"))
