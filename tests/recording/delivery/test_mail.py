"""By mail, to a real SMTP server: sent, never confirmed."""

import asyncio
import email.policy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from callguard.recording.delivery.mail import MailCarrier
from callguard.recording.delivery.parcel import DeliveryError, OurFault
from callguard.recording.delivery.places import MailSettings
from tests.certificates import made
from tests.recording.delivery.parcels import ID, parcel_of, secret, silent, some_bytes

DATA = some_bytes(200_000)


class Inbox:
    """Takes mail, or refuses it with ``answer``."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.answer = "250 2.0.0 queued as \x1b[31m4711"
        self.refused: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.got.append(cast("bytes", envelope.content))
        return self.answer


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., Awaitable[tuple[Inbox, int]]]]:
    running: list[asyncio.Server] = []

    async def start(**more: Any) -> tuple[Inbox, int]:
        inbox, loop = Inbox(), asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(inbox, hostname="test", loop=loop, **more), "127.0.0.1", 0
        )
        running.append(server)
        return inbox, server.sockets[0].getsockname()[1]

    yield start
    for server in running:
        server.close()
        await server.wait_closed()
    await asyncio.sleep(0.01)


Start = Callable[..., Awaitable[tuple[Inbox, int]]]


def carrier(port: int, **more: object) -> MailCarrier:
    values: dict[str, object] = {"host": "127.0.0.1", "port": port, "tls": "none", "timeout": 5}
    values |= {"sender": "vault@example.com", "to": "a@example.org, b@example.org", **more}
    return MailCarrier(MailSettings.model_validate(values), asyncio.Semaphore(1))


def parsed(data: bytes) -> EmailMessage:
    return BytesParser(policy=email.policy.default).parsebytes(data)


async def test_the_file_is_attached_and_nothing_is_confirmed(serving: Start) -> None:
    inbox, port = await serving()
    parcel = parcel_of(DATA)
    for _ in range(2):
        receipt = await carrier(port).carry(parcel)
        assert not receipt.confirmed
        assert receipt.answer.startswith("taken: ")
        assert receipt.answer.isprintable()
    one, again = map(parsed, inbox.got)
    file, note = one.iter_attachments()
    assert (file.get_filename(), file.get_content()) == (f"{ID}.age", DATA)
    assert (note.get_filename(), json.loads(note.get_content())) == (
        f"{ID}.json",
        dict(parcel.about),
    )
    assert one["Message-ID"] == again["Message-ID"]
    assert one["To"] == "a@example.org, b@example.org"


async def test_starttls_is_demanded_and_the_certificate_checked(
    serving: Start, tmp_path: Path
) -> None:
    context, authority = made(tmp_path)
    _, bare = await serving()
    with pytest.raises(DeliveryError, match="offers no STARTTLS"):
        await carrier(bare, tls="starttls").carry(parcel_of(b"x"))
    inbox, port = await serving(tls_context=context, require_starttls=True)
    with pytest.raises(DeliveryError, match="certificate"):
        await carrier(port, tls="starttls").carry(parcel_of(b"x"))
    trusted = {"tls": "starttls", "ca_file": str(authority)}
    await carrier(port, **trusted).carry(parcel_of(b"x"))
    assert len(inbox.got) == 1
    known, wrong = secret(tmp_path / "known", "open-sesame"), secret(tmp_path / "wrong", "nope")

    def check(*args: Any) -> AuthResult:
        return AuthResult(success=args[4].password == b"open-sesame", handled=False)

    inbox, port = await serving(tls_context=context, auth_required=True, authenticator=check)
    for file in (known, wrong):
        going = carrier(port, username="u", password_file=str(file), **trusted).carry(
            parcel_of(b"x")
        )
        if file is known:
            await going
            continue
        with pytest.raises(DeliveryError, match="refused to let us in: 535"):
            await going
    assert len(inbox.got) == 1


async def test_what_is_too_long_for_mail_is_not_sent(serving: Start) -> None:
    inbox, port = await serving()
    with pytest.raises(OurFault, match="200000 bytes are more than the 2000 that go by mail"):
        await carrier(port, max_bytes=2000).carry(parcel_of(DATA))
    assert inbox.got == []


async def test_refusals_are_errors_without_addresses(serving: Start) -> None:
    inbox, port = await serving()
    inbox.answer = "452 4.3.1 mailbox of a@example.org is full"
    with pytest.raises(DeliveryError, match=r"^answered 452$"):
        await carrier(port).carry(parcel_of(b"x"))
    inbox.answer = "250 ok"
    inbox.refused = {"b@example.org"}
    with pytest.raises(DeliveryError, match=r"^1 of 2 recipients were refused$"):
        await carrier(port).carry(parcel_of(b"x"))
    inbox.refused.add("a@example.org")
    with pytest.raises(DeliveryError, match=r"^all 2 recipients were refused$"):
        await carrier(port).carry(parcel_of(b"x"))
    _, small = await serving(data_size_limit=1000)
    with pytest.raises(DeliveryError, match=r"^answered 552$"):
        await carrier(small).carry(parcel_of(DATA))


async def test_nobody_there_or_nobody_answering_is_said() -> None:
    with pytest.raises(DeliveryError, match="refused"):
        await carrier(1).carry(parcel_of(b"x"))
    async with silent() as port:
        one = carrier(port)
        object.__setattr__(one._settings, "timeout", 0.2)
        with pytest.raises(DeliveryError, match="no answer"):
            await one.carry(parcel_of(b"x"))
