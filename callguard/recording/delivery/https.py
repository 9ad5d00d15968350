"""To a web server, which confirms by naming the SHA-256 of what it took."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
from yarl import URL

from callguard.clock import Clock
from callguard.recording.delivery.parcel import DeliveryError, Parcel, Receipt, Watched, said, why
from callguard.recording.delivery.places import HttpsSettings, PlaceError
from callguard.recording.delivery.secret import read_secret, read_text

ANSWER_BYTES = 64 * 1024
NESTED = 100
COVERED = (
    "@method",
    "@target-uri",
    "content-length",
    "repr-digest",
    "idempotency-key",
    "callguard-about",
)
"""What a signature is about (RFC 9421, section 2)."""

SECRET_BYTES = 32
"""Fewest bytes of a key that signs."""

_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]+={0,2}):\s*(?=,|$)")


class HttpsCarrier:
    """See Carrier."""

    def __init__(self, settings: HttpsSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def carry(self, parcel: Parcel) -> Receipt:
        """See Carrier.carry."""
        settings = self._settings
        url = settings.url
        if settings.method == "PUT":
            url = f"{url.rstrip('/')}/{quote(parcel.name, safe='')}"
        headers, context = await asyncio.to_thread(self._prepare, parcel, url)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.timeout, sock_read=settings.timeout
        )
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        pieces = Watched(parcel.pieces(), 2 * settings.timeout)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                status, said_headers, body = await pieces.over(
                    _ask(session, settings.method, url, pieces, headers)
                )
        except TimeoutError:
            raise DeliveryError(f"no answer for {settings.timeout:g} s") from None
        except aiohttp.ClientConnectorCertificateError:
            raise DeliveryError("the server's certificate cannot be trusted") from None
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryError(_told(error)) from None
        if not 200 <= status < 300:
            text = said(_without_token(body, headers).decode("utf-8", errors="replace"))
            raise DeliveryError(f"answered {status}: {text}".rstrip(": "))
        if pieces.taken != parcel.size:
            raise DeliveryError(f"answered {status} before it had the whole file")
        return _receipt(parcel, status, said_headers, body)

    def _prepare(self, parcel: Parcel, url: str) -> tuple[dict[str, str], ssl.SSLContext | bool]:
        """In a thread: it reads files."""
        headers = self._headers(parcel, url)
        return headers, context_of(self._settings) if url.startswith("https:") else True

    def _headers(self, parcel: Parcel, url: str) -> dict[str, str]:
        digest = base64.b64encode(bytes.fromhex(parcel.sha256)).decode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(parcel.size),
            "Repr-Digest": f"sha-256=:{digest}:",
            "Idempotency-Key": f'"{parcel.key}"',
            "Callguard-About": parcel.line(),
            "User-Agent": "callguard",
        }
        secret = self._settings.secret_file
        if secret is None:
            return headers
        if self._settings.auth == "bearer":
            return {**headers, "Authorization": f"Bearer {read_text(secret)}"}
        created = int(self._clock.now().timestamp())
        values = {"@method": self._settings.method, "@target-uri": url}
        values |= {name.lower(): value for name, value in headers.items()}
        return headers | sign(values, read_key(self._settings), self._settings.key_id, created)


async def _ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    pieces: Watched,
    headers: Mapping[str, str],
) -> tuple[int, Mapping[str, str], bytes]:
    async with session.request(
        # As it was signed, and not in other letters.
        *(method, URL(url, encoded=True)),
        data=pieces,
        headers=headers,
        allow_redirects=False,
    ) as answer:
        body = b""
        while len(body) < ANSWER_BYTES and (more := await answer.content.read(4096)):
            body += more
        return answer.status, answer.headers, body


def sign(values: Mapping[str, str], key: bytes, key_id: str, created: int) -> dict[str, str]:
    """The two headers of a signature by HMAC-SHA-256 (RFC 9421, sections 2.5 and 3.3.3)."""
    covered = " ".join(f'"{name}"' for name in COVERED)
    about = f'({covered});created={created};keyid="{key_id}";alg="hmac-sha256"'
    lines = [f'"{name}": {values[name]}' for name in COVERED]
    base = "\n".join([*lines, f'"@signature-params": {about}'])
    mac = base64.b64encode(hmac.digest(key, base.encode(), "sha256")).decode()
    return {"Signature-Input": f"callguard={about}", "Signature": f"callguard=:{mac}:"}


def read_key(settings: HttpsSettings) -> bytes:
    """The key that signs: the file's bytes without the white space around them. Raises
    PlaceError."""
    assert settings.secret_file is not None
    key = read_secret(settings.secret_file).strip()
    if len(key) < SECRET_BYTES:
        raise PlaceError(f"{settings.secret_file} holds fewer than {SECRET_BYTES} bytes")
    return key


def check_files(settings: HttpsSettings) -> None:
    """Raises PlaceError where a file that is needed cannot be used."""
    context_of(settings)
    if settings.auth == "bearer" and settings.secret_file is not None:
        read_text(settings.secret_file)
    elif settings.auth == "hmac":
        read_key(settings)


def context_of(settings: HttpsSettings) -> ssl.SSLContext:
    """Which certificates are trusted. Raises PlaceError."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (ssl.SSLError, OSError):
        raise PlaceError(f"{settings.ca_file} does not hold certificates") from None


def _receipt(parcel: Parcel, status: int, headers: Mapping[str, str], body: bytes) -> Receipt:
    named = [*_in_header(headers), *_in_body(body)]
    if not named:
        return Receipt(False, f"answered {status} without naming a SHA-256")
    if any(not hmac.compare_digest(one, parcel.sha256) for one in named):
        raise DeliveryError(f"answered {status}, and named the SHA-256 of another file")
    return Receipt(True, f"answered {status} and named the SHA-256")


def _without_token(body: bytes, headers: Mapping[str, str]) -> bytes:
    """What a server says may repeat what it was sent."""
    token = headers.get("Authorization", "").removeprefix("Bearer ").encode()
    return body.replace(token, b"...") if token else body


def _in_header(headers: Mapping[str, str]) -> list[str]:
    value = headers.get("Repr-Digest", "")
    found = []
    for text in _DIGEST.findall(value):
        try:
            raw = base64.b64decode(text, validate=True)
        except binascii.Error:
            raw = b""
        found.append(raw.hex() if len(raw) == hashlib.sha256().digest_size else "none")
    return found


def _in_body(body: bytes) -> list[str]:
    if body.count(b"[") + body.count(b"{") > NESTED:
        return []  # deep nesting is not worth the interpreter's stack
    try:
        answer = json.loads(body)
    except ValueError:
        return []
    if not isinstance(answer, dict) or "sha256" not in answer:
        return []
    named = answer["sha256"]
    return [named.strip().lower()] if isinstance(named, str) and named.isascii() else ["none"]


def _told(error: BaseException) -> str:
    """Without the address, which stands beside it anyway."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return why(error.os_error)
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError):
        return why(error)
    return said(error) or type(error).__name__
