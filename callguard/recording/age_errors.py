"""What can be wrong with an age file or key. Every message is one line that names the fault."""

from __future__ import annotations


class AgeError(Exception):
    """Base of all that this implementation of age raises on account of its input."""


class KeyFormatError(AgeError):
    """A recipient or an identity is not well formed. The message never repeats the key."""


class RecipientsError(AgeError):
    """These recipients cannot share one header (none at all, or post-quantum mixed with others)."""


class HeaderError(AgeError):
    """The header breaks the format, or a stanza of an identity's own type breaks that type."""


class HeaderMacError(HeaderError):
    """The header was altered: its MAC does not belong to the file key."""


class NoMatchingIdentity(AgeError):  # noqa: N818 - an outcome an operator reads, not a malfunction
    """None of the identities opens any stanza of the header."""


class PayloadError(AgeError):
    """The payload is cut short, altered, reordered or extended, or a chunk breaks the rules."""


class NonceError(HeaderError, PayloadError):
    """What follows the header is shorter than a nonce.

    The specification counts the nonce with the payload, its test vectors count this fault with the
    header: nothing can be said of any chunk.
    """
