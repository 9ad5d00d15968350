"""For whom a header is wrapped. Pure."""

import hashlib
from collections.abc import Iterable


def digest_of(recipients: Iterable[str]) -> str:
    """A name of a set of recipients: what ``recordings.keyed_for`` says of a header, so that
    whoever rotates keys finds those that are wrapped for others. SHA-256, in hexadecimal digits."""
    return hashlib.sha256("\n".join(sorted(set(recipients))).encode()).hexdigest()
