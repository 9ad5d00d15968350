"""A small age file for the tenant's own keys, which shows that a place takes what it is sent."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

from callguard.recording import age
from callguard.recording.delivery.parcel import Parcel, weigh
from callguard.recording.payload import seal_stream

NAME = "callguard-test.age"
"""Sent again it replaces the one before."""


def probe(tenant: str, recipients: Sequence[str], at: datetime) -> Parcel:
    """Raises AgeError where it cannot be sealed for these recipients."""
    text = f"callguard: a test of {at.isoformat(timespec='seconds')}\n".encode()
    key = age.new_file_key()
    header = age.build_header(key, [age.parse_recipient(one) for one in recipients])
    file = [header, *seal_stream([text], key, age.new_nonce())]
    read = partial(_again, file)
    size, sha256 = weigh(read)
    about = {"test": True, "tenant": tenant, "bytes": size, "sha256": sha256}
    return Parcel(NAME, size, sha256, f"test.{sha256[:16]}", about, read)


def _again(file: Sequence[bytes]) -> Iterator[bytes]:
    return iter(file)
