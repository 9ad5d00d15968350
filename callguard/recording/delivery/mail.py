"""By mail, as an attachment. A server that takes a message does not say what arrived, so this is
sent and never confirmed."""

import asyncio
import ssl
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from callguard.recording.delivery.parcel import DeliveryError, OurFault, Parcel, Receipt, said, why
from callguard.recording.delivery.places import MailSettings, PlaceError
from callguard.recording.delivery.secret import read_text

SLOWEST = 32 * 1024
"""Bytes a second; what is slower is given up."""

_TEXT = """\
A sealed recording is attached. It opens with the tenant's key: age -d -i KEY FILE

{note}"""


class MailCarrier:
    """See Carrier. ``turn`` lets one message at a time be composed, which takes several times its
    memory; nobody waits for another's server."""

    def __init__(self, settings: MailSettings, turn: asyncio.Semaphore) -> None:
        self._settings = settings
        self._turn = turn

    async def carry(self, parcel: Parcel) -> Receipt:
        """See Carrier.carry."""
        settings = self._settings
        if parcel.size > settings.max_bytes:
            raise OurFault(
                f"{parcel.size} bytes are more than the {settings.max_bytes} that go by mail"
            )
        password, context = await asyncio.to_thread(self._prepare)
        async with self._turn:
            file = b"".join([piece async for piece in parcel.pieces()])
            message = await asyncio.to_thread(compose, settings, parcel, file)
            del file
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=password,
            local_hostname="callguard.invalid",
            timeout=settings.timeout,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=context,
        )
        try:
            longest = settings.timeout + len(message) / SLOWEST
            async with asyncio.timeout(longest + 4 * settings.timeout), client:
                refused, answer = await client.sendmail(
                    settings.sender, list(settings.to), message, timeout=longest
                )
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            raise DeliveryError(f"no answer for {settings.timeout:g} s") from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise DeliveryError(f"the server refused to let us in: {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryError(_told(error)) from None
        if refused:
            raise DeliveryError(f"{len(refused)} of {len(settings.to)} recipients were refused")
        return Receipt(False, f"taken: {said(answer)}")

    def _prepare(self) -> tuple[str | None, ssl.SSLContext | None]:
        """In a thread: it reads files."""
        settings = self._settings
        password = read_text(settings.password_file) if settings.password_file else None
        return password, None if settings.tls == "none" else context_of(settings)


def compose(settings: MailSettings, parcel: Parcel, file: bytes) -> bytes:
    """The message. Sent again, the same file has the same id."""
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    message["Subject"] = f"Recording {parcel.name}"
    message["Message-ID"] = f"<{parcel.key}@callguard.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_TEXT.format(note=parcel.note().decode()))
    message.add_attachment(
        file, maintype="application", subtype="octet-stream", filename=parcel.name
    )
    message.add_attachment(
        parcel.note(), maintype="application", subtype="json", filename=parcel.note_name
    )
    return message.as_bytes()


def check_files(settings: MailSettings) -> None:
    """Raises PlaceError where a file that is needed cannot be used."""
    context_of(settings)
    if settings.password_file is not None:
        read_text(settings.password_file)


def context_of(settings: MailSettings) -> ssl.SSLContext:
    """Which certificates are trusted. Raises PlaceError."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (ssl.SSLError, OSError):
        raise PlaceError(f"{settings.ca_file} does not hold certificates") from None


def _told(error: BaseException) -> str:
    """Without addresses, which a server may repeat."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return f"all {len(error.recipients)} recipients were refused"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"answered {error.code}"
    if "STARTTLS" in str(error):
        return "the server offers no STARTTLS"
    if isinstance(error, aiosmtplib.SMTPConnectError) and isinstance(error.__cause__, OSError):
        return why(error.__cause__)
    return why(error) if isinstance(error, OSError) else said(error) or type(error).__name__
