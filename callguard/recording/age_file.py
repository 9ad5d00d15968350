"""A whole age file opened: header, file key and payload in one go. Pure.

Source: C2SP `age`. Only the binary form is read, and only keys open it: ASCII armor and passphrases
are optional parts of the specification that no recording uses.
"""

from __future__ import annotations

from collections.abc import Sequence

from callguard.recording.age_errors import AgeError, NoMatchingIdentity, NonceError
from callguard.recording.age_header import MAX_HEADER_SIZE, Header, HeaderFinder, read_header
from callguard.recording.age_keys import Identity
from callguard.recording.age_stream import NONCE_SIZE, Buffer, PayloadOpener


def unwrap(header: Header, identities: Sequence[Identity]) -> bytes:
    """Return the file key that one of the identities opens, the header proved unaltered.

    Raises NoMatchingIdentity, HeaderError for a malformed stanza of an identity's own type, and
    HeaderMacError for an altered header.
    """
    for identity in identities:
        # All of them before any, so that the order of the stanzas decides nothing.
        for stanza in header.stanzas:
            identity.check(stanza)
        for stanza in header.stanzas:
            file_key = identity.unwrap(stanza)
            if file_key is not None:
                header.verify(file_key)
                return file_key
    if any(stanza.type == "scrypt" for stanza in header.stanzas):
        raise NoMatchingIdentity("the file is sealed with a passphrase: no identity matches")
    raise NoMatchingIdentity("no identity matches a recipient of this header")


class FileOpener:
    """Opens one age file from pieces of any size, with the first of the identities that fits.

    Only authentic plaintext is ever returned, but the file is known to be whole only when `finish`
    has returned. What is released before a fault does not depend on the sizes of the pieces.
    """

    def __init__(self, identities: Sequence[Identity]) -> None:
        self._identities = identities
        self._finder = HeaderFinder()
        self._held = bytearray()
        self._header: Header | None = None
        self._file_key = b""
        self._payload: PayloadOpener | None = None
        self._fault: AgeError | None = None

    def __repr__(self) -> str:
        return f"FileOpener(header={self._header is not None}, payload={self._payload!r})"

    @property
    def header(self) -> Header | None:
        """The header, its MAC checked; None until it has been read."""
        return self._header

    def feed(self, data: Buffer) -> bytes:
        """Take the next piece of the file and return the plaintext that it completes.

        Raises HeaderError, HeaderMacError, NoMatchingIdentity or PayloadError, and the same again
        however often it is called after.
        """
        if self._fault is not None:
            raise self._fault
        try:
            if self._payload is not None:
                return self._payload.feed(data)
            self._held += data
            if self._header is None:
                self._open_header(ended=False)
            return self._begin_payload()
        except AgeError as error:
            self._fault = error
            raise

    def finish(self) -> bytes:
        """Declare the end of the file and return the plaintext of the last chunk.

        Raises as `feed` does.
        """
        if self._fault is not None:
            raise self._fault
        if self._header is None:
            self._open_header(ended=True)
        if self._payload is None:
            raise NonceError("the payload is cut short in its nonce")
        return self._payload.finish()

    def _open_header(self, *, ended: bool) -> None:
        if not ended and not self._finder.ends(self._held):
            return
        header = read_header(bytes(self._held[:MAX_HEADER_SIZE]))
        self._file_key = unwrap(header, self._identities)
        self._header = header
        del self._held[: header.size]

    def _begin_payload(self) -> bytes:
        if self._header is None or len(self._held) < NONCE_SIZE:
            return b""
        self._payload = PayloadOpener(self._file_key, bytes(self._held[:NONCE_SIZE]))
        del self._held[:NONCE_SIZE]
        rest, self._held = self._held, bytearray()
        return self._payload.feed(rest)


def open_file(data: Buffer, identities: Sequence[Identity]) -> bytes:
    """Return the plaintext of a whole age file; nothing of it unless all of it is authentic.

    Raises HeaderError, HeaderMacError, NoMatchingIdentity, or PayloadError.
    """
    opener = FileOpener(identities)
    return opener.feed(data) + opener.finish()
