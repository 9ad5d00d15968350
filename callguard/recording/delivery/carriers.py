"""The way to a place, by its kind."""

import asyncio
from dataclasses import dataclass, field

from callguard.clock import Clock
from callguard.recording.delivery import https, mail, sftp
from callguard.recording.delivery.parcel import Carrier
from callguard.recording.delivery.places import (
    HttpsSettings,
    MailSettings,
    Place,
    S3Settings,
    SftpSettings,
)
from callguard.recording.delivery.s3 import S3Carrier, open_bucket


@dataclass(frozen=True, slots=True)
class Carriers:
    """Makes the carrier of a place; what all of them share is here."""

    clock: Clock
    mails: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    def to(self, place: Place) -> Carrier:
        match place.settings:
            case S3Settings() as settings:
                return S3Carrier(settings)
            case SftpSettings() as settings:
                return sftp.SftpCarrier(settings)
            case HttpsSettings() as settings:
                return https.HttpsCarrier(settings, self.clock)
            case MailSettings() as settings:
                return mail.MailCarrier(settings, self.mails)


def check_files(place: Place) -> None:
    """Raises PlaceError where a file that the place names cannot be used."""
    match place.settings:
        case S3Settings() as settings:
            open_bucket(settings)
        case SftpSettings() as settings:
            sftp.check_files(settings)
        case HttpsSettings() as settings:
            https.check_files(settings)
        case MailSettings() as settings:
            mail.check_files(settings)
